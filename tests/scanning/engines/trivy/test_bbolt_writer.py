from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanning.engines.trivy import bbolt_writer
from scanning.engines.trivy.bbolt import BboltError, Bucket, fnv1a, read_meta

KEYS = st.binary(min_size=1, max_size=40)
VALUES = st.binary(max_size=300)
LEAF_BUCKETS = st.dictionaries(KEYS, VALUES, max_size=60)
BUCKETS = st.recursive(LEAF_BUCKETS, lambda inner: st.dictionaries(KEYS, inner | VALUES, max_size=6), max_leaves=8)


def contents(path: Path) -> dict[bytes, Any]:
    with path.open("rb") as file:
        return unfold(Bucket.open(file))


def unfold(bucket: Bucket) -> dict[bytes, Any]:
    return {key: unfold(value) if isinstance(value, Bucket) else value for key, value in bucket.items()}


def written(tmp_path: Path, tree: dict[bytes, Any]) -> Path:
    path = tmp_path / "some.db"
    bbolt_writer.write(path, tree)
    return path


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(KEYS, BUCKETS, max_size=5))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, tree: dict[bytes, Any]) -> None:
    assert contents(written(tmp_path_factory.mktemp("bbolt"), tree)) == tree


def test_many_keys_need_branch_pages_over_branch_pages(tmp_path: Path) -> None:
    tree = {b"numbers": {b"%060d" % number: b"%d" % number for number in range(20_000)}}
    path = written(tmp_path, tree)
    assert contents(path) == tree
    with path.open("rb") as file:
        assert list(contents(path)[b"numbers"]) == sorted(tree[b"numbers"])
        assert read_meta(path).pages * bbolt_writer.PAGE_BYTES == file.seek(0, io.SEEK_END)


def test_a_value_larger_than_a_page_runs_over_into_the_next(tmp_path: Path) -> None:
    tree = {b"large": {b"a": b"x" * 50_000, b"b": b"small", b"c": b"y" * bbolt_writer.PAGE_BYTES}}
    assert contents(written(tmp_path, tree)) == tree


def test_a_bucket_of_its_own_pages_lies_beside_small_ones(tmp_path: Path) -> None:
    tree = {
        b"platform": {b"few": {b"CVE-1": b"{}"}, b"many": {b"CVE-%d" % n: b"x" * 90 for n in range(500)}, b"none": {}}
    }
    assert contents(written(tmp_path, tree)) == tree


def test_the_checksum_is_fnv1a_of_64_bits() -> None:
    assert fnv1a(b"") == 0xCBF29CE484222325
    assert fnv1a(b"foobar") == 0x85944171F73967E8  # from the reference page of the hash


def test_keys_that_bbolt_does_not_take_are_refused(tmp_path: Path) -> None:
    for tree in ({b"bucket": {b"": b"value"}}, {b"bucket": {b"k" * 32769: b"value"}}, {b"value": b"outside a bucket"}):
        with pytest.raises(ValueError):
            bbolt_writer.write(tmp_path / "bad.db", tree)


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return written(tmp_path, {b"numbers": {b"%04d" % number: b"some value" for number in range(2000)}})


def test_a_file_with_one_good_meta_page_is_read(whole: Path) -> None:
    data = bytearray(whole.read_bytes())
    for page in (0, 1):
        damaged = data.copy()
        damaged[page * bbolt_writer.PAGE_BYTES + 20] ^= 1
        whole.write_bytes(damaged)
        assert len(contents(whole)[b"numbers"]) == 2000


@pytest.mark.parametrize("length", [0, 10, 4096, 8192, 20_000])
def test_a_file_that_is_cut_off_is_refused(whole: Path, length: int) -> None:
    whole.write_bytes(whole.read_bytes()[:length])
    with pytest.raises(BboltError):
        read_meta(whole)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_and_never_more(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = written(tmp_path_factory.mktemp("bbolt"), {b"a": {b"%03d" % n: {b"k": b"v" * n} for n in range(100)}})
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(BboltError):
        contents(path)

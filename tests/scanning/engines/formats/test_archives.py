"""Every kind of archive is opened, or noted with its path; none is passed over without a word."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scanning
from scanning.engines.formats import archives, detect
from scanning.engines.skipped_content import MAX_PATH_CHARACTERS, Notes
from scanning.engines.yara.engine import Yara
from tests.scanning.archive_samples import (
    ODD_SAMPLE_REASONS,
    OPENED_SAMPLES,
    REFUSED_SAMPLES,
    central,
    compressed,
    elf,
    end,
    local,
    zipped,
)
from tests.scanning.engines.conftest import no_stop
from tests.scanning.layer import EICAR, layer, tar

RULES = Path(scanning.__file__).parent / "rules"


@pytest.fixture(scope="module")
def yara() -> Yara:
    return Yara(rules=RULES)


@pytest.mark.parametrize("kind", OPENED_SAMPLES)
def test_what_the_readers_of_a_format_open_is_opened(yara: Yara, tmp_path: Path, kind: str) -> None:
    name, build, path = OPENED_SAMPLES[kind]
    report = yara.scan_layer(layer(tmp_path, {f"srv/{name}": build(EICAR)}), check=no_stop)
    assert path in {found.path.removeprefix("srv/") for found in report.findings}
    assert [ODD_SAMPLE_REASONS[kind] in line and f"srv/{name}" in line for line in report.skipped] == [True] * (
        kind in ODD_SAMPLE_REASONS
    )


@pytest.mark.parametrize("kind", REFUSED_SAMPLES)
def test_what_is_recognised_and_not_opened_is_noted_with_its_path(yara: Yara, tmp_path: Path, kind: str) -> None:
    name, build, words = REFUSED_SAMPLES[kind]
    report = yara.scan_layer(layer(tmp_path, {f"srv/{name}": build(EICAR)}), check=no_stop)
    assert any(words in line and f"srv/{name}" in line for line in report.skipped)


MARK = b"what a reader gets" * 9 + bytes(range(200))
KINDS = sorted({*OPENED_SAMPLES, *REFUSED_SAMPLES} - {"script with much behind it"})  # which takes long
edits = st.lists(
    st.tuples(
        st.integers(0, 3000), st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\0\0", b"\xff" * 4]))
    ),
    max_size=5,
)


def mutated(kind: str, edits: list[tuple[int, bytes]], before: bytes, behind: str) -> bytes:
    """An archive with some bytes changed, something before it, and another archive behind it."""
    _name, build, *_rest = (OPENED_SAMPLES | REFUSED_SAMPLES)[kind]
    data = bytearray(before + build(MARK) + (OPENED_SAMPLES[behind][1](MARK) if behind else b""))
    for offset, content in edits:
        at = offset % len(data)
        data[at : at + len(content)] = content
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    edits=edits,
    before=st.sampled_from([b"", b"", b"MZ" + bytes(64), b"#!/bin/sh\n\0"]),
    behind=st.sampled_from(["", "", *OPENED_SAMPLES]),
    cut=st.integers(0, 4000),
)
def test_no_mutated_archive_makes_a_reader_fail_or_go_beyond_its_bounds(
    kind: str, edits: list[tuple[int, bytes]], before: bytes, behind: str, cut: int
) -> None:
    data = mutated(kind, edits, before, behind)
    bounds, notes = archives.UnpackLimits(member_bytes=5000, files=30, entries=60, bytes=100_000), Notes()
    for view in (data, memoryview(data)[: cut or None]):
        for path, content in archives.members(view, "a", bounds, notes):
            assert path.startswith("a!/")
            assert len(content) <= max(len(data), 5000)
    assert bounds.files >= -2
    assert all(len(line) <= MAX_PATH_CHARACTERS + 200 for line in notes.lines())


def of_zipfile(data: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            try:
                with archive.open(info) as file:
                    yield file.read(1 << 20)
            except (zipfile.BadZipFile, NotImplementedError):
                continue


def of_tarfile(data: bytes) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if member.isreg() and (file := archive.extractfile(member)):
                yield file.read(1 << 20)


READERS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "zipfile": of_zipfile,
    "tarfile": of_tarfile,
    "gzip": lambda data: iter([gzip.decompress(data)]),
    "bz2": lambda data: iter([bz2.decompress(data)]),
    "lzma": lambda data: iter([lzma.decompress(data, memlimit=1 << 27)]),
    "zlib": lambda data: iter([zlib.decompress(data)]),
}


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    edits=edits,
    before=st.sampled_from([b"", b"", b"#!/bin/sh\n"]),
    behind=st.sampled_from(["", "", *OPENED_SAMPLES]),
)
def test_what_pythons_own_readers_get_out_of_a_mutated_archive_is_got_out_or_noted(
    reader: str, kind: str, edits: list[tuple[int, bytes]], before: bytes, behind: str
) -> None:
    data = mutated(kind, edits, before, behind)
    theirs = False
    try:
        for content in READERS[reader](data):
            theirs |= MARK in content
    except Exception:  # whatever they raise: what they have read before counts
        pass
    notes = Notes()
    ours = [bytes(content) for _path, content in archives.members(data, "a", archives.UnpackLimits(), notes)]
    ours += [
        bytes(inner)
        for content in ours
        for _path, inner in archives.members(content, "a", archives.UnpackLimits(), notes)
    ]
    assert not theirs or notes.lines() or any(MARK in content for content in ours)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=3000), st.sampled_from([magic for magic, _name, _check in detect.MAGICS]))
def test_rubbish_behind_the_first_bytes_of_a_format_makes_no_reader_fail(data: bytes, magic: bytes) -> None:
    for content in (magic + data, b"#!/bin/sh\n\0" + magic + data, data):
        for path, _content in archives.members(content, "a", archives.UnpackLimits(), Notes()):
            assert path.startswith("a!/")


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 5000), st.integers(9, 16), st.integers(0, 5000))
def test_what_compress_packs_is_read_as_gzip_reads_it(length: int, bits: int, flip: int) -> None:
    packed = bytearray(compressed((MARK * 20)[:length], bits))
    if flip < len(packed) - 3:
        packed[3 + flip] ^= 1  # makes codes of the table of those of bytes
    theirs = subprocess.run(["gzip", "-dc"], input=bytes(packed), capture_output=True, check=False)
    found = archives.members(bytes(packed), "a.Z", archives.UnpackLimits(), Notes())
    ours = b"".join(bytes(content) for _path, content in found)
    if theirs.returncode == 0:
        assert ours == theirs.stdout


def test_the_same_file_named_without_number_in_a_directory_is_read_to_a_bound() -> None:
    before, directory = local(b"x", bytes(1 << 20)), central(b"x", bytes(1 << 20), 0)
    data = before + directory * 5000 + end(directory * 5000, len(before), count=5000)
    bounds, notes = archives.UnpackLimits(bytes=20 << 20), Notes()
    total = sum(len(content) for _path, content in archives.members(data, "a.zip", bounds, notes))
    assert total <= 21 << 20
    assert "beyond the limit of what is unpacked from one layer" in notes.lines()[0]


def test_a_zip_in_a_tar_that_ends_with_it_is_read_once() -> None:
    found = list(archives.members(tar({"a.jar": zipped({"x": MARK})}), "a.tar", archives.UnpackLimits(), Notes()))
    assert [path for path, _content in found] == ["a.tar!/a.jar"]


@pytest.mark.parametrize(
    "content",
    [
        b"#!/bin/sh\necho x\n",
        b"x^2 + y^2 = z^2, and so on for many lines\n" * 20,
        b"hC is no stream of zlib\n" * 20,
        bytes(100_000),
        b"]\0\0" + bytes(100),
        b"the words PK\x05\x06 and PK\x03\x04 in a program" + bytes(100),
        b"BZh is how a text may begin",
        b"0707 is a number",
        elf(b""),
        elf(bytes(4096)),
    ],
)
def test_what_only_looks_like_an_archive_is_none(content: bytes) -> None:
    notes = Notes()
    assert list(archives.members(content, "a", archives.UnpackLimits(), notes)) == []
    assert notes.lines() == ()

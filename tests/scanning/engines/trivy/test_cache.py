from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from scanning.engines.trivy.cache import CachedLayer, make_cache_folder, make_java_index, read_cache, without_files

RECORD = b'{"SchemaVersion":2,"DiffID":"sha256:aa"}'


def test_what_is_written_for_a_run_is_read_back(tmp_path: Path) -> None:
    make_cache_folder(tmp_path / "cache", notes=[CachedLayer("sha256:1", RECORD)], database=None, java_index=tmp_path)
    assert read_cache(tmp_path / "cache") == {"sha256:aa": ("sha256:1", RECORD)}


def test_a_cache_without_notes_is_left_to_trivy_to_make(tmp_path: Path) -> None:
    make_cache_folder(tmp_path / "cache", notes=[], database=tmp_path / "database", java_index=tmp_path)
    assert list((tmp_path / "cache" / "fanal").iterdir()) == []
    assert (tmp_path / "cache" / "db").readlink() == tmp_path / "database"
    assert read_cache(tmp_path / "cache") == {}


@pytest.mark.parametrize("content", [b"", b"nonsense" * 2000])
def test_a_cache_that_cannot_be_read_tells_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "fanal").mkdir()
    (tmp_path / "fanal" / "fanal.db").write_bytes(content)
    assert read_cache(tmp_path) == {}


@pytest.mark.parametrize("record", [b"nonsense", b"[]", b"{}", b"[" * 100_000])
def test_records_that_are_none_tell_nothing(tmp_path: Path, record: bytes) -> None:
    make_cache_folder(tmp_path / "cache", notes=[CachedLayer("k", record)], database=None, java_index=tmp_path)
    assert read_cache(tmp_path / "cache") == {}


def test_several_may_make_the_java_index_at_once(tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(make_java_index(tmp_path))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [tmp_path / "java-db"] * 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["java-db"]
    assert sorted(path.name for path in made[0].iterdir()) == ["metadata.json", "trivy-java.db"]


def test_a_record_loses_the_names_of_files_and_nothing_else() -> None:
    package = {"Name": "zlib1g", "Version": "1.2.13"}
    record = {"DiffID": "sha256:1", "Applications": [{"Type": "pip"}]}
    told = record | {"PackageInfos": [{"Packages": [package | {"InstalledFiles": ["/lib/libz.so.1"]}, package]}]}
    left = json.loads(without_files(json.dumps(told).encode()))
    assert left == record | {"PackageInfos": [{"Packages": [package, package]}]}


@pytest.mark.parametrize("record", [b'{"PackageInfos": 1, "InstalledFiles": 2}', b'"InstalledFiles"', b"no JSON"])
def test_a_record_of_another_form_is_kept_as_it_is(record: bytes) -> None:
    assert without_files(record) == record

"""Files on their way between machines: whole or not at all, bounded, and gone when nothing uses them."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.machines import content
from console.machines.content import CHUNK_BYTES, ContentError
from console.models import FileChunk, SharedFile

pytestmark = pytest.mark.django_db

MANY = 16 * CHUNK_BYTES


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(2 * CHUNK_BYTES + 5))
    return path


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 5])
def test_what_is_fetched_is_what_was_stored(tmp_path: Path, size: int) -> None:
    (tmp_path / "source").write_bytes(os.urandom(size))
    file = content.store(tmp_path / "source", limit=MANY)
    content.fetch(file, tmp_path / "target", limit=MANY)
    assert (tmp_path / "target").read_bytes() == (tmp_path / "source").read_bytes()
    assert file.size == size
    assert file.chunks.count() == -(-size // CHUNK_BYTES)


def drop_a_chunk(file: SharedFile) -> None:
    file.chunks.get(number=1).delete()


def change_a_byte(file: SharedFile) -> None:
    chunk = file.chunks.get(number=0)
    chunk.content = bytes([chunk.content[0] ^ 1]) + bytes(chunk.content)[1:]
    chunk.save()


def lengthen_a_chunk(file: SharedFile) -> None:
    chunk = file.chunks.get(number=2)
    chunk.content = bytes(chunk.content) + b"more"
    chunk.save()


def shorten_the_last(file: SharedFile) -> None:
    chunk = file.chunks.get(number=2)
    chunk.content = b""
    chunk.save()


def leave_it_unfinished(file: SharedFile) -> None:
    file.sha256 = ""


@pytest.mark.parametrize(
    "damage", [drop_a_chunk, change_a_byte, lengthen_a_chunk, shorten_the_last, leave_it_unfinished]
)
def test_a_damaged_file_never_comes_to_its_end(source: Path, damage: Callable[[SharedFile], None]) -> None:
    file = content.store(source, limit=MANY)
    damage(file)
    came: list[bytes] = []
    with pytest.raises(ContentError):
        came.extend(content.stream(file))
    assert sum(map(len, came)) < file.size


def test_a_file_that_is_too_large_is_neither_stored_nor_fetched(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="larger than 1 MiB"):
        content.store(source, limit=CHUNK_BYTES)
    assert not FileChunk.objects.exists()
    file = content.store(source, limit=MANY)
    with pytest.raises(ContentError, match="larger than 1 MiB"):
        content.fetch(file, tmp_path / "target", limit=CHUNK_BYTES)
    assert not (tmp_path / "target").exists()


def test_what_nothing_uses_is_deleted_without_being_read(source: Path) -> None:
    unfinished, used, replaced = (content.store(source, limit=MANY) for _ in range(3))
    content.keep(used)
    content.prune()
    assert SharedFile.objects.count() == 3, "a file may be fetched for a while after it was replaced"
    past = timezone.now() - timedelta(seconds=1)
    SharedFile.objects.exclude(pk=used.pk).update(delete_after=past)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        content.prune()
    assert list(SharedFile.objects.values_list("pk", flat=True)) == [used.pk]
    assert set(FileChunk.objects.values_list("file", flat=True)) == {used.pk}
    assert not [query for query in queries if '"content"' in query["sql"]]
    assert {unfinished.pk, replaced.pk}.isdisjoint(SharedFile.objects.values_list("pk", flat=True))


def test_a_check_ends_it_at_any_chunk(source: Path, tmp_path: Path) -> None:
    file = content.store(source, limit=MANY)
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        content.fetch(file, tmp_path / "target", limit=MANY, check=check)
    calls.clear()
    with pytest.raises(InterruptedError):
        content.store(source, limit=MANY, check=check)

"""Files on their way between machines: written to the database in chunks, and read from it with their digest checked.

The database is the one thing that each machine surely reaches. A file is bounded where it is written and where it is
read, and goes again once nothing uses it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from django.db.models.functions import Now

from console.jobs.state import from_now
from console.machines import messages
from console.machines.models import FileChunk, SharedFile

CHUNK_BYTES = 1024**2  # what one statement carries
UNFINISHED_FILE_SECONDS = 6 * 3600.0  # a file that is still being written after so long is nobody's
REPLACED_FILE_SECONDS = 3600.0  # so long a machine that has begun to read a file may go on with it


class ContentError(Exception):
    """A stored file is not what it should be; the message says how, for a person."""


def store(path: Path, *, limit: int, check: Callable[[], None] = lambda: None) -> SharedFile:
    """Write the file at ``path`` to the database and return its row, which is deleted unless :func:`keep` is called.

    Raises ContentError where it has more than ``limit`` bytes, OSError, and whatever ``check`` raises.
    """
    if path.stat().st_size > limit:
        raise ContentError(messages.TOO_LARGE(size=limit >> 20))
    file = SharedFile.objects.create(delete_after=from_now(UNFINISHED_FILE_SECONDS))
    digest, size, number = hashlib.sha256(), 0, 0
    with path.open("rb") as source:
        while content := source.read(CHUNK_BYTES):
            check()
            size += len(content)
            if size > limit:
                raise ContentError(messages.TOO_LARGE(size=limit >> 20))
            digest.update(content)
            FileChunk.objects.create(file=file, number=number, content=content)
            number += 1
    SharedFile.objects.filter(pk=file.pk).update(sha256=digest.hexdigest(), size=size)
    file.refresh_from_db()
    return file


def keep(file: SharedFile, *, seconds: float | None = None) -> None:
    """Have the file stay, for so long or until :func:`release`."""
    SharedFile.objects.filter(pk=file.pk).update(delete_after=None if seconds is None else from_now(seconds))


def release(file_id: int) -> None:
    """Have the file go once nobody can be reading it any more."""
    SharedFile.objects.filter(pk=file_id).update(delete_after=from_now(REPLACED_FILE_SECONDS))


def delete(file_id: int) -> None:
    """Delete the file now."""
    SharedFile.objects.filter(pk=file_id).delete()


def stream(file: SharedFile, *, check: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """Yield the content, of which the last part comes only if the whole has the right digest.

    Raises ContentError where a part is missing or anything differs, and whatever ``check`` raises.
    """
    digest, size = hashlib.sha256(), 0
    for number in range(-(-file.size // CHUNK_BYTES)):
        check()
        found = FileChunk.objects.filter(file=file.pk, number=number).values_list("content", flat=True).first()
        if found is None:
            raise ContentError(messages.PART_MISSING())
        content = bytes(found)
        digest.update(content)
        size += len(content)
        if size > file.size:
            raise ContentError(messages.LARGER_THAN_IT_SHOULD_BE())
        if size == file.size and digest.hexdigest() != file.sha256:
            raise ContentError(messages.WRONG_DIGEST())
        yield content
    if size != file.size or not file.sha256:
        raise ContentError(messages.PART_MISSING())


def fetch(file: SharedFile, target: Path, *, limit: int, check: Callable[[], None] = lambda: None) -> None:
    """Write the content to the new file ``target``. Raises ContentError, OSError, and whatever ``check`` raises."""
    if file.size > limit:
        raise ContentError(messages.TOO_LARGE(size=limit >> 20))
    with target.open("xb") as out:
        for content in stream(file, check=check):
            out.write(content)
        out.flush()
        os.fsync(out.fileno())


def prune() -> None:
    """Delete what nothing uses any more; called by every tick."""
    SharedFile.objects.filter(delete_after__lt=Now()).delete()

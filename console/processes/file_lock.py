"""Locks between the processes of a machine, by ``flock``: the system releases them however their holder ends.

The content of a locked file is its holder's, to read and to write by its path. docs/decisions/0006-small-clients.md
says why this is not the package filelock.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

POLL_SECONDS = 0.05


class LockTimeout(Exception):
    """Another process has held the lock for longer than the caller would wait."""


class FileLock:
    """A lock that is held until ``release()``, the end of its ``with`` block, or the end of the process.

    A forked process holds it too: it is free when both have released it. A program that is started does not inherit it.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let another process have the lock; nothing where it is released already."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def try_lock(path: Path) -> FileLock | None:
    """Return the lock of the file ``path``, or None where somebody else holds it or its folder is gone. Never waits.

    The file is made where there is none.
    """
    try:
        return _lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return None


def lock(path: Path, *, check: Callable[[], object] | None = None, timeout: float = math.inf) -> FileLock:
    """Return the lock of the file ``path`` as soon as nobody else holds it. File and folder are made where missing.

    With ``check`` or ``timeout``, look again every 0.05 s; what ``check``, called each time, raises passes on. Raises
    LockTimeout after ``timeout`` seconds. Without both, the system wakes the next one when the lock is released.
    """
    ends = time.monotonic() + timeout
    waits = check is None and timeout == math.inf
    while True:
        try:
            if held := _lock(path, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB):
                return held
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        except BlockingIOError:
            pass
        if check is not None:
            check()
        if time.monotonic() >= ends:
            raise LockTimeout(str(path))
        if not waits:
            time.sleep(POLL_SECONDS)


def _lock(path: Path, operation: int) -> FileLock | None:
    """Return the lock of the file ``path``, or None where the file was removed meanwhile. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, operation)
        # Without a name it was removed between open and flock, and another may hold the lock of the new file.
        if os.fstat(descriptor).st_nlink:
            return FileLock(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None

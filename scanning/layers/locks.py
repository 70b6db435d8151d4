"""Locks between processes by ``flock``: the system releases them when their holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scanning.engines.base import StopCheck

POLL_SECONDS = 0.05


def acquire(path: Path) -> int | None:
    """Return a descriptor that holds the lock at ``path``, or None where another holds it or its folder is gone.

    The file is made where there is none. Closing the descriptor gives the lock back.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Without a name it was removed between open and flock, and another may hold the lock of the new file.
        if os.fstat(descriptor).st_nlink:
            return descriptor
    except BlockingIOError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


@contextmanager
def locked(path: Path, *, check: StopCheck) -> Iterator[None]:
    """Hold the lock at ``path``, whose folder is made where there is none; while it waits, call ``check`` often."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        if (descriptor := acquire(path)) is not None:
            break
        check()
        time.sleep(POLL_SECONDS)
    try:
        yield
    finally:
        os.close(descriptor)

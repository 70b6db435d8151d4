"""Places for jobs on this machine: how many processes may be at work on a kind of job.

The processes of a cluster are one more than the places of its kinds (console.jobs.kinds), so a kind that is slow, or of
which thousands wait, leaves the others theirs. A place is a file lock, which the system gives back however its holder
ends.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from console.jobs import kinds
from console.processes.file_lock import FileLock, try_lock

LOCAL_WORKER_PREFIX = f"{socket.gethostname()}:"  # how the name of each worker of this machine begins


class Slot:
    """What :func:`place` gives: true where a place is held, or none is needed."""

    def __init__(self, lock: FileLock | None, *, acquired: bool) -> None:
        self._lock, self._acquired = lock, acquired

    def __bool__(self) -> bool:
        return self._acquired

    def give_up(self) -> None:
        """Let another process have the place already."""
        if self._lock is not None:
            self._lock.release()


@contextmanager
def job_slot(kind: str) -> Iterator[Slot]:
    """Hold a free place for a job of ``kind``; what it gives is false where all are taken."""
    count = kinds.get(kind).slots
    if count is None:
        yield Slot(None, acquired=True)
        return
    with machine_slot(kind, count) as found:
        yield found


@contextmanager
def machine_slot(name: str, count: int) -> Iterator[Slot]:
    """Hold one of ``count`` locks of ``name`` on this machine; what it gives is false where all are taken."""
    folder = Path(settings.DATA_DIR) / "run" / "places"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(count):
        if lock := try_lock(folder / f"{name}-{number}"):
            with lock:
                yield Slot(lock, acquired=True)
            return
    yield Slot(None, acquired=False)


def job_capacity(kind: str) -> int:
    """Return how many jobs of ``kind`` may be at work on this machine at a time."""
    found = kinds.get(kind)
    return (1 if found.slots is None else found.slots) * found.at_once

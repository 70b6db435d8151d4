"""Places for jobs on this machine: how many processes may be at work on a kind of job.

The processes of a cluster are one more than the places of its kinds (settings.JOB_KINDS), so a kind that is slow, or of
which thousands wait, leaves the others theirs. A slot is a file lock, which the system releases however its holder
ends.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

LOCAL_WORKER_PREFIX = f"{socket.gethostname()}:"  # how the name of each worker of this machine begins


class Slot:
    """What :func:`place` gives: true where a place is held, or none is needed."""

    def __init__(self, descriptor: int | None, *, acquired: bool) -> None:
        self._descriptor, self._acquired = descriptor, acquired

    def __bool__(self) -> bool:
        return self._acquired

    def give_up(self) -> None:
        """Let another process have the place already."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def job_slot(kind: str) -> Iterator[Slot]:
    """Hold a free place for a job of ``kind``; what it gives is false where all are taken."""
    count = settings.JOB_KINDS[kind].get("places")
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
        descriptor = os.open(folder / f"{name}-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        taken = Slot(descriptor, acquired=True)
        try:
            yield taken
        finally:
            taken.give_up()
        return
    yield Slot(None, acquired=False)


def job_capacity(kind: str) -> int:
    """Return how many jobs of ``kind`` may be at work on this machine at a time."""
    found = settings.JOB_KINDS[kind]
    return int(found.get("places", 1) * found.get("at_once", 1))

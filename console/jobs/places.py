"""Places for jobs on this machine: how many of a kind may be at work that nobody waits for at the screen.

A kind with ``places`` in settings.JOB_KINDS has one worker process more than that. It takes jobs of the manual lane
alone, so that these start at once while a long queue is worked off. A place is a file lock, which the system gives
back however its holder ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings


class Place:
    """What :func:`place` gives: true where a place is held, or none is needed."""

    def __init__(self, descriptor: int | None, *, held: bool) -> None:
        self._descriptor, self._held = descriptor, held

    def __bool__(self) -> bool:
        return self._held

    def give_up(self) -> None:
        """Let another process have the place already."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


@contextmanager
def place(kind: str) -> Iterator[Place]:
    """Hold a free place for a job of ``kind``; what it gives is false where all are taken."""
    count = settings.JOB_KINDS[kind].get("places")
    if count is None:
        yield Place(None, held=True)
        return
    folder = Path(settings.DATA_DIR) / "run" / "places"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(count):
        descriptor = os.open(folder / f"{kind}-{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        taken = Place(descriptor, held=True)
        try:
            yield taken
        finally:
            taken.give_up()
        return
    yield Place(None, held=False)

"""Work that costs a start each time, done at once for all who come meanwhile.

Who asks while the work is at hand waits for its end, and is served with all others who wait by then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from scanning.engines.base import StopCheck

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.1  # between two looks whether a waiting one must stop


class NoWaiters(Exception):
    """All for whom the work was done have gone."""


class _Request(Generic[T, R]):
    def __init__(self, item: T) -> None:
        self.item = item
        self.done = threading.Event()
        self.abandoned = False
        self.result: R | None = None
        self.error: Exception | None = None


class Announcement:
    """That somebody will ask before long: until it is ended, which may be done more than once."""

    def __init__(self, count: Callable[[int], None]) -> None:
        self._count = count
        self._is_open = True
        count(1)

    def end(self) -> None:
        """Take it back, for what was announced has come or will not come."""
        if self._is_open:
            self._is_open = False
            self._count(-1)

    def __enter__(self) -> Announcement:
        return self

    def __exit__(self, *_error: object) -> None:
        self.end()


class Batcher(Generic[T, R]):
    """Calls ``work`` with some items and a check that raises where nobody waits any more; for as many at once as wait.

    ``max_items`` bounds how many, and all have one ``key``: those of other keys wait for the next time. While others
    are known to come, it waits ``wait_seconds`` seconds for them.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T], StopCheck], Sequence[R]],
        *,
        max_items: int,
        wait_seconds: float,
        key: Callable[[T], Hashable] = lambda _item: None,
    ) -> None:
        self._work, self._most, self._linger, self._key = work, max_items, wait_seconds, key
        self._changed = threading.Condition()
        self._waiting: list[_Request[T, R]] = []
        self._announced = 0
        self._at_work = False

    def announce(self) -> Announcement:
        """Say that somebody will ask before long."""
        return Announcement(self._count)

    @property
    def others(self) -> bool:
        """Whether anybody is coming, waiting or served. Who asks has ended his own announcement."""
        with self._changed:
            return bool(self._announced or self._waiting or self._at_work)

    def ask(self, item: T, *, check: StopCheck) -> R:
        """Return what ``work`` returns for ``item``, or raise what it raises, or what ``check`` does."""
        request: _Request[T, R] = _Request(item)
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()
            if not self._at_work:
                self._at_work = True
                threading.Thread(target=self._serve, name="gathering", daemon=True).start()
        try:
            while not request.done.wait(POLL_SECONDS):
                check()
        except BaseException:
            request.abandoned = True
            raise
        if request.error is not None:
            raise request.error
        return request.result  # type: ignore[return-value]  # R may be None

    def _count(self, number: int) -> None:
        with self._changed:
            self._announced += number
            self._changed.notify_all()

    def _serve(self) -> None:
        while batch := self._next():
            self._do(batch)

    def _next(self) -> list[_Request[T, R]]:
        ends = time.monotonic() + self._linger
        with self._changed:
            while self._announced and len(self._waiting) < self._most and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)
            batch = [request for request in self._waiting if not request.abandoned]
            batch = [request for request in batch if self._key(request.item) == self._key(batch[0].item)][: self._most]
            self._waiting = [request for request in self._waiting if not request.abandoned and request not in batch]
            self._at_work = bool(batch)
            return batch

    def _do(self, batch: Sequence[_Request[T, R]]) -> None:
        def check() -> None:
            if all(request.abandoned for request in batch):
                raise NoWaiters

        try:
            for request, result in zip(batch, self._work([each.item for each in batch], check), strict=True):
                request.result = result
        except Exception as error:
            for request in batch:
                request.error = error
        for request in batch:
            request.done.set()

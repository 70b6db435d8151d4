"""Work that costs a start each time, done at once for all who come meanwhile.

Who asks while the work is at hand waits for its end, and is served with all others who wait by then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

from scanning.engines.base import Check

T = TypeVar("T")
R = TypeVar("R")

LOOK_SECONDS = 0.1  # between two looks whether a waiting one must stop


class Nobody(Exception):
    """All for whom the work was done have gone."""


class _Asked(Generic[T, R]):
    def __init__(self, item: T) -> None:
        self.item = item
        self.done = threading.Event()
        self.gone = False
        self.result: R | None = None
        self.error: Exception | None = None


class Gathering(Generic[T, R]):
    """Calls ``work`` with some items and a check that raises where nobody waits any more; for as many at once as wait.

    ``most`` bounds how many, and all have one ``key``: those of other keys wait for the next time. While others are
    known to come, it waits ``linger`` seconds for them.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T], Check], Sequence[R]],
        *,
        most: int,
        linger: float,
        key: Callable[[T], Hashable] = lambda _item: None,
    ) -> None:
        self._work, self._most, self._linger, self._key = work, most, linger, key
        self._changed = threading.Condition()
        self._waiting: list[_Asked[T, R]] = []
        self._coming = 0
        self._at_work = False

    @contextmanager
    def coming(self) -> Iterator[None]:
        """Say that somebody will ask before long: until the end, or until :meth:`ask` is called within."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    @property
    def others(self) -> bool:
        """Whether anybody but the caller, who is coming, is coming or waiting."""
        with self._changed:
            return self._coming + len(self._waiting) > 1

    def ask(self, item: T, *, check: Check) -> R:
        """Return what ``work`` returns for ``item``, or raise what it raises, or what ``check`` does."""
        asked: _Asked[T, R] = _Asked(item)
        with self._changed:
            self._waiting.append(asked)
            self._changed.notify_all()
            if not self._at_work:
                self._at_work = True
                threading.Thread(target=self._serve, name="gathering", daemon=True).start()
        try:
            while not asked.done.wait(LOOK_SECONDS):
                check()
        except BaseException:
            asked.gone = True
            raise
        if asked.error is not None:
            raise asked.error
        return asked.result  # type: ignore[return-value]  # R may be None

    def _count(self, number: int) -> None:
        with self._changed:
            self._coming += number
            self._changed.notify_all()

    def _serve(self) -> None:
        while some := self._next():
            self._do(some)

    def _next(self) -> list[_Asked[T, R]]:
        ends = time.monotonic() + self._linger
        with self._changed:
            while self._coming > len(self._waiting) < self._most and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)
            some = [asked for asked in self._waiting if not asked.gone]
            some = [asked for asked in some if self._key(asked.item) == self._key(some[0].item)][: self._most]
            self._waiting = [asked for asked in self._waiting if not asked.gone and asked not in some]
            self._at_work = bool(some)
            return some

    def _do(self, some: Sequence[_Asked[T, R]]) -> None:
        def check() -> None:
            if all(asked.gone for asked in some):
                raise Nobody

        try:
            for asked, result in zip(some, self._work([each.item for each in some], check), strict=True):
                asked.result = result
        except Exception as error:
            for asked in some:
                asked.error = error
        for asked in some:
            asked.done.set()

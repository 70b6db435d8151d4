"""The threads of a sync: they wait for the network, the main thread alone talks to the database."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from types import TracebackType
from typing import Self, TypeVar

from console import visibility

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.5  # how long a cancel may wait for an answer from the network


class StoppedError(Exception):
    """Raised in the threads when nobody waits for their work any more."""


class FetchPool:
    """``threads`` threads whose results come back in order, with bounded look-ahead.

    While the main thread waits for one of them it calls ``check``; what that raises stops the pool. Threads in the
    middle of a request are not waited for: they see ``raise_if_stopped`` raise, or end with their socket's timeout.
    """

    def __init__(self, *, threads: int, check: Callable[[], None]) -> None:
        self._check = check
        self._stop = threading.Event()
        self._executor = visibility.ThreadPool(threads, thread_name_prefix="sync")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def raise_if_stopped(self) -> None:
        """Called by the network code between chunks and retries: raises StoppedError if the pool has stopped."""
        if self._stop.is_set():
            raise StoppedError

    def call(self, function: Callable[[], R]) -> R:
        """Return what ``function`` returns or raise what it raises, having run it in a thread."""
        return self.result(self.submit(function))

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Have a thread call ``function``, and go on."""
        return self._executor.submit(function)

    def each(self, iterator: Iterator[T]) -> Iterator[T]:
        """Yield from ``iterator``, each step of which may talk to the network and is done in a thread."""
        end = object()
        while (item := self.call(lambda: next(iterator, end))) is not end:
            yield item  # type: ignore[misc]

    def map(self, function: Callable[[T], R], items: Iterable[T], *, ahead: int = 32) -> Iterator[R]:
        """Yield ``function(item)`` for all ``items`` in their order, at most ``ahead`` of them begun and not read."""
        begun: deque[Future[R]] = deque()
        for item in items:
            begun.append(self._executor.submit(function, item))
            while begun and (len(begun) >= ahead or begun[0].done()):
                yield self.result(begun.popleft())
        while begun:
            yield self.result(begun.popleft())

    def result(self, future: Future[R]) -> R:
        """Wait for what was begun; return what it returns or raise what it raises."""
        while True:
            self._check()
            try:
                return future.result(timeout=POLL_SECONDS)
            except TimeoutError:
                if future.done():  # the work itself timed out
                    raise

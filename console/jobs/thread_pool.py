"""Several jobs at once in one process: threads that take one job after the other, for work that mostly waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import connection

log = logging.getLogger(__name__)

IDLE_SECONDS = 0.5  # between looks for a job while others are still at work
LOOK_SECONDS = 0.2  # of the thread that waits for the crew, so that signals are heard
LENT = 2  # times as many jobs at once as there are hands, where most of them wait for each other
PARTING_SECONDS = 60.0  # for jobs that are broken off to end

Waiting = Callable[[], AbstractContextManager[None]]


def work_off(
    take: Callable[[Waiting], Callable[[], None] | None],
    *,
    hands: int,
    go_on: Callable[[bool], bool],
    break_off: Callable[[], None],
) -> int:
    """Take jobs and do them, up to ``hands`` at once, until there are none or not ``go_on``; return how many.

    ``take`` returns what does the next job, or None; within the block that it is given, the job waits for another and
    lends its hand. ``go_on`` is told whether any job is at work: meanwhile others that come are taken too. What is
    raised in this thread meanwhile, from outside, breaks the jobs off: ``break_off`` has them end, then it passes on.
    """
    crew = _Crew(take, hands, go_on)
    crew.call_one()
    try:
        crew.join()
    except BaseException:
        crew.dismiss()
        break_off()
        crew.join(PARTING_SECONDS)
        raise
    return crew.done


class _Crew:
    def __init__(
        self, take: Callable[[Waiting], Callable[[], None] | None], hands: int, go_on: Callable[[bool], bool]
    ) -> None:
        self._take, self._hands, self._go_on = take, hands, go_on
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._busy = self._waiting = 0
        self._dismissed = False
        self.done = 0

    def call_one(self) -> None:
        """Have one more hand, unless there are enough."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) < self._wanted():
                thread = threading.Thread(target=self._work, name=f"hand {len(self._threads) + 1}", daemon=True)
                thread.start()
                self._threads.append(thread)  # not before: nobody can wait for one that has not begun

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let somebody else work meanwhile."""
        with self._lock:
            self._waiting += 1
        self.call_one()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _wanted(self) -> int:
        return min(self._hands + self._waiting, self._hands * LENT)

    def join(self, seconds: float | None = None) -> None:
        """Wait for all, at most so long."""
        ends = None if seconds is None else time.monotonic() + seconds
        while any(thread.is_alive() for thread in list(self._threads)) and (ends is None or time.monotonic() < ends):
            for thread in list(self._threads):
                thread.join(LOOK_SECONDS)

    def dismiss(self) -> None:
        """Have nobody take another job."""
        self._dismissed = True

    def _work(self) -> None:
        try:
            while self._go_on(self._busy > 0) and not self._dismissed and not self._too_many():
                if (job := self._next()) is None:
                    if not self._busy:
                        return
                    time.sleep(IDLE_SECONDS)
                    continue
                self.call_one()  # there may be more
                try:
                    job()
                finally:
                    with self._lock:
                        self._busy -= 1
                        self.done += 1
        except Exception:
            log.exception("A job could not be taken or left")
        finally:
            connection.close()

    def _too_many(self) -> bool:
        """Whether this hand is one too many, since those who had lent theirs are back; it goes then."""
        with self._lock:
            if len(self._threads) <= self._wanted():
                return False
            self._threads.remove(threading.current_thread())
            return True

    def _next(self) -> Callable[[], None] | None:
        with self._lock:  # one at a time: two that look for the next job find the same
            job = self._take(self.waiting)
            self._busy += job is not None
            return job

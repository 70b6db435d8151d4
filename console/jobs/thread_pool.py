"""Several jobs at once in one process: threads that take one job after the other, for work that mostly waits."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from django.db import connection

from console import visibility

log = logging.getLogger(__name__)

IDLE_POLL_SECONDS = 0.5  # between looks for a job while others are still at work
JOIN_POLL_SECONDS = 0.2  # of the thread that waits for the pool, so that signals are handled
MAX_LENT_FACTOR = 2  # times as many jobs at once as there are threads, if most of them wait for each other
ABORT_WAIT_SECONDS = 60.0  # for jobs that are broken off to end

LendThread = Callable[[], AbstractContextManager[None]]


def run_jobs(
    claim: Callable[[LendThread], Callable[[], None] | None],
    *,
    threads: int,
    may_continue: Callable[[bool], bool],
    abort: Callable[[], None],
) -> int:
    """Take jobs and do them, up to ``threads`` at once, until there are none or not ``may_continue``; return how many.

    ``claim`` returns what does the next job, or None; within the block that it is given, the job waits for another and
    lends its hand. ``may_continue`` is told whether any job is at work: meanwhile others that come are taken too. What
    is raised in this thread meanwhile, from outside, breaks the jobs off: ``abort`` has them end, then it passes on.
    """
    pool = _ThreadPool(claim, threads, may_continue)
    pool.start_thread()
    try:
        pool.join()
    except BaseException:
        pool.shut_down()
        abort()
        pool.join(ABORT_WAIT_SECONDS)
        raise
    return pool.done


class _ThreadPool:
    def __init__(
        self,
        claim: Callable[[LendThread], Callable[[], None] | None],
        threads: int,
        may_continue: Callable[[bool], bool],
    ) -> None:
        self._claim, self._thread_count, self._may_continue = claim, threads, may_continue
        self._lock = threading.Lock()
        self._job_ended = threading.Condition(self._lock)
        self._threads: list[threading.Thread] = []
        self._busy = self._waiting = 0
        self._is_shut_down = False
        self.done = 0

    def start_thread(self) -> None:
        """Have one more hand, unless there are enough."""
        with self._lock:
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            if len(self._threads) < self._thread_limit():
                work = visibility.carried(self._work)
                thread = threading.Thread(target=work, name=f"hand {len(self._threads) + 1}", daemon=True)
                thread.start()
                self._threads.append(thread)  # not before: nobody can wait for one that has not begun

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let somebody else work meanwhile."""
        with self._lock:
            self._waiting += 1
        self.start_thread()
        try:
            yield
        finally:
            with self._lock:
                self._waiting -= 1

    def _thread_limit(self) -> int:
        return min(self._thread_count + self._waiting, self._thread_count * MAX_LENT_FACTOR)

    def join(self, seconds: float | None = None) -> None:
        """Wait for all, at most so long."""
        ends = None if seconds is None else time.monotonic() + seconds
        while any(thread.is_alive() for thread in list(self._threads)) and (ends is None or time.monotonic() < ends):
            for thread in list(self._threads):
                thread.join(JOIN_POLL_SECONDS)

    def shut_down(self) -> None:
        """Have nobody take another job."""
        self._is_shut_down = True

    def _work(self) -> None:
        try:
            while self._may_continue(self._busy > 0) and not self._is_shut_down and not self._is_surplus():
                if (job := self._next()) is None:
                    with self._job_ended:
                        if not self._busy:
                            return
                        self._job_ended.wait(IDLE_POLL_SECONDS)
                    continue
                self.start_thread()  # there may be more
                try:
                    job()
                finally:
                    with self._lock:
                        self._busy -= 1
                        self.done += 1
                        self._job_ended.notify_all()
        except Exception:
            log.exception("A job could not be claimed or released")
        finally:
            connection.close()

    def _is_surplus(self) -> bool:
        """Whether this hand is one too many, since those who had lent theirs are back; it goes then."""
        with self._lock:
            if len(self._threads) <= self._thread_limit():
                return False
            self._threads.remove(threading.current_thread())
            return True

    def _next(self) -> Callable[[], None] | None:
        with self._lock:  # one at a time: two that look for the next job find the same
            job = self._claim(self.waiting)
            self._busy += job is not None
            return job

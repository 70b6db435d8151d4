"""Work that is done at once for all who come meanwhile, and for each as if it were alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from scanning.engines.base import StopCheck
from scanning.engines.trivy.batcher import Batcher, NoWaiters
from tests.scanning.engines.conftest import no_stop


class Doubling:
    """Doubles numbers, a batch at a time, and waits in each until it may go on."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.began, self.go_on = threading.Semaphore(0), threading.Event()
        self.broken_off = threading.Event()

    def __call__(self, numbers: Sequence[int], check: StopCheck) -> list[int]:
        self.batches.append(list(numbers))
        self.began.release()
        while not self.go_on.wait(0.01):
            try:
                check()
            except NoWaiters:
                self.broken_off.set()
                raise
        if 13 in numbers:
            raise ValueError("thirteen")
        return [2 * number for number in numbers]


class Stop(Exception):
    pass


def test_who_comes_during_the_work_is_served_with_all_others_that_have_come() -> None:
    work = Doubling()
    gathering = Batcher(work, max_items=10, wait_seconds=0)
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(gathering.ask, 1, check=no_stop)
        assert work.began.acquire(timeout=60)
        others = [pool.submit(gathering.ask, number, check=no_stop) for number in (2, 3, 4)]
        while len(gathering._waiting) < 3:
            time.sleep(0.01)
        work.go_on.set()
        assert [each.result(60) for each in (first, *others)] == [2, 4, 6, 8]
    assert [sorted(batch) for batch in work.batches] == [[1], [2, 3, 4]]


def test_a_batch_is_bounded() -> None:
    work = Doubling()
    gathering = Batcher(work, max_items=2, wait_seconds=0)
    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(gathering.ask, 0, check=no_stop)]
        assert work.began.acquire(timeout=60)
        asked += [pool.submit(gathering.ask, number, check=no_stop) for number in range(1, 6)]
        while len(gathering._waiting) < 5:
            time.sleep(0.01)
        work.go_on.set()
        assert [each.result(60) for each in asked] == [0, 2, 4, 6, 8, 10]
    assert max(len(batch) for batch in work.batches) == 2


def test_a_batch_is_of_one_key_and_those_of_others_are_served_after_it() -> None:
    work = Doubling()
    gathering = Batcher(work, max_items=10, wait_seconds=0, key=lambda number: number % 2)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(gathering.ask, 1, check=no_stop)
        assert work.began.acquire(timeout=60)
        others = [pool.submit(gathering.ask, number, check=no_stop) for number in (2, 3, 4, 5)]
        while len(gathering._waiting) < 4:
            time.sleep(0.01)
        work.go_on.set()
        assert [each.result(60) for each in (first, *others)] == [2, 4, 6, 8, 10]
    assert {tuple(sorted(batch)) for batch in work.batches} == {(1,), (2, 4), (3, 5)}


def test_it_waits_for_those_who_are_known_to_come() -> None:
    work = Doubling()
    work.go_on.set()
    gathering = Batcher(work, max_items=10, wait_seconds=60)
    all_come = threading.Barrier(3)

    def come(number: int) -> int:
        with gathering.announce():
            all_come.wait(60)
            time.sleep(0.05 * number)
            return gathering.ask(number, check=no_stop)

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(come, (0, 1, 2))) == [0, 2, 4]
    assert [sorted(batch) for batch in work.batches] == [[0, 1, 2]]


def test_one_who_must_stop_leaves_at_once_and_the_others_get_theirs() -> None:
    work, stop = Doubling(), threading.Event()
    gathering = Batcher(work, max_items=10, wait_seconds=0)

    def check() -> None:
        if stop.is_set():
            raise Stop

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(gathering.ask, 1, check=no_stop)
        assert work.began.acquire(timeout=60)
        leaving = pool.submit(gathering.ask, 2, check=check)
        staying = pool.submit(gathering.ask, 3, check=no_stop)
        while len(gathering._waiting) < 2:
            time.sleep(0.01)
        stop.set()
        with pytest.raises(Stop):
            leaving.result(60)
        work.go_on.set()
        assert (first.result(60), staying.result(60)) == (2, 6)
    assert work.batches[-1] == [3]


def test_work_for_which_nobody_waits_any_more_is_broken_off() -> None:
    work = Doubling()
    gathering = Batcher(work, max_items=10, wait_seconds=0)

    def check() -> None:
        raise Stop

    with pytest.raises(Stop):
        gathering.ask(1, check=check)
    assert work.broken_off.wait(60)
    work.go_on.set()
    assert gathering.ask(2, check=no_stop) == 4


def test_a_failure_reaches_all_whom_it_concerns_and_the_next_are_served() -> None:
    work = Doubling()
    work.go_on.set()
    gathering = Batcher(work, max_items=10, wait_seconds=0)
    with pytest.raises(ValueError, match="thirteen"):
        gathering.ask(13, check=no_stop)
    assert gathering.ask(1, check=no_stop) == 2

"""Several jobs at once in one process."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import pytest
from django.utils import timezone

from console.jobs import heartbeat, thread_pool
from console.jobs.configuration import JobTimes
from console.jobs.job_run import JobRun
from console.jobs.kinds import JOB_KINDS
from console.jobs.models import Priority, State
from console.jobs.runner import run_queued_jobs
from console.jobs.slots import job_slot
from console.jobs.thread_pool import LendThread, run_jobs
from console.models import HealthProbe
from tests.console.jobs.conftest import wait_for
from tests.console.jobs.test_runner import Settings, queued

pytestmark = pytest.mark.django_db(transaction=True)


class Outside(BaseException):
    """What the queue's own time limit raises."""


@pytest.fixture
def at_once(settings: Settings, overrides: ExitStack) -> None:
    """Three canaries at once in a worker with a place."""
    kind = replace(JOB_KINDS["canary"], cluster="scan", slots=1, at_once=3, manual_first=True)
    overrides.enter_context(JOB_KINDS.overridden({**JOB_KINDS, "canary": kind}))
    settings.JOB_TIMES = JobTimes(poll=0.02, chain=60)


def states() -> list[str]:
    return list(HealthProbe.objects.order_by("pk").values_list("state", flat=True))


@pytest.mark.usefixtures("at_once")
def test_as_many_as_there_are_hands_are_at_work_at_once_and_all_are_done() -> None:
    for _ in range(7):
        queued(priority=Priority.SCHEDULE)
    together = threading.Barrier(3)
    first = iter(range(3))

    def handler(run: JobRun[HealthProbe]) -> None:
        if next(first, None) is not None:
            together.wait(60)  # breaks unless three are here

    run_queued_jobs(HealthProbe, 0, handler)
    assert states() == [State.SUCCEEDED] * 7


@pytest.mark.usefixtures("at_once")
def test_a_job_that_comes_while_another_takes_long_is_done_beside_it() -> None:
    queued(priority=Priority.SCHEDULE)
    late: list[int] = []
    done = threading.Event()

    def handler(run: JobRun[HealthProbe]) -> None:
        if not late:
            late.append(queued(priority=Priority.SCHEDULE).pk)
            assert done.wait(60)
        else:
            done.set()

    run_queued_jobs(HealthProbe, 0, handler)
    assert states() == [State.SUCCEEDED] * 2


@pytest.mark.usefixtures("at_once")
def test_who_takes_no_more_beside_a_job_that_takes_long_gives_the_place_to_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("console.jobs.runner.BUSY_CLAIM_EXTENSION_SECONDS", -60.0)  # the time is over at once
    first = queued(priority=Priority.SCHEDULE)

    def another_has_it() -> bool:
        with job_slot("canary") as other:
            return bool(other)

    def handler(run: JobRun[HealthProbe]) -> None:
        assert run.has_successor() is False
        if run.job.pk == first.pk:
            queued(priority=Priority.SCHEDULE)
        wait_for(another_has_it, what="a free place")

    run_queued_jobs(HealthProbe, 0, handler)
    assert states()[0] == State.SUCCEEDED


@pytest.mark.usefixtures("at_once")
def test_a_hand_that_takes_long_to_begin_breaks_nothing_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(3):
        queued(priority=Priority.SCHEDULE)
    start = threading.Thread.start

    def late(thread: threading.Thread) -> None:
        if thread.name.startswith("hand 2"):
            time.sleep(0.5)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", late)
    run_queued_jobs(HealthProbe, 0, lambda run: None)
    assert states() == [State.SUCCEEDED] * 3


@pytest.mark.usefixtures("at_once")
def test_jobs_that_wait_for_another_lend_their_hands_so_that_it_is_done() -> None:
    jobs = [queued(priority=Priority.SCHEDULE).pk for _ in range(9)]
    done = threading.Event()

    def handler(run: JobRun[HealthProbe]) -> None:
        if run.job.pk == jobs[-1]:
            done.set()
            return
        if run.job.pk < jobs[5]:
            with run.waiting():
                assert done.wait(60)

    run_queued_jobs(HealthProbe, 0, handler)
    assert states() == [State.SUCCEEDED] * 9


@pytest.mark.usefixtures("at_once")
def test_one_that_fails_or_is_cancelled_touches_none_of_the_others() -> None:
    jobs = [queued(priority=Priority.SCHEDULE) for _ in range(3)]
    cancelled = threading.Event()

    def handler(run: JobRun[HealthProbe]) -> None:
        if run.job.pk == jobs[0].pk:
            raise ValueError
        if run.job.pk == jobs[1].pk:
            HealthProbe.objects.filter(pk=jobs[1].pk).update(cancel_requested_at=timezone.now())
            try:
                while True:
                    run.check()
                    time.sleep(0.01)
            finally:
                cancelled.set()
        assert cancelled.wait(60)

    run_queued_jobs(HealthProbe, 0, handler)
    assert states() == [State.FAILED, State.CANCELLED, State.SUCCEEDED]


@pytest.mark.usefixtures("at_once")
def test_a_worker_that_goes_down_takes_no_more_and_gives_back_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        queued(priority=Priority.SCHEDULE)
    begun = threading.Barrier(3)
    down = threading.Event()
    monkeypatch.setattr(heartbeat, "is_draining", down.is_set)

    def handler(run: JobRun[HealthProbe]) -> None:
        begun.wait(60)
        down.set()
        run.check()

    run_queued_jobs(HealthProbe, 0, handler)
    assert states() == [State.QUEUED] * 5


@pytest.mark.usefixtures("at_once")
def test_what_ends_the_worker_from_outside_ends_its_jobs_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    queued(priority=Priority.SCHEDULE), queued(priority=Priority.SCHEDULE)
    begun = threading.Barrier(3)

    def handler(run: JobRun[HealthProbe]) -> None:
        begun.wait(60)
        while True:
            run.check()
            time.sleep(0.01)

    def alarm(*_: object) -> None:
        raise Outside

    before = signal.signal(signal.SIGUSR1, alarm)
    threading.Thread(target=lambda: (begun.wait(60), signal.pthread_kill(main, signal.SIGUSR1))).start()
    main = threading.main_thread().ident or 0
    try:
        with pytest.raises(Outside):
            run_queued_jobs(HealthProbe, 0, handler)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert states() == [State.FAILED] * 2
    assert all("stopped from outside" in reason for reason in HealthProbe.objects.values_list("reason", flat=True))


def test_nobody_is_left_behind_when_there_is_nothing_to_do() -> None:
    def nothing(waiting: LendThread) -> Callable[[], None] | None:
        return None

    assert run_jobs(nothing, threads=4, may_continue=lambda busy: True, abort=lambda: None) == 0


def test_a_thread_that_waits_for_jobs_wakes_with_the_end_of_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thread_pool, "IDLE_POLL_SECONDS", 600.0)  # longer than a test may take
    looked = threading.Event()
    jobs = iter([lambda: looked.wait(60)])

    def claim(_lend: LendThread) -> Callable[[], object] | None:
        job = next(jobs, None)
        if job is None:
            looked.set()  # the second thread has found nothing, while the job of the first goes on
        return job

    assert run_jobs(claim, threads=2, may_continue=lambda _busy: True, abort=lambda: None) == 1

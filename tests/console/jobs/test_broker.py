"""The door to django-q2: hints after commit, cancelling, the one schedule, the safe configuration."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.db import DatabaseError, transaction
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule

from console.jobs import broker, kinds
from console.jobs.configuration import TASK_TIMEOUT_SECONDS, JobTimes, q_cluster_settings, retry_seconds
from console.jobs.kinds import JOB_KINDS
from console.jobs.models import Priority, State
from console.jobs.reaper import reap
from console.jobs.runner import BUSY_CLAIM_EXTENSION_SECONDS
from console.jobs.state import advance
from console.models import HealthProbe, JobEvent, ScanHealthProbe
from scanning.runs.forms import MAX_TIMEOUT_MINUTES

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_hint_is_one_integer_and_goes_out_with_the_commit() -> None:
    with transaction.atomic():
        job = ScanHealthProbe.objects.create(priority=Priority.SCHEDULE)
        broker.enqueue(job)
        assert not OrmQ.objects.exists()
    (message,) = OrmQ.objects.all()
    assert (message.key, message.task["args"], message.task["kwargs"]) == ("scan", (job.pk,), {})
    job.refresh_from_db()
    assert job.queued_at is not None
    assert job.hinted_at is not None


def test_a_transaction_that_fails_sends_nothing() -> None:
    with transaction.atomic():
        broker.enqueue(HealthProbe.objects.create())
        transaction.set_rollback(True)
    assert not OrmQ.objects.exists()


def test_a_broker_that_is_away_costs_time_and_never_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("redis://user:hunter2@queue")

    with monkeypatch.context() as patch:
        patch.setattr(broker, "async_task", refuse)
        job = HealthProbe.objects.create()
        broker.enqueue(job)
    HealthProbe.objects.update(hinted_at=timezone.now() - timedelta(minutes=2))
    reap()
    assert OrmQ.objects.get().task["args"] == (job.pk,)


def test_many_jobs_are_queued_at_once_and_only_the_first_hundreds_are_hinted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker, "MAX_BULK_HINTS", 3)
    jobs = HealthProbe.objects.bulk_create([HealthProbe() for _ in range(8)])
    broker.enqueue_many(jobs)
    assert OrmQ.objects.count() == 3
    assert HealthProbe.objects.exclude(queued_at=None).count() == 8
    assert HealthProbe.objects.filter(hinted_at=None).count() == 5
    reap()
    assert OrmQ.objects.count() == 8


def test_cancelling_a_running_job_is_a_request_and_an_ended_one_stays_as_it_is() -> None:
    running = HealthProbe.objects.create(state=State.RUNNING, attempt=1)
    ended = HealthProbe.objects.create(state=State.SUCCEEDED, attempt=1)
    for job in (running, ended):
        broker.request_cancel(job)
        job.refresh_from_db()
    assert (running.state, running.cancel_requested_at is None) == (State.RUNNING, False)
    assert (ended.state, ended.cancel_requested_at) == (State.SUCCEEDED, None)
    first = running.cancel_requested_at
    broker.request_cancel(running)
    assert running.cancel_requested_at == first


def test_a_cancel_is_not_lost_when_the_job_is_claimed_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    job = HealthProbe.objects.create()

    def claimed_before(*arguments: object, **keywords: object) -> bool:
        HealthProbe.objects.filter(state=State.QUEUED).update(state=State.RUNNING)
        return advance(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(broker, "advance", claimed_before)
    broker.request_cancel(job)
    assert job.cancel_requested_at is not None


def test_there_is_one_tick_schedule_and_a_spoiled_one_is_mended() -> None:
    broker.ensure_tick_schedule()
    broker.ensure_tick_schedule()
    row = Schedule.objects.get()
    assert (row.func, row.schedule_type, row.minutes, row.repeats) == ("console.jobs.tasks.tick", "I", 1, -1)
    Schedule.objects.create(name="tick", func="os.abort")
    Schedule.objects.filter(pk=row.pk).update(
        args="(", repeats=0, next_run=timezone.now() + timedelta(days=9), cluster="gone"
    )
    broker.ensure_tick_schedule()
    row = Schedule.objects.get()
    assert (row.args, row.repeats, row.cluster) == (None, -1, "quick")
    assert row.next_run <= timezone.now()


def test_the_tick_comes_soon_again_after_a_clock_that_was_ahead_is_set_back() -> None:
    broker.ensure_tick_schedule()
    Schedule.objects.update(next_run=timezone.now() + timedelta(days=9))
    broker.ensure_tick_schedule()
    assert Schedule.objects.get().next_run <= timezone.now()
    soon = timezone.now() + timedelta(seconds=50)
    Schedule.objects.update(next_run=soon)
    broker.ensure_tick_schedule()
    assert Schedule.objects.get().next_run == soon


def test_a_state_is_written_with_its_event_its_hook_and_what_belongs_to_it_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hooked: list[tuple[State, int]] = []
    monkeypatch.setattr(HealthProbe, "state_changed", lambda self, to: hooked.append((to, self.attempt)))
    job = HealthProbe.objects.create()

    def fail() -> None:
        raise DatabaseError

    with pytest.raises(DatabaseError):
        advance(job, State.RUNNING, also=fail)
    assert (job.state, job.attempt) == (State.QUEUED, 0)
    assert not JobEvent.objects.exists()
    hooked.clear()
    assert advance(job, State.RUNNING)
    assert hooked == [(State.RUNNING, 1)]
    assert (job.state, job.attempt) == (State.RUNNING, 1)
    assert JobEvent.objects.count() == 1


def test_who_comes_second_writes_nothing() -> None:
    job = HealthProbe.objects.create()
    stale = HealthProbe.objects.get(pk=job.pk)
    assert advance(job, State.CANCELLED)
    assert not advance(stale, State.RUNNING, also=lambda: pytest.fail("it was called"))
    assert JobEvent.objects.count() == 1
    assert not advance(HealthProbe.objects.create(state=State.RUNNING, attempt=3), State.FAILED, attempt=2)


@pytest.mark.parametrize("to", [State.SUCCEEDED, State.FAILED, State.QUEUED])
def test_a_move_that_makes_no_sense_is_a_mistake_of_the_caller(to: State) -> None:
    with pytest.raises(ValueError, match="cannot go"):
        advance(HealthProbe.objects.create(), to)


def test_the_configuration_keeps_clear_of_the_defects_of_django_q2() -> None:
    configured = q_cluster_settings(redis_url="")
    for one in (configured, configured["ALT_CLUSTERS"]["scan"]):
        assert one["queue_limit"] == 1, "0 would mean no limit"
        assert one["catch_up"] is False
        assert one["max_attempts"] == 1
        assert one["retry"] > one["timeout"] * 2
        assert (one["timeout"] + 3) % one["guard_cycle"] == 0, "its timer would step over zero"
        needed = retry_seconds(timeout=TASK_TIMEOUT_SECONDS, queue_limit=1, workers=kinds.worker_count(one["name"]))
        assert one["retry"] == needed
    assert retry_seconds(timeout=4200, queue_limit=1, workers=2) == 8460


def test_a_cluster_has_the_workers_of_its_kinds_and_prepares_what_they_share(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    done: list[str] = []

    def fail() -> None:
        done.append("one that fails")
        raise OSError("the disk is full")

    table = {
        "canary": replace(JOB_KINDS["canary"], slots=4, at_once=2, prepare=lambda: done.append("another cluster")),
        "scan": replace(JOB_KINDS["scan"], slots=5, prepare=fail),
        "scan-canary": replace(JOB_KINDS["scan-canary"], prepare=lambda: done.append("the next")),
    }
    monkeypatch.setattr(broker, "die_with_parent_after_fork", lambda: None)
    monkeypatch.setattr(
        broker,
        "Cluster",
        lambda: SimpleNamespace(
            start=lambda: done.append(f"{Conf.WORKERS} workers of {Conf.CLUSTER_NAME}"),
            sentinel=SimpleNamespace(join=lambda: done.append("the end")),
        ),
    )
    monkeypatch.setattr(Conf, "WORKERS", 1)
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "quick")
    with JOB_KINDS.overridden(table):
        broker.run_cluster("scan")
        assert kinds.worker_count("quick") == 9
    assert done == ["one that fails", "the next", "6 workers of scan", "the end"]
    assert "fail failed; the workers do it when they need it" in caplog.text


def test_the_longest_scan_has_its_time_also_where_it_was_taken_last_beside_others() -> None:
    taken_at_latest = JobTimes().chain + BUSY_CLAIM_EXTENSION_SECONDS
    assert taken_at_latest + MAX_TIMEOUT_MINUTES * 60 + JobTimes().settle < TASK_TIMEOUT_SECONDS


def test_a_silent_redis_does_not_hold_up_the_pages() -> None:
    for url in ("redis://queue:6379/0", "rediss://queue/0?ssl_cert_reqs=required"):
        configured = q_cluster_settings(redis_url=url)["redis"]
        assert configured.startswith(url)
        assert "socket_timeout=5" in configured

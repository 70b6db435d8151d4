"""Places for kinds of jobs: none takes those of another, and what lasts a moment has one at all times."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as project
from django.db import IntegrityError
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from console.jobs import broker, kinds
from console.jobs import tasks as job_tasks
from console.jobs.configuration import JobTimes
from console.jobs.kinds import JOB_KINDS
from console.jobs.lease import Lease
from console.jobs.models import Job, Priority, State
from console.jobs.reaper import reap
from console.jobs.runner import run_queued_jobs
from console.jobs.slots import job_slot, machine_slot
from console.models import HealthProbe, ScanHealthProbe

pytestmark = pytest.mark.django_db(transaction=True)


def one_kind(overrides: ExitStack, **more: Any) -> None:
    """Let canaries be a kind of the cluster ``quick`` with one place."""
    kind = replace(JOB_KINDS["canary"], slots=1, **more)
    overrides.enter_context(JOB_KINDS.overridden({**JOB_KINDS, "canary": kind}))


def test_there_is_a_process_for_each_place_and_one_that_no_kind_can_take() -> None:
    lasting = [kind for kind in kinds.kinds() if kind.cluster == "quick" and kind.model is not HealthProbe]
    assert all(kind.slots for kind in lasting), "a kind without places takes whatever process is free"
    taken = sum((kind.slots or 0) * (2 if kind.at_once > 1 else 1) for kind in lasting)
    assert kinds.worker_count("quick") == taken + 1
    assert kinds.worker_count("scan") == project.SCAN_WORKERS + 1


@pytest.mark.parametrize("priority", [Priority.MANUAL, Priority.SCHEDULE])
def test_who_finds_no_place_leaves_at_once_and_sends_no_hint(overrides: ExitStack, priority: Priority) -> None:
    one_kind(overrides)
    job = HealthProbe.objects.create(priority=priority)
    with job_slot("canary") as held:
        assert held
        run_queued_jobs(HealthProbe, job.pk, lambda run: pytest.fail("there is no place"))
    job.refresh_from_db()
    assert (job.state, OrmQ.objects.count()) == (State.QUEUED, 0)
    run_queued_jobs(HealthProbe, job.pk, lambda run: None)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED


def test_a_gate_that_takes_long_holds_one_process_for_each_place_and_no_more(
    overrides: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_kind(overrides)
    monkeypatch.setattr("console.jobs.runner.GATE_CLOSED_PAUSE_SECONDS", 0.0)
    asked: list[bool] = []
    monkeypatch.setattr("console.jobs.runner._may_claim", lambda _model: bool(asked.append(True)))
    job = HealthProbe.objects.create()
    with job_slot("canary"):
        run_queued_jobs(HealthProbe, job.pk, lambda run: None)
    assert (asked, OrmQ.objects.count()) == ([], 0), "the one with the place asks, and passes the hint on"
    run_queued_jobs(HealthProbe, job.pk, lambda run: pytest.fail("the gate is closed"))
    assert (asked, OrmQ.objects.count()) == ([True], 1)


def test_a_hint_that_comes_before_its_time_waits_for_the_job(settings: Settings, overrides: ExitStack) -> None:
    one_kind(overrides)
    settings.JOB_TIMES = JobTimes(poll=0.02, chain=60)
    soon = HealthProbe.objects.create(not_before=timezone.now() + timedelta(seconds=1.5))
    late = HealthProbe.objects.create(not_before=timezone.now() + timedelta(seconds=3600))
    run_queued_jobs(HealthProbe, soon.pk, lambda run: None)
    soon.refresh_from_db()
    late.refresh_from_db()
    assert (soon.state, late.state) == (State.SUCCEEDED, State.QUEUED)


def test_a_worker_that_ends_wakes_another_though_hints_of_other_kinds_wait(overrides: ExitStack) -> None:
    one_kind(overrides)
    first, second = HealthProbe.objects.create(), HealthProbe.objects.create()
    broker.hint(ScanHealthProbe.objects.create())
    OrmQ.objects.update(key=project.Q_CLUSTER["name"])  # as if it were one for this cluster
    run_queued_jobs(HealthProbe, first.pk, lambda run: None)
    assert [message.task["args"] for message in OrmQ.objects.order_by("pk")][1:] == [(second.pk,)]


def test_thousands_of_jobs_of_a_kind_send_no_more_hints_than_there_are_hands(overrides: ExitStack) -> None:
    one_kind(overrides, at_once=3)
    jobs = HealthProbe.objects.bulk_create([HealthProbe() for _ in range(700)])
    broker.enqueue_many(jobs)
    assert OrmQ.objects.count() == 3
    OrmQ.objects.all().delete()
    HealthProbe.objects.update(hinted_at=timezone.now() - timedelta(minutes=2))
    reap()
    assert OrmQ.objects.count() == 3


def test_ticks_take_one_process_at_a_time(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    done: list[int] = []
    monkeypatch.setattr(job_tasks, "run_ticks", lambda: done.append(1))
    with machine_slot("tick", 1), caplog.at_level(logging.WARNING):
        job_tasks.tick()
    assert not done
    assert "still running" in caplog.text
    job_tasks.tick()
    assert done == [1]


def test_a_job_that_lasts_is_no_sign_of_life_of_a_cluster_whose_queue_may_be_stuck(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    settings.JOB_TIMES = JobTimes(heartbeat=0)
    for model in (HealthProbe, ScanHealthProbe):
        job = model.objects.create(state=State.RUNNING, attempt=1)
        monkeypatch.setattr("console.jobs.heartbeat.report_alive", lambda kind=model.kind: shown.append(kind))
        Lease(job, 1)._poll()
    assert shown == ["scan-canary"]  # there all processes may be taken by scans for long


def test_a_kind_that_cannot_be_looked_after_keeps_no_other_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looked_after: list[str] = []

    def recover(model: type[Job]) -> None:
        if model.kind == "sync":
            raise IntegrityError("a row that cannot change")
        looked_after.append(model.kind)

    monkeypatch.setattr("console.jobs.reaper.recover_expired", recover)
    reap()
    assert set(looked_after) == set(JOB_KINDS) - {"sync"}
    assert "of the kind sync" in caplog.text


def test_several_places_of_one_name_are_held_one_by_one() -> None:
    with ExitStack() as stack:
        held = [bool(stack.enter_context(machine_slot("some", 2))) for _ in range(3)]
    assert held == [True, True, False]

"""The reaper: expired leases, lost hints, stale scratch folders, old records."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from console.jobs import broker, kinds, reaper
from console.jobs.broker import request_cancel
from console.jobs.configuration import JobTimes
from console.jobs.job_run import scratch_root
from console.jobs.models import State
from console.jobs.state import advance
from console.models import HealthProbe, JobEvent, ScanHealthProbe

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def database_was_there() -> Iterator[None]:
    reaper._database_failed_at = float("-inf")
    yield
    reaper._database_failed_at = float("-inf")


def running(*, lease: timedelta, **fields: Any) -> HealthProbe:
    return HealthProbe.objects.create(
        **{"state": State.RUNNING, "attempt": 1, "worker": "host:1", "lease_until": timezone.now() + lease} | fields
    )


def queued_before(seconds: float, **fields: Any) -> HealthProbe:
    return HealthProbe.objects.create(hinted_at=timezone.now() - timedelta(seconds=seconds), **fields)


EXPIRED = timedelta(seconds=-1)


def test_a_lease_that_holds_is_left_alone() -> None:
    job = running(lease=timedelta(seconds=30))
    reaper.reap()
    job.refresh_from_db()
    assert (job.state, job.losses) == (State.RUNNING, 0)


def test_an_expired_lease_goes_back_to_the_queue_and_is_hinted() -> None:
    job = running(lease=EXPIRED)
    reaper.reap()
    job.refresh_from_db()
    assert (job.state, job.losses, job.lease_until) == (State.QUEUED, 1, None)
    assert job.hinted_at is not None
    assert OrmQ.objects.count() == 1


def test_no_lease_counts_as_lost_right_after_the_database_was_away(settings: Settings) -> None:
    settings.JOB_TIMES = JobTimes(lease=0.3)
    job = running(lease=EXPIRED)
    reaper.note_database_failure()
    reaper.reap()
    job.refresh_from_db()
    assert (job.state, job.losses) == (State.RUNNING, 0), "its worker may live and renew it now"
    time.sleep(0.35)
    reaper.reap()
    job.refresh_from_db()
    assert (job.state, job.losses) == (State.QUEUED, 1)


def test_the_second_loss_is_the_end() -> None:
    job = running(lease=EXPIRED, losses=1)
    reaper.reap()
    job.refresh_from_db()
    assert (job.state, job.losses) == (State.FAILED, 2)
    assert job.reason
    assert job.remedy


def test_a_lost_job_that_was_to_be_cancelled_is_cancelled() -> None:
    job = running(lease=EXPIRED)
    request_cancel(job)
    reaper.reap()
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_lost_job_that_is_to_be_cancelled_meanwhile_does_not_return_to_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = running(lease=EXPIRED)

    def late(*arguments: Any, **keywords: Any) -> bool:
        request_cancel(HealthProbe.objects.get(pk=job.pk))
        return advance(*arguments, **keywords)

    monkeypatch.setattr(reaper, "advance", late)
    reaper.reap()
    job.refresh_from_db()
    assert job.state == State.RUNNING  # the next round sees to it
    reaper.reap()
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_heartbeat_between_look_and_write_saves_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    job = running(lease=EXPIRED)

    def late(*arguments: Any, **keywords: Any) -> bool:
        HealthProbe.objects.update(lease_until=timezone.now() + timedelta(seconds=60))
        return advance(*arguments, **keywords)

    monkeypatch.setattr(reaper, "advance", late)
    reaper.reap()
    job.refresh_from_db()
    assert job.state == State.RUNNING
    assert not JobEvent.objects.exists()


def test_a_hint_is_sent_again_after_a_minute_and_not_before() -> None:
    queued_before(59 - 10)
    stale = queued_before(61)
    reaper.resend_hints(HealthProbe)
    assert [message.task["args"] for message in OrmQ.objects.all()] == [(stale.pk,)]
    reaper.resend_hints(HealthProbe)
    assert OrmQ.objects.count() == 1


def test_a_job_whose_pause_is_over_is_hinted_and_one_that_waits_is_not() -> None:
    over = HealthProbe.objects.create(not_before=timezone.now() - timedelta(seconds=1))
    HealthProbe.objects.create(not_before=timezone.now() + timedelta(hours=1))
    reaper.resend_hints(HealthProbe)
    assert [message.task["args"] for message in OrmQ.objects.all()] == [(over.pk,)]


def test_hints_never_flood_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaper, "REAP_BATCH_JOBS", 5)
    for _ in range(12):
        queued_before(61)
    reaper.resend_hints(HealthProbe)
    reaper.resend_hints(HealthProbe)
    assert broker.queue_size("quick") == 5


def test_a_stale_scratch_folder_goes_and_that_of_a_running_attempt_stays() -> None:
    job = running(lease=timedelta(seconds=30), attempt=2)
    kept = scratch_root() / f"canary-{job.pk}-2"
    names = [f"canary-{job.pk}-1", f"scan-canary-{job.pk}-2", "canary-999999-1"]
    for folder in [kept, *(scratch_root() / name for name in names)]:
        folder.mkdir(parents=True)
        (folder / "layer").touch()
    foreign = scratch_root() / "somebody-elses"
    foreign.mkdir()
    reaper.sweep_scratch()
    assert kept.exists()
    assert foreign.exists()
    assert not [name for name in names if (scratch_root() / name).exists()]
    kept.joinpath("layer").unlink()
    kept.rmdir()
    foreign.rmdir()


def test_a_folder_of_a_process_that_has_ended_goes_and_that_of_one_at_work_stays() -> None:
    with subprocess.Popen(["/bin/true"]) as ended:
        pass
    in_use, stale = (scratch_root() / f"process-{pid}-1" for pid in (os.getpid(), ended.pid))
    for folder in (in_use, stale):
        folder.mkdir(parents=True)
        (folder / "layer").touch()
    reaper.sweep_scratch()
    assert (in_use / "layer").exists()
    assert not stale.exists(), "what a killed worker has left fills the disk otherwise"
    in_use.joinpath("layer").unlink()
    in_use.rmdir()


def test_old_canaries_and_events_go() -> None:
    old, new = timezone.now() - timedelta(hours=2), timezone.now()
    for model in (HealthProbe, ScanHealthProbe):
        model.objects.create(state=State.SUCCEEDED, ended_at=old)
        model.objects.create(state=State.SUCCEEDED, ended_at=new)
    for kind, age in [("canary", 2 / 24), ("scan", 2 / 24), ("scan", 91)]:
        event = JobEvent.objects.create(kind=kind, job_id=1, from_state="a", to_state="b", attempt=1)
        JobEvent.objects.filter(pk=event.pk).update(at=timezone.now() - timedelta(days=age))
    reaper.prune()
    assert (HealthProbe.objects.count(), ScanHealthProbe.objects.count()) == (1, 1)
    assert list(JobEvent.objects.values_list("kind", flat=True)) == ["scan"]


def test_each_kind_of_job_names_a_model_and_a_known_cluster() -> None:
    for model in reaper.job_models():
        assert kinds.get(model.kind).cluster in {"quick", "scan"}


def test_a_job_that_cannot_be_taken_back_keeps_no_other_of_its_kind_from_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other, waiting = running(lease=EXPIRED), running(lease=EXPIRED), queued_before(3600)

    def refuse(self: HealthProbe, to: State) -> None:
        if self.pk == broken.pk:
            raise ValueError("what belongs to it is not as it should be")

    monkeypatch.setattr(HealthProbe, "state_changed", refuse)
    reaper.reap()
    for job in (broken, other, waiting):
        job.refresh_from_db()
    assert (broken.state, other.state) == (State.RUNNING, State.QUEUED)
    assert waiting.hinted_at is not None
    assert waiting.hinted_at > timezone.now() - timedelta(seconds=60)
    assert "could not be put back into the queue" in caplog.text

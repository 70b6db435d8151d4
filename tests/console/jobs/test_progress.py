"""What is written of the progress of a job, and when: neither each step nor nothing."""

from __future__ import annotations

import time

import pytest
from pytest_django import Settings

from console.jobs import job_run as work_module
from console.jobs.configuration import JobTimes
from console.jobs.job_run import JobRun
from console.jobs.models import State
from console.jobs.runner import run_queued_jobs
from console.models import HealthProbe
from tests.console.jobs.test_runner import queued, quick_polls

__all__ = ["quick_polls"]

pytestmark = pytest.mark.django_db(transaction=True)


def test_progress_is_written_at_a_new_stage_and_what_was_held_back_at_the_end(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_TIMES = JobTimes(poll=60)
    monkeypatch.setattr(work_module, "STAGE_INTERVAL_SECONDS", 0)
    job = queued()

    def count(run: JobRun[HealthProbe]) -> None:
        run.progress("pull", 0, 10)
        run.progress("pull", 7, 10)
        job.refresh_from_db()
        assert (job.stage, job.progress_done) == ("pull", 0)
        run.progress("unpack", 3, 10)
        job.refresh_from_db()
        assert (job.stage, job.progress_done, job.percent) == ("unpack", 3, 30)
        run.progress("unpack", 10, 10)

    run_queued_jobs(HealthProbe, job.pk, count)
    job.refresh_from_db()
    assert (job.state, job.progress_done) == (State.SUCCEEDED, 10)


def test_stages_that_last_a_moment_are_not_written_and_one_that_lasts_is_though_the_work_says_no_more(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "STAGE_INTERVAL_SECONDS", 60)
    job = queued()
    seen: list[str] = []

    def look(run: JobRun[HealthProbe]) -> None:
        run.progress("pull")
        run.lease._end.set()  # nobody catches up
        run.lease._thread.join()
        for stage in ("unpack", "read"):
            run.progress(stage)
            job.refresh_from_db()
            seen.append(job.stage)
        run._flush_stage()
        job.refresh_from_db()
        seen.append(job.stage)

    run_queued_jobs(HealthProbe, job.pk, look)
    assert seen == ["pull", "pull", "read"]
    assert JobTimes().poll <= 1, "so soon does the lease's thread catch up"


def test_the_thread_of_the_lease_writes_a_stage_that_was_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "STAGE_INTERVAL_SECONDS", 600)
    job = queued()

    def busy(run: JobRun[HealthProbe]) -> None:
        run.progress("pull")
        run.progress("unpack")
        for _ in range(500):
            time.sleep(0.01)
            job.refresh_from_db()
            if job.stage == "unpack":
                return
        pytest.fail("the stage was never written")

    run_queued_jobs(HealthProbe, job.pk, busy)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED

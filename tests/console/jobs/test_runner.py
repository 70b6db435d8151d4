"""One delivery of a hint: what is claimed, what becomes of it, and who may still write."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from django.db.transaction import TransactionManagementError
from django.utils import timezone
from pytest_django import Settings

from console.i18n.message_codes import ExplainedError, Message
from console.jobs import heartbeat as jobs_heartbeat
from console.jobs import job_run, lease
from console.jobs import runner as work_module
from console.jobs.broker import request_cancel
from console.jobs.configuration import JobTimes
from console.jobs.errors import JobFailure, LeaseLost
from console.jobs.job_run import JobRun, scratch_root
from console.jobs.kinds import JOB_KINDS
from console.jobs.models import Priority, State
from console.jobs.runner import run_queued_jobs
from console.jobs.state import advance
from console.models import HealthProbe, JobEvent

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def quick_polls(settings: Settings) -> None:
    settings.JOB_TIMES = JobTimes(poll=0.02, chain=0)


def queued(**fields: object) -> HealthProbe:
    return HealthProbe.objects.create(**fields)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def until(run: JobRun[HealthProbe]) -> None:
    """Work until something makes ``check()`` raise."""
    for _ in range(1000):
        run.check()
        time.sleep(0.01)
    pytest.fail("nothing stopped the work")


def test_a_handler_that_returns_has_succeeded() -> None:
    job = queued()
    seen: list[tuple[str, int, bool]] = []
    run_queued_jobs(HealthProbe, job.pk, lambda run: seen.append((run.job.state, run.attempt, run.scratch.is_dir())))
    job.refresh_from_db()
    assert seen == [(State.RUNNING, 1, True)]
    assert job.state == State.SUCCEEDED
    assert job.ended_at is not None
    assert job.lease_until is None
    assert ":" in job.worker
    moves = list(JobEvent.objects.order_by("id").values_list("from_state", "to_state", "attempt"))
    assert moves == [("queued", "running", 1), ("running", "succeeded", 1)]


def test_a_second_delivery_of_the_same_hint_does_nothing(caplog: pytest.LogCaptureFixture) -> None:
    job = queued()
    runs: list[int] = []
    caplog.set_level("INFO", logger="console.jobs.runner")
    run_queued_jobs(HealthProbe, job.pk, lambda run: runs.append(run.job.pk))
    run_queued_jobs(HealthProbe, job.pk, lambda run: runs.append(run.job.pk))
    assert runs == [job.pk]
    assert "found no such job" in caplog.text


def test_the_lower_lane_goes_first_then_the_older_job_whichever_hint_came() -> None:
    late = timezone.now() + timedelta(hours=1)
    scheduled, waiting = queued(priority=Priority.SCHEDULE), queued(priority=Priority.MANUAL, not_before=late)
    first, second = queued(priority=Priority.MANUAL), queued(priority=Priority.MANUAL)
    order: list[int] = []
    for _ in range(5):
        run_queued_jobs(HealthProbe, scheduled.pk, lambda run: order.append(run.job.pk))
    assert order == [first.pk, second.pk, scheduled.pk]
    waiting.refresh_from_db()
    assert waiting.state == State.QUEUED


def test_a_failure_shows_its_reason_and_remedy() -> None:
    job = queued()

    def fail(run: JobRun[HealthProbe]) -> None:
        raise JobFailure("The sky fell.", "Prop it up.")

    run_queued_jobs(HealthProbe, job.pk, fail)
    job.refresh_from_db()
    assert (job.state, job.reason, job.remedy) == (State.FAILED, "The sky fell.", "Prop it up.")


def test_an_error_of_another_layer_with_reason_and_remedy_is_shown_as_it_is() -> None:
    class ClosedError(ExplainedError):
        """As RegistryError, EngineError and LayerError are."""

    def fail(run: JobRun[HealthProbe]) -> None:
        raise ClosedError(Message("The registry is closed.", "test.closed"), Message("Open it."))

    job = queued()
    run_queued_jobs(HealthProbe, job.pk, fail)
    job.refresh_from_db()
    assert (job.state, job.reason, job.remedy) == (State.FAILED, "The registry is closed.", "Open it.")
    assert job.reason.code == JobEvent.objects.order_by("pk").last().reason.code == "test.closed"  # type: ignore[union-attr]


def test_an_unknown_error_names_the_log_line_and_nothing_of_itself(caplog: pytest.LogCaptureFixture) -> None:
    def fail(run: JobRun[HealthProbe]) -> None:
        raise RuntimeError("hunter2")

    job = queued()
    run_queued_jobs(HealthProbe, job.pk, fail)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "hunter2" not in job.reason + job.remedy
    number = next(record.args[0] for record in caplog.records if record.msg.startswith("Error %s"))  # type: ignore[index]
    assert str(number) in job.reason
    assert str(number) in job.remedy


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "There is no space left on a disk of the console."),
        (errno.EDQUOT, "There is no space left on a disk of the console."),
        (errno.EMFILE, "The console has too many open files and connections."),
        (errno.ENFILE, "The console has too many open files and connections."),
    ],
)
def test_what_the_machine_lacks_is_named_and_tried_once_more(number: int, reason: str) -> None:
    def fill(run: JobRun[HealthProbe]) -> None:
        raise OSError(number, "no more")

    job = queued()
    run_queued_jobs(HealthProbe, job.pk, fill)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.QUEUED, reason)
    HealthProbe.objects.update(not_before=None)
    run_queued_jobs(HealthProbe, job.pk, fill)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.FAILED, reason)
    assert job.remedy


def test_a_failure_that_may_pass_is_tried_once_more_and_never_again() -> None:
    def fail(run: JobRun[HealthProbe]) -> None:
        raise JobFailure("Busy.", "Wait.", retry=True)

    job = queued()
    run_queued_jobs(HealthProbe, job.pk, fail)
    job.refresh_from_db()
    assert (job.state, job.reason, job.losses) == (State.QUEUED, "Busy.", 0)
    assert job.not_before is not None
    assert job.not_before > timezone.now() + timedelta(seconds=30)
    run_queued_jobs(HealthProbe, job.pk, fail)
    job.refresh_from_db()
    assert job.attempt == 1, "it was taken before its pause was over"
    HealthProbe.objects.update(not_before=None)
    run_queued_jobs(HealthProbe, job.pk, fail)
    job.refresh_from_db()
    assert (job.state, job.reason, job.attempt) == (State.FAILED, "Busy.", 2)


def test_a_cancel_request_reaches_the_running_work() -> None:
    job = queued()

    def slow(run: JobRun[HealthProbe]) -> None:
        request_cancel(HealthProbe.objects.get(pk=job.pk))
        until(run)

    run_queued_jobs(HealthProbe, job.pk, slow)
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_queued_job_is_cancelled_at_once_and_its_hint_finds_nothing() -> None:
    job = queued()
    request_cancel(job)
    assert job.state == State.CANCELLED
    run_queued_jobs(HealthProbe, job.pk, lambda run: pytest.fail("it ran"))


def test_draining_returns_the_job_to_the_queue_without_a_loss(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("worker")
    monkeypatch.setenv(jobs_heartbeat.FOLDER_VARIABLE, str(folder))
    job = queued()

    def slow(run: JobRun[HealthProbe]) -> None:
        jobs_heartbeat.drain_file(folder).touch()
        until(run)

    run_queued_jobs(HealthProbe, job.pk, slow)
    job.refresh_from_db()
    assert (job.state, job.losses, job.hinted_at) == (State.QUEUED, 0, None)
    run_queued_jobs(HealthProbe, job.pk, lambda run: pytest.fail("a draining worker took a job"))


def test_a_cancelled_job_does_not_return_to_the_queue_when_the_worker_drains(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("worker")
    monkeypatch.setenv(jobs_heartbeat.FOLDER_VARIABLE, str(folder))
    settings.JOB_TIMES = JobTimes(poll=60)
    job = queued()

    def slow(run: JobRun[HealthProbe]) -> None:
        request_cancel(HealthProbe.objects.get(pk=job.pk))
        jobs_heartbeat.drain_file(folder).touch()
        until(run)

    run_queued_jobs(HealthProbe, job.pk, slow)
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_stale_attempt_can_write_neither_progress_nor_result() -> None:
    job = queued()
    written: list[str] = []

    def overtaken(run: JobRun[HealthProbe]) -> None:
        run.lease._end.set()  # a worker that does not notice by itself
        HealthProbe.objects.filter(pk=job.pk).update(attempt=2)
        with pytest.raises(LeaseLost):
            run.progress("pull", 1, 2)
        with pytest.raises(LeaseLost):
            run.finish(write=lambda: written.append("result"))
        run.finish(write=lambda: written.append("result"))

    run_queued_jobs(HealthProbe, job.pk, overtaken)
    job.refresh_from_db()
    assert (job.state, job.stage, written) == (State.RUNNING, "", [])


def test_a_worker_notices_that_its_lease_is_gone() -> None:
    job = queued()
    noticed = threading.Event()

    def slow(run: JobRun[HealthProbe]) -> None:
        other = HealthProbe.objects.get(pk=job.pk)
        assert advance(other, State.QUEUED, expect=State.RUNNING)
        try:
            until(run)
        except LeaseLost:
            noticed.set()
            raise

    run_queued_jobs(HealthProbe, job.pk, slow)
    job.refresh_from_db()
    assert noticed.is_set()
    assert job.state == State.QUEUED


def test_heartbeats_extend_the_lease(settings: Settings) -> None:
    settings.JOB_TIMES = JobTimes(poll=0.02, heartbeat=0)
    job = queued()

    def slow(run: JobRun[HealthProbe]) -> None:
        first = run.job.lease_until
        for _ in range(500):
            time.sleep(0.01)
            run.job.refresh_from_db()
            if run.job.lease_until != first:
                return
        pytest.fail("the lease was never extended")

    run_queued_jobs(HealthProbe, job.pk, slow)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED


def test_the_result_and_the_state_are_one() -> None:
    job = queued()

    def half(run: JobRun[HealthProbe]) -> None:
        def write() -> None:
            queued(stage="part of the result")
            raise JobFailure("Half.", "Whole.")

        run.finish(write=write)

    run_queued_jobs(HealthProbe, job.pk, half)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.FAILED, "Half.")
    assert not HealthProbe.objects.filter(stage="part of the result").exists()


def test_a_result_waits_for_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    job = queued()
    tries: list[int] = []

    def write() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OperationalError("server closed the connection")

    run_queued_jobs(HealthProbe, job.pk, lambda run: run.finish(write=write))
    job.refresh_from_db()
    assert (job.state, len(tries)) == (State.SUCCEEDED, 2)


@pytest.mark.parametrize(
    "error",
    [
        OperationalError("terminating connection due to administrator command"),
        InterfaceError("connection already closed"),
        _caused(TransactionManagementError("the transaction is broken"), OperationalError("database is locked")),
        _caused(JobFailure("Trivy could not keep a layer.", "Try again."), OperationalError("deadlock detected")),
    ],
)
def test_a_database_that_does_not_answer_is_no_result(error: Exception) -> None:
    job = queued()

    def fails_once(run: JobRun[HealthProbe]) -> None:
        if run.attempt == 1:
            raise error

    run_queued_jobs(HealthProbe, job.pk, fails_once)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.QUEUED, "The database did not respond; the job starts again.")
    assert (job.losses, job.retried, job.database_errors) == (0, False, 1)
    assert job.not_before is not None
    HealthProbe.objects.update(not_before=None)
    run_queued_jobs(HealthProbe, job.pk, fails_once)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.SUCCEEDED, 2)


def test_a_database_that_never_answers_ends_the_job_with_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    job = queued()

    def fails(_run: JobRun[HealthProbe]) -> None:
        raise OperationalError("no such table: canary")

    pauses = []
    for _attempt in range(work_module.MAX_DATABASE_RETRIES + 1):
        run_queued_jobs(HealthProbe, job.pk, fails)
        job.refresh_from_db()
        if job.not_before:
            pauses.append(round((job.not_before - timezone.now()).total_seconds()))
        HealthProbe.objects.update(not_before=None)
    assert (job.state, job.attempt) == (State.FAILED, work_module.MAX_DATABASE_RETRIES + 1)
    assert "An unexpected error" in job.reason
    assert "no such table" in caplog.text
    assert pauses[:3] == [2, 4, 8]
    assert max(pauses) == 300


def test_a_lease_that_ran_out_while_the_database_was_away_is_no_loss(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_TIMES = JobTimes(poll=0.02, heartbeat=0.02, lease=0.2, chain=0)
    job = queued()

    def no_answer(_lease: lease.Lease) -> None:
        raise OperationalError("no answer")

    monkeypatch.setattr(lease.Lease, "_poll", no_answer)
    run_queued_jobs(HealthProbe, job.pk, until)
    job.refresh_from_db()
    assert (job.state, job.losses, job.attempt) == (State.QUEUED, 0, 1)


def test_a_lease_that_another_worker_has_by_now_is_left_to_it() -> None:
    job = queued()

    def taken(run: JobRun[HealthProbe]) -> None:
        HealthProbe.objects.filter(pk=job.pk).update(attempt=2, worker="another:1")
        until(run)

    run_queued_jobs(HealthProbe, job.pk, taken)
    job.refresh_from_db()
    assert (job.state, job.attempt, job.worker) == (State.RUNNING, 2, "another:1")


def test_a_job_is_put_back_however_long_the_database_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.JOB_TIMES = JobTimes(poll=0.02, chain=0, settle=0)
    monkeypatch.setattr(job_run.time, "sleep", lambda _seconds: None)
    job = queued()
    real, tries = job_run.advance, []

    def away(moved: HealthProbe, to: State, **values: Any) -> bool:
        if to is State.QUEUED and len(tries) < 5:
            tries.append(to)
            raise OperationalError("no answer")
        return real(moved, to, **values)

    monkeypatch.setattr(job_run, "advance", away)

    def fails(_run: JobRun[HealthProbe]) -> None:
        raise OperationalError("no answer")

    run_queued_jobs(HealthProbe, job.pk, fails)
    job.refresh_from_db()
    assert (job.state, len(tries)) == (State.QUEUED, 5)


def test_a_deadline_fails_with_its_own_words() -> None:
    job = queued()

    def slow(run: JobRun[HealthProbe]) -> None:
        run.set_deadline(0.05, reason="Too slow.", remedy="Allow more.")
        until(run)

    run_queued_jobs(HealthProbe, job.pk, slow)
    job.refresh_from_db()
    assert (job.state, job.reason, job.remedy) == (State.FAILED, "Too slow.", "Allow more.")


def test_a_cancel_that_comes_while_a_job_is_put_back_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    job = queued()
    real = job_run.advance

    def after_a_cancel(moved: HealthProbe, to: State, **values: Any) -> bool:
        if to is State.QUEUED:
            request_cancel(HealthProbe.objects.get(pk=job.pk))
        return real(moved, to, **values)

    monkeypatch.setattr(job_run, "advance", after_a_cancel)
    later = timezone.now() + timedelta(hours=1)
    run_queued_jobs(HealthProbe, job.pk, lambda run: run.postpone(until=later, reason="Waiting for the hourly limit."))
    job.refresh_from_db()
    assert (job.state, job.reason, job.not_before) == (State.CANCELLED, "", None)


def test_what_was_postponed_since_begins_to_count_anew_how_often_the_database_did_not_answer() -> None:
    job = queued(database_errors=work_module.MAX_DATABASE_RETRIES)
    run_queued_jobs(HealthProbe, job.pk, lambda run: run.postpone(until=timezone.now(), reason="Others go first."))

    def fail(_run: JobRun[HealthProbe]) -> None:
        raise OperationalError("the server closed the connection")

    run_queued_jobs(HealthProbe, job.pk, fail)
    job.refresh_from_db()
    assert (job.state, job.database_errors) == (State.QUEUED, 1)


def test_a_postponed_job_waits_with_its_reason() -> None:
    job = queued()
    later = timezone.now() + timedelta(minutes=12)
    run_queued_jobs(HealthProbe, job.pk, lambda run: run.postpone(until=later, reason="Waiting for the hourly limit."))
    job.refresh_from_db()
    assert (job.state, job.reason, job.not_before, job.losses) == (
        State.QUEUED,
        "Waiting for the hourly limit.",
        later,
        0,
    )


@pytest.mark.parametrize("error", [None, JobFailure("a", "b"), RuntimeError(), SystemExit()])
def test_the_scratch_folder_goes_however_the_work_ends(error: BaseException | None) -> None:
    job = queued()

    def leave_a_file(run: JobRun[HealthProbe]) -> None:
        (run.scratch / "layer").write_text("x")
        if error is not None:
            raise error

    with contextlib.suppress(SystemExit):
        run_queued_jobs(HealthProbe, job.pk, leave_a_file)
    job.refresh_from_db()
    assert job.is_final
    assert list(scratch_root().glob(f"canary-{job.pk}-*")) == []


def test_two_workers_never_take_the_same_job() -> None:
    for _ in range(20):
        queued()
    taken: list[int] = []

    def worker() -> None:
        from django.db import connection

        for _ in range(15):
            run_queued_jobs(HealthProbe, 0, lambda run: taken.append(run.job.pk))
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(set(taken))
    assert len(taken) == 20
    assert work_module.eligible(HealthProbe).count() == 0


def one_place() -> AbstractContextManager[None]:
    return JOB_KINDS.overridden({**JOB_KINDS, "canary": replace(JOB_KINDS["canary"], slots=1)})


@pytest.mark.parametrize(("chain", "taken"), [(60, 3), (0, 1)])
def test_who_has_a_place_goes_on_with_the_next_job_for_a_while(
    settings: Settings, overrides: ExitStack, chain: float, taken: int
) -> None:
    overrides.enter_context(one_place())
    settings.JOB_TIMES = JobTimes(poll=0.02, chain=chain)
    jobs = [queued(priority=Priority.SCHEDULE).pk for _ in range(3)]
    order: list[int] = []
    run_queued_jobs(HealthProbe, 0, lambda run: order.append(run.job.pk))
    assert order == jobs[:taken]


def test_a_chain_of_jobs_ends_when_the_worker_drains(
    settings: Settings, overrides: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides.enter_context(one_place())
    settings.JOB_TIMES = JobTimes(poll=0.02, chain=60)
    jobs = [queued().pk for _ in range(3)]
    order: list[int] = []

    def last(run: JobRun[HealthProbe]) -> None:
        order.append(run.job.pk)
        monkeypatch.setattr(jobs_heartbeat, "is_draining", lambda: True)

    run_queued_jobs(HealthProbe, 0, last)
    assert order == jobs[:1]


def test_a_kind_without_places_lets_other_kinds_have_the_worker(settings: Settings) -> None:
    settings.JOB_TIMES = JobTimes(poll=0.02, chain=60)
    queued(), queued()
    order: list[int] = []
    run_queued_jobs(HealthProbe, 0, lambda run: order.append(run.job.pk))
    assert len(order) == 1

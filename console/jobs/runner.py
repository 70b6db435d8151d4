"""``run_queued_jobs()``: one delivery of a hint. Claims the next job of a kind, runs it, and writes its state."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import Q, QuerySet
from django.db.models.functions import Now

from console import visibility
from console.i18n.message_codes import ExplainedError
from console.jobs import broker, heartbeat, kinds, messages
from console.jobs.errors import (
    Cancelled,
    Interrupted,
    JobFailure,
    LeaseLost,
    Postponed,
    is_database_error,
)
from console.jobs.job_run import JobRun, stopped_from_outside
from console.jobs.models import Job, Priority, State
from console.jobs.slots import Slot, job_slot
from console.jobs.state import advance, from_now
from console.jobs.thread_pool import LendThread, run_jobs
from console.resource_exhaustion import exhausted_by

log = logging.getLogger(__name__)
J = TypeVar("J", bound=Job)

MAX_CLAIM_TRIES = 100
MAX_DATABASE_RETRIES = 12  # so often a job starts again because the database did not answer, before it fails
DATABASE_RETRY_DELAY_SECONDS = (
    2.0,
    300.0,
)  # before the second attempt, doubled for each further one; and the longest pause
GATE_CLOSED_PAUSE_SECONDS = (
    1.0  # so long a machine that may not take a job holds its hint, which another one may get then
)
DUE_POLL_SECONDS = 0.3  # between looks for a job whose time comes soon
BUSY_CLAIM_EXTENSION_SECONDS = 1200.0  # so much longer are jobs taken beside one that is at work


@visibility.unrestricted()
def run_queued_jobs(model: type[J], job_id: int, handler: Callable[[JobRun[J]], None]) -> None:
    """Claim the best queued job of ``model`` (priority, then age) and run ``handler`` on it.

    ``job_id`` is the job whose hint woke this worker; it is taken if it is the best one. Finding none is no error. Who
    holds one of the places of a kind goes on with the next job for a while, since a hint takes up to a second.
    A handler that returns has succeeded, unless it has said otherwise by ``run.finish()``. Whatever it raises, the job
    ends in a final state or back in the queue, and its scratch folder is removed.
    """
    heartbeat.report_alive()
    if heartbeat.is_draining():
        model._base_manager.filter(pk=job_id, state=State.QUEUED).update(hinted_at=None)
        log.info("%s %s stays in the queue: this worker is stopping", model.kind, job_id)
        return
    ends = time.monotonic() + settings.JOB_TIMES.chain
    count = 0
    with job_slot(model.kind) as acquired:
        if acquired and not _may_claim(model):  # with the place: a gate may take long, and must not hold all processes
            time.sleep(GATE_CLOSED_PAUSE_SECONDS)
        elif acquired:
            count = _run_jobs(model, handler, job_slot=acquired, ends=ends)
            while _wait_until_due(model, ends=ends):
                count += _run_jobs(model, handler, job_slot=acquired, ends=ends)
        elif _is_manual_first(model) and (job := _claim(model, urgent=True)):
            count = 1
            _run(JobRun(job), handler)
    if not count:
        log.info("A hint for %s %s found no such job to claim", model.kind, job_id)
    if count or acquired:  # whoever found no place must not hint: it would find none again
        _hint_next(model)


def _run_jobs(model: type[J], handler: Callable[[JobRun[J]], None], *, job_slot: Slot, ends: float) -> int:
    """Do jobs until there are none to take or the time is over; return how many."""
    threads = kinds.get(model.kind).at_once if settings.JOB_TIMES.chain else 1
    if threads > 1:
        return _run_in_threads(model, handler, job_slot=job_slot, threads=threads, ends=ends)
    count = 0
    while job := _claim(model, urgent=False):
        count += 1
        _run(JobRun(job), handler)
        if not _has_slots(model) or heartbeat.is_draining() or time.monotonic() >= ends:
            break
    return count


def _wait_until_due(model: type[J], *, ends: float) -> bool:
    """Wait for a job that may be taken within some seconds, since its hint came before its time; whether one may now.

    Without that it would wait for the reaper, a minute at worst.
    """
    if not _has_slots(model) or _is_manual_first(model):
        return False
    soon = Q(not_before__gt=from_now(-2 * DUE_POLL_SECONDS), not_before__lte=from_now(settings.JOB_TIMES.soon))
    while time.monotonic() < ends and not heartbeat.is_draining():
        if model.next_to_claim(eligible(model), priority=None) is not None:
            return True
        if not model._base_manager.filter(soon, state=State.QUEUED).exists():
            return False
        time.sleep(DUE_POLL_SECONDS)
    return False


def eligible(model: type[J]) -> QuerySet[J]:
    """Return the queued jobs of ``model`` that may be taken now, the next one first."""
    return (
        model._base_manager.filter(state=State.QUEUED)
        .filter(Q(not_before=None) | Q(not_before__lte=Now()))
        .order_by("priority", "pk")
    )


def _claim(model: type[J], *, urgent: bool) -> J | None:
    """Take the next job, if ``urgent`` only a manual one. None if this machine may take none."""
    if not _may_claim(model):
        return None
    for _try in range(MAX_CLAIM_TRIES):
        job = model.next_to_claim(eligible(model), priority=Priority.MANUAL if urgent else None)
        if job is None:
            return None
        fields = {"worker": f"{socket.gethostname()}:{os.getpid()}"[:120], "stage": model.first_stage}
        if advance(job, State.RUNNING, expect=State.QUEUED, attempt=job.attempt, fields=fields):
            return job
    return None


def _may_claim(model: type[J]) -> bool:
    """Whether this machine may take jobs of this kind now. Asked before each, since that may change at any time."""
    gate = kinds.get(model.kind).gate
    return gate is None or gate()


def _has_slots(model: type[J]) -> bool:
    return kinds.get(model.kind).slots is not None


def _is_manual_first(model: type[J]) -> bool:
    return kinds.get(model.kind).manual_first


def _run_in_threads(
    model: type[J], handler: Callable[[JobRun[J]], None], *, job_slot: Slot, threads: int, ends: float
) -> int:
    """Do jobs one after the other, so many at once as there are ``threads``; return how many.

    Once no more are taken another worker gets the place: those that are at work may take long.
    """
    runs: set[JobRun[J]] = set()
    slot_released = threading.Lock()

    def claim(waiting: LendThread) -> Callable[[], None] | None:
        job = _claim(model, urgent=False)
        if job is None:
            return None
        run = JobRun(job)
        run.waiting = waiting
        run.has_successor = lambda: may_continue(True)
        runs.add(run)

        def do() -> None:
            try:
                _run(run, handler)
            finally:
                runs.discard(run)

        return do

    def abort() -> None:
        for run in list(runs):
            run.abort()

    def may_continue(busy: bool) -> bool:
        if heartbeat.is_draining():
            return False
        if time.monotonic() < ends + (BUSY_CLAIM_EXTENSION_SECONDS if busy else 0):
            return True
        if runs and slot_released.acquire(blocking=False):
            job_slot.give_up()
            _hint_next(model)
        return False

    return run_jobs(claim, threads=threads, may_continue=may_continue, abort=abort)


def _run(run: JobRun[J], handler: Callable[[JobRun[J]], None]) -> None:
    try:
        with run.lease:
            _run_handler(run, handler)
    finally:
        shutil.rmtree(run.scratch, ignore_errors=True)


def _hint_next(model: type[J]) -> None:
    """Wake a worker for the next job where no hint is under way: one without a place may have used it up in vain."""
    try:
        # In the cluster ``scan`` each hint that waits is one for a scan; in ``quick`` it may be for another kind.
        cluster = kinds.get(model.kind).cluster
        if heartbeat.is_draining() or (_is_manual_first(model) and broker.queue_size(cluster)):
            return
        if job := model.next_to_claim(eligible(model), priority=None):
            broker.hint(job)
    except Exception as error:
        log.warning("No worker could be woken for the next %s: %s", model.kind, type(error).__name__)


def _run_handler(run: JobRun[J], handler: Callable[[JobRun[J]], None]) -> None:
    """Run the handler and write what became of the job."""
    try:
        try:
            run.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
            handler(run)
            if not run.ended:
                run.finish()
        except Interrupted as interruption:
            _handle_interruption(run, interruption)
        except Exception as error:
            _handle_error(run, error)
        except BaseException:  # the queue's own time limit, or an exit from within the work
            if not run.ended:
                failure = stopped_from_outside()
                run.end(State.FAILED, reason=failure.reason, remedy=failure.remedy)
            raise
    except LeaseLost:
        _release(run)


def _release(run: JobRun[J]) -> None:
    """Put back a job whose lease ran out while the database did not answer, unless somebody else has taken it since.

    That is no loss of the worker: without this the reaper would count one.
    """
    if run.lease.is_taken_over:
        log.warning("%s, attempt %s: the lease was lost, its result is discarded", run.job, run.attempt)
        return
    try:
        run.end(State.QUEUED, reason=messages.DATABASE_DID_NOT_RESPOND())
    except LeaseLost:
        log.warning("%s, attempt %s: the lease was lost, its result is discarded", run.job, run.attempt)
    except (OperationalError, InterfaceError):
        log.warning(
            "%s, attempt %s: the database does not respond, the reaper puts it back into the queue",
            run.job,
            run.attempt,
        )


def _handle_interruption(run: JobRun[J], interruption: Interrupted) -> None:
    if run.ended:
        return
    if isinstance(interruption, LeaseLost):
        raise interruption
    if isinstance(interruption, Cancelled):
        run.end(State.CANCELLED)
    elif isinstance(interruption, Postponed):
        fields = {"not_before": interruption.until, "database_errors": 0}  # it has answered since
        run.end(State.QUEUED, reason=interruption.reason, fields=fields)
    else:  # without a hint: this worker would only turn it down; the next tick of any other worker sends one
        run.end(State.QUEUED)


def _handle_error(run: JobRun[J], error: Exception) -> None:
    if run.ended:
        log.error("%s had ended when this was raised", run.job, exc_info=error)
        return
    exhausted = None if isinstance(error, ExplainedError) else exhausted_by(error)
    if exhausted is not None:
        log.warning("%s, attempt %s: %s", run.job, run.attempt, exhausted.value, exc_info=error)
        error = JobFailure(exhausted.reason, exhausted.remedy, retry=True)
    if is_database_error(error) and run.job.database_errors < MAX_DATABASE_RETRIES:
        _requeue_after_database_error(run, error)
    elif not isinstance(error, ExplainedError):
        number = secrets.token_hex(4)
        log.error("Error %s in %s, attempt %s", number, run.job, run.attempt, exc_info=error)
        run.end(
            State.FAILED,
            reason=messages.UNKNOWN_ERROR(number=number),
            remedy=messages.REPORT_ERROR(number=number),
        )
    elif error.retry and not run.job.retried:
        run.end(
            State.QUEUED,
            reason=error.reason,
            remedy=error.remedy,
            fields={"not_before": from_now(settings.JOB_TIMES.retry), "retried": True},
        )
    else:
        log.info("%s failed: %s", run.job, error.reason)
        run.end(State.FAILED, reason=error.reason, remedy=error.remedy)


def _requeue_after_database_error(run: JobRun[J], error: Exception) -> None:
    """Put the job back for another attempt: that the database did not answer says nothing about the work."""
    connection.close()  # it may be broken
    log.warning("%s, attempt %s: the database did not respond", run.job, run.attempt, exc_info=error)
    count = run.job.database_errors + 1
    first, longest = DATABASE_RETRY_DELAY_SECONDS
    run.end(
        State.QUEUED,
        reason=messages.DATABASE_DID_NOT_RESPOND(),
        fields={"not_before": from_now(min(first * 2 ** (count - 1), longest)), "database_errors": count},
    )

"""``advance()``: the only writer of a job's state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from console.db.locks import write_lock
from console.i18n.message_codes import NOTHING, Message
from console.jobs.models import Job, JobEvent, State

J = TypeVar("J", bound=Job)

CANCEL_BATCH_JOBS = 500
TRANSITIONS = frozenset(
    {(State.QUEUED, State.RUNNING), (State.QUEUED, State.CANCELLED), (State.RUNNING, State.QUEUED)}
    | {(State.RUNNING, final) for final in State.final()}
)


def from_now(seconds: float) -> Combinable:
    """Return the database's clock plus ``seconds``, as an expression."""
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def advance(
    job: Job,
    to: State,
    *,
    expect: State | None = None,
    attempt: int | None = None,
    reason: Message = NOTHING,
    remedy: Message = NOTHING,
    also: Callable[[], None] | None = None,
    fields: Mapping[str, Any] | None = None,
    where: Q | None = None,
) -> bool:
    """Move ``job`` to ``to`` if it still stands at ``expect`` (else: at its state in memory); return whether it did.

    One guarded UPDATE decides: by id, state, ``attempt`` and ``where``. With it, in one transaction, come ``fields``
    (further columns), a JobEvent, ``job.state_changed(to)`` and ``also()``. False means that somebody else was faster;
    nothing is written then. If ``also`` or the hook raises, all is rolled back. ``job`` is fresh after True.
    """
    origin = State(job.state if expect is None else expect)
    if (origin, to) not in TRANSITIONS:
        raise ValueError(f"A job cannot go from {origin.value} to {to.value}.")
    rows = type(job)._base_manager.filter(pk=job.pk, state=origin)
    if attempt is not None:
        rows = rows.filter(attempt=attempt)
    if where is not None:
        rows = rows.filter(where)
    before = {field.attname: getattr(job, field.attname) for field in job._meta.concrete_fields}
    try:
        with write_lock(), transaction.atomic(using=rows.db):
            values = {"state": to, "reason": reason, "remedy": remedy} | _state_columns(to) | dict(fields or {})
            if not rows.update(**values):
                return False
            job.refresh_from_db()
            _record_event(job, origin)
            job.state_changed(to)
            if also is not None:
                also()
    except BaseException:
        for name, value in before.items():
            setattr(job, name, value)
        raise
    return True


def cancel_queued(rows: QuerySet[J]) -> int:
    """Cancel those of ``rows`` that stand at QUEUED, as :func:`advance` would; return how many were.

    A transaction for each CANCEL_BATCH_JOBS of them, so that the write lock is never held for long.
    """
    count, last = 0, 0
    while True:
        with transaction.atomic(using=rows.db):
            found = rows.filter(state=State.QUEUED, pk__gt=last).order_by("pk")
            jobs = list(found.select_for_update(of=("self",))[:CANCEL_BATCH_JOBS])  # SQLite has one writer anyway
            if not jobs:
                return count
            values = {"state": State.CANCELLED, "reason": "", "remedy": ""} | _state_columns(State.CANCELLED)
            rows.model._base_manager.filter(pk__in=[job.pk for job in jobs]).update(**values)
            for job in jobs:
                job.state, job.reason, job.remedy = State.CANCELLED, "", ""
            _record_events(jobs, State.QUEUED)
            rows.model.states_changed(jobs, State.CANCELLED)
        count += len(jobs)
        last = jobs[-1].pk


def _state_columns(to: State) -> dict[str, Any]:
    """Return what a move to ``to`` writes besides the state."""
    if to is State.RUNNING:
        return {
            "attempt": F("attempt") + 1,
            "started_at": Now(),
            "heartbeat_at": Now(),
            "lease_until": from_now(settings.JOB_TIMES.lease),
            "not_before": None,
        }
    if to is State.QUEUED:
        return {
            "queued_at": Now(),
            "hinted_at": None,
            "heartbeat_at": None,
            "lease_until": None,
            "stage": "",
            "progress_done": 0,
            "progress_total": None,
        }
    return {"ended_at": Now(), "lease_until": None, "not_before": None}


def _record_event(job: Job, origin: State) -> None:
    _record_events([job], origin)


def _record_events(jobs: Sequence[Job], origin: State) -> None:
    JobEvent.objects.bulk_create(
        JobEvent(
            kind=job.kind,
            job_id=job.pk,
            from_state=origin,
            to_state=job.state,
            attempt=job.attempt,
            worker=job.worker,
            reason=job.reason,
        )
        for job in jobs
    )

"""``JobRun``: one attempt at a job, as its handler sees it: progress, checks whether it must stop, and its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Q

from console.i18n.message_codes import NOTHING, Message
from console.jobs import heartbeat, messages
from console.jobs.errors import Cancelled, Draining, JobFailure, LeaseLost, Postponed
from console.jobs.lease import Lease
from console.jobs.models import Job, State
from console.jobs.state import advance
from console.jobs.thread_pool import LendThread

log = logging.getLogger(__name__)
J = TypeVar("J", bound=Job)

PROGRESS_INTERVAL_SECONDS = 1.0  # progress is written no more often …
STAGE_INTERVAL_SECONDS = 0.5  # … and a new stage no more often than this: many last but a moment


def scratch_root() -> Path:
    """Return the folder of all scratch folders on this machine."""
    return Path(settings.DATA_DIR) / "scratch"


def stopped_from_outside() -> JobFailure:
    """Return why a job ends whose process was told to end."""
    return JobFailure(
        messages.STOPPED_FROM_OUTSIDE(),
        messages.START_AGAIN(),
    )


class JobRun(Generic[J]):
    """One attempt at a job, as its handler sees it. ``scratch`` is a folder that goes when the attempt ends."""

    def __init__(self, job: J) -> None:
        self.job = job
        self.attempt = job.attempt
        self.scratch = scratch_root() / f"{job.kind}-{job.pk}-{job.attempt}"
        self.lease = Lease(job, job.attempt, also=self._flush_stage)
        self.ended = False
        self.waiting: LendThread = nullcontext  # a block within which nothing is done but wait for other jobs
        self.has_successor: Callable[[], bool] = lambda: True  # whether its place is taken again as soon as it ends
        self._abort_failure: JobFailure | None = None
        self._deadline: tuple[float, Message, Message] | None = None
        self._written_at = time.monotonic() if job.stage else 0.0
        self._unwritten: dict[str, Any] = {}
        self._writing = threading.Lock()  # of all of it; the lease's thread writes, too

    def check(self) -> None:
        """Raise if the work must stop: Cancelled, Draining, LeaseLost, or the JobFailure of the deadline. Cheap."""
        if self.lease.lost:
            raise LeaseLost
        if self.lease.cancelled:
            raise Cancelled
        if heartbeat.is_draining():
            raise Draining
        if self._abort_failure is not None:
            raise self._abort_failure
        if self._deadline is not None and time.monotonic() >= self._deadline[0]:
            raise JobFailure(self._deadline[1], self._deadline[2])

    def abort(self) -> None:
        """Let ``check()`` raise, for what the process itself was told to end."""
        self._abort_failure = stopped_from_outside()

    def set_deadline(self, seconds: float, *, reason: Message, remedy: Message) -> None:
        """Let ``check()`` raise ``JobFailure(reason, remedy)`` from ``seconds`` on, counted from now."""
        self._deadline = (time.monotonic() + seconds, reason, remedy)

    def progress(self, stage: str, done: int = 0, total: int | None = None, **counters: Any) -> None:
        """Show how far the work is; ``counters`` are further columns of the job.

        Written once a second at most, and soon when the stage changes; what was held back is written with the next
        state. Raises LeaseLost where this attempt no longer counts.
        """
        with self._writing:
            self._unwritten |= {"stage": stage, "progress_done": done, "progress_total": total, **counters}
            pause = PROGRESS_INTERVAL_SECONDS if stage == self.job.stage else STAGE_INTERVAL_SECONDS
            if time.monotonic() - self._written_at >= pause:
                self._write_progress()

    def _flush_stage(self) -> None:
        """Write the stage that was held back, from the thread of the lease: the work itself may be busy for long."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            if not self.ended and self._unwritten.get("stage", self.job.stage) != self.job.stage:
                self._write_progress()
        except LeaseLost:
            pass  # noted
        finally:
            self._writing.release()

    def _write_progress(self) -> None:
        try:
            self._save_progress()
        except (OperationalError, InterfaceError) as error:
            if connection.in_atomic_block:
                raise
            log.warning("Progress of %s could not be written: %s", self.job, type(error).__name__)
            connection.close()
        self._written_at = time.monotonic()

    def _save_progress(self) -> None:
        with transaction.atomic():
            rows = type(self.job)._base_manager.filter(pk=self.job.pk, attempt=self.attempt, state=State.RUNNING)
            if not rows.update(**self._unwritten):
                self.lease.mark_lost()
                raise LeaseLost
            for name, value in self._unwritten.items():
                setattr(self.job, name, value)
            self.job.progress_changed()
        self._unwritten = {}

    def finish(
        self,
        *,
        to: State = State.SUCCEEDED,
        reason: Message = NOTHING,
        remedy: Message = NOTHING,
        write: Callable[[], None] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """End the job with ``fields`` (further columns), and do ``write()`` in the same transaction.

        Raises LeaseLost (nothing written) when stale. ``write`` may be called again, after a rollback, while the
        database does not answer.
        """
        self.end(to, reason=reason, remedy=remedy, write=write, fields=fields)

    def postpone(self, *, until: datetime, reason: Message) -> NoReturn:
        """Put the job back in the queue until ``until`` by the database's clock, with ``reason`` while it waits."""
        raise Postponed(until, reason)

    def cancel_requested(self) -> bool:
        """Ask the database whether somebody wants this job cancelled."""
        rows = type(self.job)._base_manager.filter(pk=self.job.pk, attempt=self.attempt)
        return self.lease.cancelled or rows.exclude(cancel_requested_at=None).exists()

    def end(
        self,
        to: State,
        *,
        reason: Message = NOTHING,
        remedy: Message = NOTHING,
        write: Callable[[], None] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Leave RUNNING for ``to``, fenced by the attempt; hold on to the result while the database is away.

        A job that goes back to the queue has no result to lose: its attempt waits for the database as long as the
        worker lives, so that the reaper does not count it as lost.
        """
        with self._writing:
            self._write_end(to, reason, remedy, write, fields or {})

    def _write_end(
        self, to: State, reason: Message, remedy: Message, write: Callable[[], None] | None, fields: Mapping[str, Any]
    ) -> None:
        give_up = time.monotonic() + settings.JOB_TIMES.settle
        dropped = set() if to is not State.QUEUED else {"stage", "progress_done", "progress_total"}
        values = {name: value for name, value in self._unwritten.items() if name not in dropped} | dict(fields)
        tries = 0
        while True:
            tries += 1
            try:
                moved = advance(
                    self.job,
                    to,
                    expect=State.RUNNING,
                    attempt=self.attempt,
                    reason=reason,
                    remedy=remedy,
                    also=write,
                    fields=values,
                    where=Q(cancel_requested_at=None) if to is State.QUEUED else None,
                )
                if not moved and to is State.QUEUED and self.cancel_requested():  # a moment ago
                    to, reason, remedy, values = State.CANCELLED, NOTHING, NOTHING, self._unwritten
                    continue
                if not moved and not (tries > 1 and self._has_arrived_at(to)):
                    self.lease.mark_lost()
                    raise LeaseLost
            except (OperationalError, InterfaceError):
                waits = to is State.QUEUED and not heartbeat.is_draining()
                if connection.in_atomic_block or (time.monotonic() >= give_up and not waits):
                    raise
                log.warning("%s: the database does not respond; writing its result is tried again", self.job)
                connection.close()
                time.sleep(1)
            else:
                self.ended = True
                return

    def _has_arrived_at(self, to: State) -> bool:
        """Whether an earlier try had arrived although the database never said so."""
        return type(self.job)._base_manager.filter(pk=self.job.pk, attempt=self.attempt, state=to).exists()

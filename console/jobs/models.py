"""Job: the abstract model of all work that outlives a request (sync, scan, export, database update).

The row is the truth; django-q2 carries its id and wakes workers. States:

    QUEUED → RUNNING → SUCCEEDED | FAILED | CANCELLED          QUEUED → CANCELLED          RUNNING → QUEUED (released)

Only :func:`console.jobs.state.advance` writes ``state``. A row is created QUEUED and handed to
:func:`console.jobs.broker.enqueue`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.i18n.fields import MessageField


class State(models.TextChoices):
    """Where a job stands."""

    QUEUED = "queued", _("Queued")
    RUNNING = "running", _("Running")
    SUCCEEDED = "succeeded", _("Succeeded")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")

    @classmethod
    def active(cls) -> tuple[State, ...]:
        """Return the states of a job that has not ended: ``final()`` has all others."""
        return (cls.QUEUED, cls.RUNNING)

    @classmethod
    def final(cls) -> tuple[State, ...]:
        """Return the states of a job that has ended: ``active()`` has all others."""
        return tuple(state for state in cls if state not in cls.active())


class Priority(models.IntegerChoices):
    """Which queued job of a kind is taken first: the lower number."""

    MANUAL = 10, _("Manual")
    BULK = 15, _("Manual, after the first images of a large run")
    EVENT = 20, _("Push event")
    SCHEDULE = 30, _("Scheduled")


class Job(models.Model):
    """One piece of work. All times are the database's clock in UTC; leases are judged by that clock alone."""

    kind: ClassVar[str]  # its name, and the key of its JobKind
    max_losses: ClassVar[int] = 2  # so many lost workers make the job fail
    first_stage: ClassVar[str] = ""  # what each attempt begins with

    state = models.CharField(max_length=10, choices=State.choices, default=State.QUEUED, editable=False)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.MANUAL)
    attempt = models.PositiveIntegerField(default=0, editable=False)  # fencing token: +1 at each claim
    losses = models.PositiveSmallIntegerField(default=0, editable=False)  # claims whose worker was lost
    # claims in a row that ended because the database did not answer
    database_errors = models.PositiveSmallIntegerField(default=0, editable=False)
    retried = models.BooleanField(default=False, editable=False)  # its one second try after a failure is used up

    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(null=True, blank=True, editable=False)
    hinted_at = models.DateTimeField(null=True, blank=True, editable=False)  # last time a worker was woken for it
    not_before = models.DateTimeField(null=True, blank=True)  # waits until then (hourly limit, a registry's pause)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    ended_at = models.DateTimeField(null=True, blank=True, editable=False)

    worker = models.CharField(max_length=120, blank=True, editable=False)  # host:pid
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    cancel_requested_at = models.DateTimeField(null=True, blank=True, editable=False)

    stage = MessageField(blank=True, editable=False)
    progress_done = models.BigIntegerField(default=0, editable=False)
    progress_total = models.BigIntegerField(null=True, blank=True, editable=False)

    reason = MessageField(blank=True, editable=False)  # why it failed or waits, for a person
    remedy = MessageField(blank=True, editable=False)  # what that person can do

    class Meta:
        abstract = True

    def state_changed(self, to: State) -> None:
        """Write what must change together with the state. Called by ``advance()`` inside its transaction."""

    @classmethod
    def states_changed(cls, jobs: Sequence[Self], to: State) -> None:
        """As :meth:`state_changed`, for many jobs that have gone to the same state in one transaction."""
        for job in jobs:
            job.state_changed(to)

    def progress_changed(self) -> None:
        """Write what must change together with the progress. Called in the transaction of a progress write."""

    @classmethod
    def next_to_claim(cls, queue: models.QuerySet[Self], *, priority: Priority | None) -> Self | None:
        """Return which job is taken next of those that may be taken now: ``queue``, by priority and age.

        With ``priority``, only one of that priority. A kind with its own order overrides this.
        """
        return (queue if priority is None else queue.filter(priority=priority)).first()

    @classmethod
    def claimable(cls, queue: models.QuerySet[Self]) -> models.QuerySet[Self]:
        """Return those of ``queue`` that ``next_to_claim`` may take now; a hint for another one finds nothing."""
        return queue

    @property
    def is_final(self) -> bool:
        """Whether the job has ended for good."""
        return self.state in State.final()

    @property
    def percent(self) -> int | None:
        """Progress in whole percent, or None where the total is not known."""
        if not self.progress_total:
            return None
        return min(100, self.progress_done * 100 // self.progress_total)


class JobEvent(models.Model):
    """One change of state of one job, written by ``advance()`` in the same transaction as the change itself."""

    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=20)
    job_id = models.BigIntegerField()
    from_state = models.CharField(max_length=10)
    to_state = models.CharField(max_length=10)
    attempt = models.PositiveIntegerField()
    worker = models.CharField(max_length=120, blank=True)
    reason = MessageField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["kind", "job_id"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.job_id}: {self.from_state} → {self.to_state}"


class HealthProbe(Job):
    """A job of no consequence: while one ends every minute, the cluster ``quick`` is alive (rule J7)."""

    kind = "canary"

    class Meta(Job.Meta):
        abstract = False
        verbose_name_plural = "health probes"

    def __str__(self) -> str:
        return f"health probe {self.pk}"


class ScanHealthProbe(Job):
    """The same for the cluster ``scan``."""

    kind = "scan-canary"

    class Meta(Job.Meta):
        abstract = False
        verbose_name_plural = "scan health probes"

    def __str__(self) -> str:
        return f"scan health probe {self.pk}"

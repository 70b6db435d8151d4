"""SyncRun: one sync of one registry, a job while it runs and a record afterwards."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from console.jobs.models import Job, Priority, State
from console.jobs.slots import LOCAL_WORKER_PREFIX, job_capacity
from console.visibility import Scope, ScopedManager

LONG_SYNC_DURATION = timedelta(
    seconds=30
)  # a sync that has been at work for so long may have to leave its place to another one


class SyncRun(Job):
    """A sync. Counts grow while it runs and stay as its record; ``reason`` and ``remedy`` say why it failed."""

    kind = "sync"

    class Trigger(models.TextChoices):
        MANUAL = "manual", _("Manual")
        NIGHTLY = "nightly", _("Nightly")
        EVENT = "event", _("Push event")

    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="sync_runs")
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.MANUAL)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Let go of repositories that are not listed any more, although the registry does not say that they are gone.
    forget_unlisted = models.BooleanField(default=False)
    # A person has confirmed that the tags which the registry does not list any more are gone.
    confirm_missing = models.BooleanField(default=False)
    repositories = models.PositiveIntegerField(default=0)
    tags = models.PositiveIntegerField(default=0)  # image tags seen
    tags_new = models.PositiveIntegerField(default=0)
    tags_changed = models.PositiveIntegerField(default=0)
    tags_gone = models.PositiveIntegerField(default=0)
    tags_missing = models.PositiveIntegerField(default=0)  # not listed any more, and kept until that is confirmed
    not_images = models.PositiveIntegerField(default=0)  # charts, signatures and so on, left out
    errors = models.PositiveIntegerField(default=0)  # tags and repositories that could not be read
    complete = models.BooleanField(default=False)  # the whole listing ended without an error

    objects = ScopedManager["SyncRun"]()

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "priority", "id"], name="syncrun_queue"),
            models.Index(fields=["registry", "-id"], name="syncrun_registry"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["registry"],
                condition=models.Q(state__in=list(State.active())),
                name="syncrun_one_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"sync {self.pk} of registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

    @classmethod
    def next_to_claim(cls, queue: models.QuerySet[SyncRun], *, priority: Priority | None) -> SyncRun | None:
        """Return the next sync: by priority, then by time of queueing; one that has yielded its slot is behind."""
        rows = queue if priority is None else queue.filter(priority=priority)
        return rows.order_by("priority", "queued_at", "pk").first()

    def should_yield(self) -> bool:
        """Whether this sync should leave its place on this machine to one that waits.

        That is so where all are taken and more than half of them by long syncs: of one sync at a time, the last that
        was started of these. While one waits that a person has started, all that nobody has started by hand are long.
        """
        manager = SyncRun._base_manager
        due = manager.filter(Q(not_before=None) | Q(not_before__lte=Now()), state=State.QUEUED)
        waiting = SyncRun.next_to_claim(due, priority=None)
        if waiting is None:
            return False
        here = manager.filter(state=State.RUNNING, worker__startswith=LOCAL_WORKER_PREFIX)
        if here.count() < job_capacity(self.kind):
            return False
        long = Q(started_at__lt=Now() - LONG_SYNC_DURATION)
        if waiting.priority == Priority.MANUAL:
            long |= Q(priority__gt=Priority.MANUAL)
        keys = list(here.filter(long).order_by("priority", "started_at", "pk").values_list("pk", flat=True))
        return len(keys) > job_capacity(self.kind) // 2 and keys[-1] == self.pk

    def state_changed(self, to: State) -> None:
        """Make an ended sync the last one of its registry, in the transaction that ends it."""
        if to in State.final():
            self.registry.record_sync(self)

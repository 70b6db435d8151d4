"""SyncRun: one sync of one registry, a job while it runs and a record afterwards."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from console.jobs.models import FINAL_STATES, Job, State
from console.scope import Scope, ScopedManager


class SyncRun(Job):
    """A sync. Counts grow while it runs and stay as its record; ``reason`` and ``remedy`` say why it failed."""

    kind = "sync"

    class Trigger(models.TextChoices):
        MANUAL = "manual", _("By hand")
        NIGHTLY = "nightly", _("Nightly")
        EVENT = "event", _("Push event")

    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="sync_runs")
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.MANUAL)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    # Let go of repositories that are not listed any more, although the registry does not say that they are gone.
    forget_unlisted = models.BooleanField(default=False)
    repositories = models.PositiveIntegerField(default=0)
    tags = models.PositiveIntegerField(default=0)  # image tags seen
    tags_new = models.PositiveIntegerField(default=0)
    tags_changed = models.PositiveIntegerField(default=0)
    tags_gone = models.PositiveIntegerField(default=0)
    not_images = models.PositiveIntegerField(default=0)  # charts, signatures and so on, left out
    errors = models.PositiveIntegerField(default=0)  # tags and repositories that could not be read
    complete = models.BooleanField(default=False)  # the whole listing ended without an error

    objects = ScopedManager["SyncRun"]()

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "lane", "id"], name="syncrun_queue"),
            models.Index(fields=["registry", "-id"], name="syncrun_registry"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["registry"],
                condition=models.Q(state__in=[State.QUEUED, State.RUNNING]),
                name="syncrun_one_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"sync {self.pk} of registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

    def state_changed(self, to: State) -> None:
        """Make an ended sync the last one of its registry, in the transaction that ends it."""
        if to in FINAL_STATES:
            self.registry.record_sync(self)

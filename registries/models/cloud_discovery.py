"""CloudDiscovery: looking once for the registries of a cloud account."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from console.jobs.models import Job, State
from console.visibility import Scope, ScopedManager
from registries.models.sync_run import SyncRun


class CloudDiscovery(Job):
    """A job that lists what the account has, makes registries of what is new, and marks what is gone."""

    kind = "discovery"

    account = models.ForeignKey("registries.CloudAccount", on_delete=models.CASCADE, related_name="discoveries")
    trigger = models.CharField(max_length=10, choices=SyncRun.Trigger.choices, default=SyncRun.Trigger.MANUAL)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = ScopedManager["CloudDiscovery"]()

    class Meta(Job.Meta):
        abstract = False
        verbose_name_plural = "cloud discoveries"
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "priority", "id"], name="clouddiscovery_queue")]
        constraints = [
            models.UniqueConstraint(
                fields=["account"],
                condition=models.Q(state__in=list(State.active())),
                name="clouddiscovery_one_at_a_time",
            )
        ]

    def __str__(self) -> str:
        return f"discovery {self.pk} by cloud account {self.account_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """None: a key of a cloud lists whatever that account holds."""
        return models.Q(pk__in=())

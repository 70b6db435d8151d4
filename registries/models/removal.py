"""Removal: the job that removes a registry with all that it alone holds."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from console.jobs.models import Job
from console.visibility import Scope, ScopedManager


class Removal(Job):
    """One removal. It outlives its registry as the record of what has gone; ``inventory`` does the work."""

    kind = "removal"

    registry = models.ForeignKey("registries.Registry", null=True, on_delete=models.SET_NULL, related_name="removals")
    name = models.CharField(max_length=100)  # of the registry, which stays when the row is gone
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )

    objects = ScopedManager["Removal"]()

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"removal {self.pk} of registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

"""PullUnit: one image pulled within a registry's hourly limit."""

from __future__ import annotations

from django.db import models

from console.visibility import Scope, ScopedManager


class PullUnit(models.Model):
    """One unit of a registry's limit, in use for an hour from ``taken_at``. Only ``pull_limit`` writes it."""

    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="pull_units")
    image_id = models.CharField(max_length=140)  # config digest; pulled again within the hour it costs nothing more
    taken_at = models.DateTimeField()

    objects = ScopedManager["PullUnit"]()

    class Meta:
        indexes = [models.Index(fields=["registry", "taken_at"], name="pullunit_window")]

    def __str__(self) -> str:
        return f"{self.image_id} of registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

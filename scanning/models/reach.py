"""Where packages and vulnerabilities are, by registry; and the job that counts it."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from console.jobs.models import Job, State


class PackageReach(models.Model):
    """In how many images and tags of one registry a package is. No row: in none."""

    package = models.ForeignKey("scanning.Package", on_delete=models.CASCADE, related_name="reaches", db_index=False)
    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="+")
    images = models.PositiveIntegerField()
    tags = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "package reaches"
        constraints = [models.UniqueConstraint(fields=["package", "registry"], name="packagereach_unique")]

    def __str__(self) -> str:
        return f"package {self.package_id} in registry {self.registry_id}"


class VulnerabilityReach(models.Model):
    """In how many images and tags of one registry a vulnerability is. No row: in none."""

    vulnerability = models.ForeignKey(
        "scanning.Vulnerability", on_delete=models.CASCADE, related_name="reaches", db_index=False
    )
    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="+")
    images = models.PositiveIntegerField()
    tags = models.PositiveIntegerField()

    class Meta:
        verbose_name_plural = "vulnerability reaches"
        constraints = [models.UniqueConstraint(fields=["vulnerability", "registry"], name="vulnerabilityreach_unique")]

    def __str__(self) -> str:
        return f"vulnerability {self.vulnerability_id} in registry {self.registry_id}"


class Recount(Job):
    """One counting of where everything is, a job while it runs and a record afterwards."""

    kind = "recount"

    images = models.PositiveIntegerField(default=0)  # looked at
    changed = models.PositiveIntegerField(default=0)  # packages and vulnerabilities whose figures were not right

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(  # all have the same lane
                fields=["lane"], condition=Q(state__in=[State.QUEUED, State.RUNNING]), name="recount_one_at_a_time"
            )
        ]

    def __str__(self) -> str:
        return f"recount {self.pk}"

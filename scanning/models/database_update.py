"""VulndbUpdate: one update of the vulnerability database."""

from __future__ import annotations

from django.db import models

from console.jobs.models import Job


class VulndbUpdate(Job):
    """A job while it runs and a record afterwards."""

    kind = "database"

    day = models.DateField(null=True, blank=True, unique=True)  # of a daily update; None: by hand
    source = models.CharField(max_length=300, blank=True)
    built_at = models.DateTimeField(null=True, blank=True)  # when the makers of the database built it

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"database update {self.pk}"

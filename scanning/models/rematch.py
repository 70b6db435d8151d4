"""Rematch: all stored packages matched with a new vulnerability database, without a pull."""

from __future__ import annotations

from django.db import models

from console.jobs.models import Job, State


class Rematch(Job):
    """A job while it runs and a record afterwards."""

    kind = "rematch"

    database_version = models.CharField(max_length=200, blank=True)
    packages = models.PositiveIntegerField(default=0)  # that were matched
    images = models.PositiveIntegerField(default=0)  # whose summary changed
    new_matches = models.PositiveIntegerField(default=0)  # "12 new
    new_in_images = models.PositiveIntegerField(default=0)  # in 40 images"
    gone_matches = models.PositiveIntegerField(default=0)
    unmatched = models.PositiveIntegerField(default=0)  # packages that could not be matched; the others were

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        verbose_name_plural = "re-matches"

    def __str__(self) -> str:
        return f"rematch {self.pk}"

    @classmethod
    def is_complete(cls) -> models.Q:
        """Those that have matched all that can be matched."""
        return models.Q(state=State.SUCCEEDED) | models.Q(state=State.FAILED, unmatched__gt=0)

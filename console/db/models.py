"""CachedCount: counts that took long, kept for the pages."""

from __future__ import annotations

from django.db import models


class CachedCount(models.Model):
    """Figures that took long to count, as :mod:`console.db.cached_counts` keeps them for the pages."""

    name = models.CharField(max_length=60, unique=True)  # of a registered count
    values = models.JSONField()
    at = models.DateTimeField()  # when counting began
    seconds = models.FloatField()  # seconds
    requested_at = models.DateTimeField()  # about when a page last wanted them

    class Meta:
        verbose_name_plural = "cached counts"

    def __str__(self) -> str:
        return self.name

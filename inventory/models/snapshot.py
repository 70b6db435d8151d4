"""Snapshot: the figures of all images as they stood at the end of one day."""

from __future__ import annotations

from django.db import models


class Snapshot(models.Model):
    """One day of the trend. Written while the day lasts, never afterwards; a day on which nothing ran has no row.

    People who are limited to the same registries have rows of their own: figures cannot be taken apart afterwards.
    """

    day = models.DateField()  # in the console's time zone
    scope = models.CharField(max_length=64, blank=True)  # console.visibility: the key of what is counted, "" everything
    at = models.DateTimeField()  # when it was last written
    images = models.PositiveIntegerField()
    scanned = models.PositiveIntegerField()  # images of which anything is known; the figures below are of those
    at_risk = models.PositiveIntegerField()
    partly_scanned = models.PositiveIntegerField()
    safe = models.PositiveIntegerField()
    # None where no image has a result of the category.
    critical = models.PositiveIntegerField(null=True)
    high = models.PositiveIntegerField(null=True)
    medium = models.PositiveIntegerField(null=True)
    low = models.PositiveIntegerField(null=True)
    unknown = models.PositiveIntegerField(null=True)
    fixable = models.PositiveIntegerField(null=True)
    malware = models.PositiveIntegerField(null=True)
    sensitive = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["-day"]
        constraints = [models.UniqueConstraint(fields=["scope", "day"], name="snapshot_once")]

    def __str__(self) -> str:
        return f"{self.day}"

    @property
    def vulnerabilities(self) -> int | None:
        """All vulnerabilities of the day; None where no image has a result."""
        counts = (self.critical, self.high, self.medium, self.low, self.unknown)
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)

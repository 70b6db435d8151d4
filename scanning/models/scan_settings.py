"""What an administrator sets for all scans."""

from __future__ import annotations

from django.db import models


class ScanSettings(models.Model):
    """The one row of settings of scanning (primary key 1)."""

    monthly_quota = models.PositiveIntegerField(null=True, blank=True)  # scans in a calendar month; None: no quota
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "scan settings"

    def __str__(self) -> str:
        return "Scan settings"

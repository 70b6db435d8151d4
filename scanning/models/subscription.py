"""ScanSubscription: a run that wants a scan which another run has started, for an image is scanned once at a time."""

from __future__ import annotations

from typing import Any

from django.db import models

from console.jobs.models import State
from console.visibility import Scope, ScopedManager


class ScanSubscription(models.Model):
    """What ``run`` wants of ``scan`` beside the run that has started it: its categories, no later than by its priority.

    Counts while the scan goes on; afterwards it goes.
    """

    run = models.ForeignKey("scanning.ScanRun", on_delete=models.CASCADE, related_name="subscriptions", db_index=False)
    scan = models.ForeignKey("scanning.Scan", on_delete=models.CASCADE, related_name="subscriptions")
    tags = models.PositiveIntegerField(default=0)  # of this run; it counts them as skipped

    objects = ScopedManager["ScanSubscription"]()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "scan"], name="joinedscan_unique")]

    def __str__(self) -> str:
        return f"run {self.run_id} in scan {self.scan_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of scans that pull from a registry in scope."""
        return models.Q(scan__registry__in=scope.registries)

    @classmethod
    def wanted(cls, scan_ids: Any) -> dict[int, list[ScanSubscription]]:
        """Return by scan who wants it besides, with the runs, the first first. Cancelled runs want nothing."""
        found: dict[int, list[ScanSubscription]] = {}
        rows = cls._base_manager.filter(scan__in=scan_ids, run__cancel_requested_at=None)
        for row in rows.exclude(run__state=State.CANCELLED).select_related("run").order_by("pk"):
            found.setdefault(row.scan_id, []).append(row)
        return found

    @classmethod
    def prune(cls) -> None:
        """Delete those whose scan has ended. A look at these few rows, not at all scans there ever were."""
        from scanning.models.scan import Scan

        ended = Scan._base_manager.filter(pk=models.OuterRef("scan"), state__in=State.final())
        cls._base_manager.filter(models.Exists(ended)).delete()

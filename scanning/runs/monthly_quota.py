"""The quota: how many scans may start in a calendar month of the console's time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q
from django.utils import timezone

from console.jobs.models import State
from scanning.models import Scan, ScanSettings


@dataclass(frozen=True)
class ScanQuota:
    """``used`` are the scans that started in this month and those that wait to start: of a run, one an image ID."""

    limit: int
    used: int

    @property
    def left(self) -> int:
        """How many more scans may be queued in this month."""
        return max(0, self.limit - self.used)


def read_quota(*, now: datetime | None = None) -> ScanQuota | None:
    """Return the quota of this month, or None where there is none."""
    limit = ScanSettings.objects.filter(pk=1).values_list("monthly_quota", flat=True).first()
    return None if limit is None else ScanQuota(limit=limit, used=_used(now or timezone.now()))


def lock_quota(*, now: datetime | None = None) -> ScanQuota | None:
    """As :func:`read_quota`, and keep others from queueing scans until the transaction ends, so that none exceeds.

    Where no quota is set nobody waits.
    """
    if not ScanSettings.objects.filter(pk=1, monthly_quota__isnull=False).exists():
        return None
    ScanSettings.objects.select_for_update().get(pk=1)  # SQLite has one writer anyway
    return read_quota(now=now)


def set_limit(limit: int | None) -> None:
    """Set the quota of a month; None takes it away."""
    ScanSettings.objects.update_or_create(pk=1, defaults={"monthly_quota": limit})


def _used(now: datetime) -> int:
    local = timezone.localtime(now, timezone.get_default_timezone())
    month = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    waiting = Q(state=State.QUEUED, started_at=None)
    scans = Scan._base_manager.filter(counted=True)  # those of everybody, whoever asks
    return scans.filter(started_at__gte=month).count() + scans.filter(waiting).count()

"""How far the scans in progress are, all together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q
from django.utils import timezone

from console.jobs.models import State
from scanning.models import Scan, Stage

ACTIVE = (State.QUEUED, State.RUNNING)
LABELS = dict(Stage.choices)
SAME_START = timedelta(seconds=60)  # scans queued within this time of the oldest active one count as started with it
ENOUGH = 3  # ended scans before a remaining time is told


@dataclass(frozen=True)
class Progress:
    """Scans that were started together with those still active."""

    total: int
    ended: int
    failed: int
    cancelled: int
    queued: int
    running: int
    waiting: int  # of the queued: until the hourly limit lets them
    waits_until: datetime | None
    stages: list[tuple[str, int]]  # of the running ones
    remaining: timedelta | None

    @property
    def percent(self) -> int:
        return self.ended * 100 // self.total if self.total else 0

    @property
    def failed_percent(self) -> float:
        return 100 * self.failed / self.total if self.total else 0.0

    @property
    def done_percent(self) -> float:
        return 100 * (self.ended - self.failed) / self.total if self.total else 0.0

    @property
    def minutes(self) -> int | None:
        """The remaining time in minutes, rounded up."""
        return None if self.remaining is None else max(1, -int(-self.remaining.total_seconds() // 60))


def read(now: datetime | None = None) -> Progress | None:
    """Return how far the scans are, None where none is active."""
    now = now or timezone.now()
    active = Scan.objects.filter(state__in=ACTIVE)
    oldest = active.aggregate(at=Min("created_at"))["at"]
    if oldest is None:
        return None
    before = (
        Scan.objects.filter(created_at__lt=oldest - SAME_START).order_by("-pk").values_list("pk", flat=True).first()
    )
    together = Scan.objects.filter(pk__gt=before or 0)
    waiting = Q(state=State.QUEUED, not_before__gt=now)
    figures = together.aggregate(
        total=Count("pk"),
        ended=Count("pk", filter=~Q(state__in=ACTIVE)),
        failed=Count("pk", filter=Q(state=State.FAILED)),
        cancelled=Count("pk", filter=Q(state=State.CANCELLED)),
        queued=Count("pk", filter=Q(state=State.QUEUED)),
        running=Count("pk", filter=Q(state=State.RUNNING)),
        waiting=Count("pk", filter=waiting),
        waits_until=Min("not_before", filter=waiting),
        started=Min("started_at"),
    )
    started, ended = figures.pop("started"), figures["ended"]
    remaining = None
    if ended >= ENOUGH and started and not figures["waiting"]:
        remaining = (now - started) / ended * (figures["total"] - ended)
    stages = active.filter(state=State.RUNNING).exclude(stage="").order_by("stage").values_list("stage")
    told = [(str(LABELS.get(stage, stage)), n) for stage, n in stages.annotate(n=Count("pk"))]
    return Progress(**figures, stages=told, remaining=remaining)

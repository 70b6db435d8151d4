"""How far the scans in progress are, all together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q, QuerySet
from django.utils import timezone

from console.jobs.models import State
from console.told import tell
from scanning.models import Scan, ScanRun, Stage
from scanning.models.run import ACTIVE

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
    queueing: int  # runs that are not done queueing, so that the total will grow
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
    """Return how far the scans are, None where none is active and no run is about to queue some."""
    now = now or timezone.now()
    oldest = Scan.objects.filter(state__in=ACTIVE).aggregate(at=Min("created_at"))["at"]
    queueing = ScanRun.objects.filter(state__in=ACTIVE).count()
    if oldest is None:
        return _figures(Scan.objects.none(), now, queueing=queueing) if queueing else None
    before = (
        Scan.objects.filter(created_at__lt=oldest - SAME_START).order_by("-pk").values_list("pk", flat=True).first()
    )
    return _figures(Scan.objects.filter(pk__gt=before or 0), now, queueing=queueing)


def of_run(run: ScanRun, now: datetime | None = None) -> Progress | None:
    """Return how far the scans of ``run`` are, None where it is over."""
    if run.is_over:
        return None
    return _figures(Scan.objects.filter(run=run), now or timezone.now(), queueing=int(run.state in ACTIVE))


def remaining(*, now: datetime, started: datetime | None, ended: int, total: int, held: int) -> timedelta | None:
    """Return about how long the scans still take, None where that cannot be told.

    That is so before some have ended, and while some are ``held`` until a time of their own (a limit, a time range).
    """
    if ended < ENOUGH or started is None or held or total <= ended:
        return None
    return (now - started) / ended * (total - ended)


def _figures(together: QuerySet[Scan], now: datetime, *, queueing: int) -> Progress:
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
    left = remaining(
        now=now,
        started=figures.pop("started"),
        ended=figures["ended"],
        total=figures["total"],
        held=figures["waiting"] + queueing,
    )
    stages = together.filter(state=State.RUNNING).exclude(stage="").order_by("stage").values_list("stage")
    told = [(tell(str(LABELS.get(stage, stage))), n) for stage, n in stages.annotate(n=Count("pk"))]
    return Progress(**figures, queueing=queueing, stages=told, remaining=left)

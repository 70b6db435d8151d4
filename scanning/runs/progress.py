"""How far the scans in progress are, all together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, OuterRef, QuerySet, Subquery
from django.utils import timezone
from django.utils.translation import gettext as _

from console.i18n.messages import translate_message
from console.jobs.models import State
from scanning.models import Scan, ScanRun
from scanning.models.scan import stage_message

SAME_START_WINDOW = timedelta(
    seconds=60
)  # scans queued within this time of the oldest active one count as started with it
MIN_ENDED_SCANS = 3  # ended scans before a remaining time is told


@dataclass(frozen=True)
class ScanProgress:
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
        """Ended scans, failed ones included, in percent of all, rounded down; 0 if there is none."""
        return self.ended * 100 // self.total if self.total else 0

    @property
    def failed_percent(self) -> float:
        """Failed scans in percent of all."""
        return 100 * self.failed / self.total if self.total else 0.0

    @property
    def done_percent(self) -> float:
        """Ended scans that did not fail in percent of all."""
        return 100 * (self.ended - self.failed) / self.total if self.total else 0.0

    @property
    def left(self) -> str:
        """The remaining time in words, "" where it cannot be told."""
        return "" if self.remaining is None else remaining_text(self.remaining)


def remaining_text(remaining: timedelta) -> str:
    """Return how long it still takes in words, rounded up to minutes, and from two hours on to hours."""
    minutes = max(1, -int(-remaining.total_seconds() // 60))
    if minutes < 120:
        return _("about %(n)d min remaining") % {"n": minutes}
    return _("about %(n)d h remaining") % {"n": -(-minutes // 60)}


def read_progress(now: datetime | None = None) -> ScanProgress | None:
    """Return how far the scans are, None where none is active and no run is about to queue some."""
    now = now or timezone.now()
    oldest = Scan.objects.filter(state__in=State.active()).aggregate(at=Min("created_at"))["at"]
    queueing = ScanRun.objects.filter(state__in=State.active()).count()
    if oldest is None:
        return _figures(Scan.objects.none(), now, queueing=queueing, started=None) if queueing else None
    before = (
        Scan.objects.filter(created_at__lt=oldest - SAME_START_WINDOW)
        .order_by("-pk")
        .values_list("pk", flat=True)
        .first()
    )
    together = Scan.objects.filter(pk__gt=before or 0)
    return _figures(together, now, queueing=queueing, started=together.aggregate(at=Min("started_at"))["at"])


def of_run(run: ScanRun, now: datetime | None = None) -> ScanProgress | None:
    """Return how far the scans of ``run`` are, None where it is over."""
    if run.is_over:
        return None
    scans = Scan.objects.filter(run=run)
    first = ScanRun.objects.filter(pk=run.pk).values_list(first_start(), flat=True).first()
    return _figures(scans, now or timezone.now(), queueing=int(run.state in State.active()), started=first)


def first_start() -> Subquery:
    """Return when the first scan of a run started."""
    started = Scan.objects.filter(run=OuterRef("pk"), started_at__isnull=False).order_by("started_at")
    return Subquery(started.values("started_at")[:1])


def remaining(*, now: datetime, started: datetime | None, ended: int, total: int, held: int) -> timedelta | None:
    """Return about how long the scans still take, None where that cannot be told.

    That is so before some have ended, and while some are ``held`` until a time of their own (a limit, a time range).
    """
    if ended < MIN_ENDED_SCANS or started is None or held or total <= ended:
        return None
    return (now - started) / ended * (total - ended)


def _figures(together: QuerySet[Scan], now: datetime, *, queueing: int, started: datetime | None) -> ScanProgress:
    """Return the figures of ``together``, counted by what an index holds: there may be a great many."""
    found = dict(together.order_by().values_list("state").annotate(n=Count("*")))
    by_state = {state: found.get(state, 0) for state in State.values}
    waiting = together.filter(state=State.QUEUED, not_before__gt=now)
    waits = waiting.aggregate(number=Count("pk"), until=Min("not_before"))
    total, active = sum(by_state.values()), sum(by_state[state] for state in State.active())
    left = remaining(now=now, started=started, ended=total - active, total=total, held=waits["number"] + queueing)
    stages = together.filter(state=State.RUNNING).exclude(stage="").order_by("stage").values_list("stage")
    stages_shown = [(translate_message(stage_message(stage)), n) for stage, n in stages.annotate(n=Count("pk"))]
    return ScanProgress(
        total=total,
        ended=total - active,
        failed=by_state[State.FAILED],
        cancelled=by_state[State.CANCELLED],
        queued=by_state[State.QUEUED],
        running=by_state[State.RUNNING],
        waiting=waits["number"],
        waits_until=waits["until"],
        queueing=queueing,
        stages=stages_shown,
        remaining=left,
    )

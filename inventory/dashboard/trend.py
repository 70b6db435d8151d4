"""The trend over Repository images: one snapshot a day, and the lines that are drawn of them.

Nothing is made up: a day without a snapshot is a gap in the line, not a zero and not a straight line over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.utils import timezone

from console import visibility
from inventory.dashboard import figures as dashboard_figures
from inventory.models import Image, Snapshot
from registries import visibility as limits

TREND_DAYS = 30
SNAPSHOT_INTERVAL = timedelta(minutes=30)  # how often the row of the day is written anew
SNAPSHOT_RETENTION = timedelta(days=400)
MAX_ROWS_PER_TICK = 5  # rows that one tick writes: one for everybody, and one for each limit that people have
CHART_WIDTH, CHART_HEIGHT, CHART_EDGE = 100.0, 32.0, 3.0  # of the drawing, in its own units


def write_snapshots(*, now: datetime | None = None) -> None:
    """Write the rows of the day that are missing or old, a few at a time. Harmless however often it runs."""
    now = now or timezone.now()
    if not Image.objects.exists():
        return
    fresh = set(Snapshot.objects.filter(day=_day(now), at__gt=now - SNAPSHOT_INTERVAL).values_list("scope", flat=True))
    wanted: list[visibility.Visibility] = [visibility.EVERYTHING, *limits.scopes_in_use()]
    for each in [each for each in wanted if each.key not in fresh][:MAX_ROWS_PER_TICK]:
        with visibility.set_to(each):
            _write(now)
    Snapshot.objects.filter(day__lt=_day(now) - SNAPSHOT_RETENTION).delete()


def _write(now: datetime) -> None:
    figures = dashboard_figures.read_overview(now=True)
    known = figures.vulnerabilities is not None
    severities = {share.name: share.count if known else None for share in figures.severities}
    names = ("images", "scanned", "at_risk", "partly_scanned", "safe", "fixable", "malware", "sensitive")
    values = {name: getattr(figures, name) for name in names}
    defaults = {"at": now, **values, **severities}
    Snapshot.objects.update_or_create(day=_day(now), scope=visibility.key(), defaults=defaults)


@dataclass(frozen=True)
class TrendPoint:
    """One day: where it stands, and what it says. ``value`` None where nothing is known of it."""

    day: date
    value: int | None
    left: float  # of the strip that answers the pointer
    x: float
    y: float


@dataclass(frozen=True)
class TrendLine:
    """One figure over DAYS days, ready to be drawn; ``line`` and ``area`` are paths with a part an unbroken run."""

    points: list[TrendPoint]
    line: str
    area: str
    dots: str  # days that stand alone, and the last one

    @property
    def known(self) -> list[TrendPoint]:
        """The days of which something is known."""
        return [point for point in self.points if point.value is not None]

    @property
    def first(self) -> TrendPoint:
        """The first day with a value; IndexError if there is none."""
        return self.known[0]

    @property
    def last(self) -> TrendPoint:
        """The last day with a value; IndexError if there is none."""
        return self.known[-1]

    @property
    def gaps(self) -> int:
        """Days of the span without data."""
        return len(self.points) - len(self.known)

    @property
    def step(self) -> float:
        """Width of one day."""
        return CHART_WIDTH / len(self.points)


def read_trend(*, now: datetime | None = None) -> dict[str, TrendLine]:
    """Return the lines of the last DAYS days by figure, in one query; none of a figure known on less than two."""
    today = _day(now or timezone.now())
    days = [today - timedelta(days=back) for back in range(TREND_DAYS - 1, -1, -1)]
    rows = {row.day: row for row in Snapshot.objects.filter(scope=visibility.key(), day__gte=days[0], day__lte=today)}
    if len(rows) < 2:
        return {}
    lines = {}
    for name in ("at_risk", "vulnerabilities", "malware", "sensitive"):
        values = [(day, getattr(rows[day], name) if day in rows else None) for day in days]
        if sum(value is not None for _day, value in values) >= 2:
            lines[name] = draw_line(values)
    return lines


def draw_line(values: Sequence[tuple[date, int | None]]) -> TrendLine:
    """Return the line of ``values``, of which at least one is known."""
    known = [value for _day, value in values if value is not None]
    low, high = min(known), max(known)
    width = CHART_WIDTH / len(values)

    def height(value: int | None) -> float:
        if value is None or high == low:
            return CHART_HEIGHT / 2 if high else CHART_HEIGHT - CHART_EDGE
        return CHART_EDGE + (CHART_HEIGHT - 2 * CHART_EDGE) * (high - value) / (high - low)

    points = [
        TrendPoint(day, value, left=round(width * n, 2), x=round(width * (n + 0.5), 2), y=round(height(value), 2))
        for n, (day, value) in enumerate(values)
    ]
    runs: list[list[TrendPoint]] = [[]]
    for point in points:
        if point.value is not None:
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    runs = [run for run in runs if run]
    lines = ["M" + " L".join(f"{point.x} {point.y}" for point in run) for run in runs]
    areas = [
        f"{line} L{run[-1].x} {CHART_HEIGHT:g} L{run[0].x} {CHART_HEIGHT:g}z"
        for line, run in zip(lines, runs, strict=True)
        if len(run) > 1
    ]
    alone = [run[0] for run in runs if len(run) == 1]
    if runs[-1][-1] not in alone:
        alone.append(runs[-1][-1])
    return TrendLine(
        points,
        line=" ".join(line for line, run in zip(lines, runs, strict=True) if len(run) > 1),
        area=" ".join(areas),
        dots=" ".join(f"M{point.x} {point.y}h0" for point in alone),
    )


def _day(now: datetime) -> date:
    return timezone.localdate(now, timezone.get_default_timezone())

"""When a schedule is due: times of day in the console's time zone, also where its clocks are changed.

A time of day that a day does not have is moved to the next minute that there is; one that a day has twice counts once,
the first time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta

from django.utils import timezone

from scanning.models import ScanSchedule

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
MAX_LATENESS = timedelta(hours=1)  # so much later a run without a time range may always be started


def moment(day: date, at: time) -> datetime:
    """Return when it is ``at`` on ``day``, in UTC."""
    zone = timezone.get_default_timezone()
    wall = datetime.combine(day, at)
    while True:
        found = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
        if found.astimezone(zone).replace(tzinfo=None) == wall:
            return found
        wall = wall.replace(second=0, microsecond=0) + MINUTE


def due_times(schedule: ScanSchedule, *, after: datetime) -> Iterator[datetime]:
    """Yield the times at which ``schedule`` is due after ``after``, without end."""
    passed = max(0, (_day(after) - schedule.starts_on).days - schedule.every_days)
    day = schedule.starts_on + timedelta(days=passed // schedule.every_days * schedule.every_days)
    last = None
    while True:
        found = moment(day, schedule.at)
        if (
            found > after and found != last
        ):  # a whole day may be left out, when a country changes sides of the date line
            yield found
            last = found
        day += timedelta(days=schedule.every_days)


def first_due(schedule: ScanSchedule, *, after: datetime) -> datetime:
    """Return the next time at which ``schedule`` is due."""
    return next(due_times(schedule, after=after))


def closes_at(schedule: ScanSchedule, due: datetime) -> datetime:
    """Return until when a run that was due at ``due`` may still be started: the end of its range, or of its day
    but an hour later at the earliest."""
    return _window(schedule, _day(due))[1]


def is_open(schedule: ScanSchedule, now: datetime) -> bool:
    """Return whether scans of ``schedule`` may run now; they always may where it has no time range."""
    if schedule.until is None:
        return True
    windows = (_window(schedule, _day(now) - DAY), _window(schedule, _day(now)))
    return any(opens <= now < ends for opens, ends in windows)


def next_opening(schedule: ScanSchedule, now: datetime) -> datetime:
    """Return when the range of ``schedule`` begins next, on whatever day."""
    today = _window(schedule, _day(now))[0]
    return today if today > now else _window(schedule, _day(now) + DAY)[0]


def _window(schedule: ScanSchedule, day: date) -> tuple[datetime, datetime]:
    """Return begin and end of the range of one day; one that ends before it begins goes over midnight."""
    opens = moment(day, schedule.at)
    if schedule.until is None:
        return opens, max(moment(day + DAY, time()), opens + MAX_LATENESS)
    return opens, moment(day if schedule.until > schedule.at else day + DAY, schedule.until)


def _day(at: datetime) -> date:
    return timezone.localdate(at, timezone.get_default_timezone())

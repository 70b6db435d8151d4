"""Figures that take long to count: pages show those of a short while ago, and the workers count them anew.

The apps register what is counted. Where counting is quick it is done each time, and nothing is kept. People who
are limited to the same registries have figures of their own, counted when one of them asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from console.db.models import CachedCount
from console.extension_points import ExtensionPoint
from console.visibility import current

RECOUNT_FACTOR = 50  # what took a second is counted anew after so many
MIN_RECOUNT_INTERVAL = timedelta(seconds=60)  # between two countings
REFRESH_WHILE_READ_WITHIN = timedelta(hours=1)  # what no page has asked for in this time is not counted anew


Count = Callable[[], dict[str, int]]
CACHED_COUNTS: ExtensionPoint[Count] = ExtensionPoint("count")


@dataclass(frozen=True)
class CountResult:
    """What was counted; ``at`` is when, None for just now."""

    values: dict[str, int]
    at: datetime | None = None


def register(name: str, count: Count) -> None:
    """Let pages read what ``recount`` returns under ``name``. It is kept for a while if counting takes long."""
    CACHED_COUNTS.register(name, count)


def read(name: str) -> CountResult:
    """Return the figures that are registered under ``name``.

    They are counted here where they are quick to count, and where no worker has done it for twice as long as it should.
    """
    now = timezone.now()
    name = _scoped_name(name)
    row = CachedCount.objects.filter(name=name).first()
    if row is None or row.at + 2 * _recount_interval(row) < now:
        return _count(name, row)
    if row.requested_at < now - REFRESH_WHILE_READ_WITHIN / 4:
        CachedCount.objects.filter(pk=row.pk).update(requested_at=now)
    return CountResult(row.values, row.at)


def recount(name: str) -> CountResult:
    """Count now, and keep what came out if that took long."""
    name = _scoped_name(name)
    return _count(name, CachedCount.objects.filter(name=name).first())


def _scoped_name(name: str) -> str:
    scope = current()
    return name if scope is None else f"{name} {scope.key[:40]}"


def _count(name: str, row: CachedCount | None) -> CountResult:
    at, began = timezone.now(), time.monotonic()
    values = CACHED_COUNTS[name.partition(" ")[0]]()
    seconds = time.monotonic() - began
    if seconds >= settings.KEPT_FROM_SECONDS:
        new = {"values": values, "at": at, "seconds": seconds}
        CachedCount.objects.update_or_create(name=name, defaults=new, create_defaults=new | {"requested_at": at})
    elif row is not None:
        row.delete()
    return CountResult(values)


def refresh_stale() -> None:
    """Count anew what is old and was asked for lately."""
    now = timezone.now()
    CachedCount.objects.filter(name__contains=" ", at__lt=now - REFRESH_WHILE_READ_WITHIN).delete()
    for row in CachedCount.objects.filter(requested_at__gte=now - REFRESH_WHILE_READ_WITHIN).exclude(
        name__contains=" "
    ):
        if row.name not in CACHED_COUNTS:
            row.delete()
        elif row.at + _recount_interval(row) <= now:
            _count(row.name, row)


def _recount_interval(row: CachedCount) -> timedelta:
    return max(MIN_RECOUNT_INTERVAL, timedelta(seconds=row.seconds * RECOUNT_FACTOR))

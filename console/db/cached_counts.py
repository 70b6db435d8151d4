"""Figures that take long to count: pages show those of a short while ago, and the workers count them anew.

``settings.KEPT`` names what is counted. Where counting is quick it is done each time, and nothing is kept. People who
are limited to the same registries have figures of their own, counted when one of them asks.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from console.db.models import KeptFigures
from console.visibility import current

SHARE = 50  # what took a second is counted anew after so many
LEAST = timedelta(seconds=60)  # between two countings
WANTED = timedelta(hours=1)  # what no page has asked for in this time is not counted anew


@dataclass(frozen=True)
class Figures:
    """What was counted; ``at`` is when, None for just now."""

    values: dict[str, int]
    at: datetime | None = None


def read(name: str) -> Figures:
    """Return the figures that ``settings.KEPT`` has under ``name``.

    They are counted here where they are quick to count, and where no worker has done it for twice as long as it should.
    """
    now = timezone.now()
    name = _of_scope(name)
    row = KeptFigures.objects.filter(name=name).first()
    if row is None or row.at + 2 * _pause(row) < now:
        return _count(name, row)
    if row.asked_at < now - WANTED / 4:
        KeptFigures.objects.filter(pk=row.pk).update(asked_at=now)
    return Figures(row.values, row.at)


def count(name: str) -> Figures:
    """Count now, and keep what came out if that took long."""
    name = _of_scope(name)
    return _count(name, KeptFigures.objects.filter(name=name).first())


def _of_scope(name: str) -> str:
    scope = current()
    return name if scope is None else f"{name} {scope.key[:40]}"


def _count(name: str, row: KeptFigures | None) -> Figures:
    at, began = timezone.now(), time.monotonic()
    values: dict[str, int] = import_string(settings.KEPT[name.partition(" ")[0]])()
    took = time.monotonic() - began
    if took >= settings.KEPT_FROM_SECONDS:
        new = {"values": values, "at": at, "took": took}
        KeptFigures.objects.update_or_create(name=name, defaults=new, create_defaults=new | {"asked_at": at})
    elif row is not None:
        row.delete()
    return Figures(values)


def tick() -> None:
    """Count anew what is old and was asked for lately."""
    now = timezone.now()
    KeptFigures.objects.filter(name__contains=" ", at__lt=now - WANTED).delete()
    for row in KeptFigures.objects.filter(asked_at__gte=now - WANTED).exclude(name__contains=" "):
        if row.name not in settings.KEPT:
            row.delete()
        elif row.at + _pause(row) <= now:
            _count(row.name, row)


def _pause(row: KeptFigures) -> timedelta:
    return max(LEAST, timedelta(seconds=row.took * SHARE))

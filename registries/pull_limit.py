"""The hourly limit of a registry: how many images may be pulled from it in any 60 minutes, across all workers.

An image whose manifest and config or layers are downloaded counts once; listing calls do not count. The window slides:
a unit is free again an hour after it was taken, so no stretch of an hour ever holds more than the limit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import (
    Count,
    DateTimeField,
    ExpressionWrapper,
    F,
    IntegerField,
    OuterRef,
    Subquery,
    Window,
)
from django.db.models.functions import Coalesce, Now, RowNumber

from console.db.clock import database_now
from console.extension_points import ExtensionPoint
from registries.models import PullUnit, Registry

LIMIT_WINDOW = timedelta(hours=1)

# What follows when somebody has changed the limit of a registry, after that was committed.
LIMIT_CHANGED: ExtensionPoint[Callable[[Registry], None]] = ExtensionPoint("consequence of a changed limit")


@dataclass(frozen=True)
class Usage:
    """How much of a limit is used now. ``next_free`` is None while units are left or nothing is limited."""

    limit: int | None
    used: int
    next_free: datetime | None


def take_unit(*, registry_id: int, image_id: str, now: datetime | None = None, waiting: int = 0) -> datetime | None:
    """Take one unit for ``image_id`` (its config digest). Returns None where it was granted.

    Else returns when to ask again: the time at which the unit after the next ``waiting`` ones becomes free, so that
    those who wait come back one by one instead of all at once. ``now`` is the database's clock unless given.
    Exact under concurrency: the registry's row is locked (SQLite: the whole database, by IMMEDIATE transactions).
    """
    with transaction.atomic():
        registry = Registry.objects.select_for_update().only("pk", "limit").get(pk=registry_id)
        if registry.limit is None:
            return None
        now = now or database_now()
        PullUnit.objects.filter(registry_id=registry_id, taken_at__lte=now - LIMIT_WINDOW).delete()
        units = list(PullUnit.objects.filter(registry_id=registry_id).order_by("taken_at", "pk"))
        if any(unit.image_id == image_id for unit in units):
            return None
        if len(units) < registry.limit:
            PullUnit.objects.create(registry_id=registry_id, image_id=image_id, taken_at=now)
            return None
        return _free_at(units, registry.limit, waiting)


def limit_changed(registry: Registry) -> None:
    """Have what waits for the limit of ``registry`` find out, after the transaction, that it is another one."""
    for consequence in LIMIT_CHANGED.values():
        transaction.on_commit(partial(consequence, registry))


def free_times(*, registry_id: int, waiting: int, count: int) -> list[datetime]:
    """Return when the ``count`` units after the next ``waiting`` ones become free; empty where nothing is used up."""
    limit = Registry.objects.values_list("limit", flat=True).get(pk=registry_id)
    units = list(PullUnit.objects.filter(registry_id=registry_id).order_by("taken_at", "pk"))
    if limit is None or len(units) < limit:
        return []
    return [_free_at(units, limit, waiting + number) for number in range(count)]


def usage(registry: Registry, *, now: datetime | None = None) -> Usage:
    """Return how much of the limit of ``registry`` is used. ``now`` is the database's clock unless given."""
    return usage_of_row(Registry.objects.annotate(**usage_columns(now)).get(pk=registry.pk))


def usage_columns(now: datetime | None = None) -> dict[str, Any]:
    """Return the annotations that a query over registries needs so that each row tells its usage."""
    since = now - LIMIT_WINDOW if now else ExpressionWrapper(Now() - LIMIT_WINDOW, output_field=DateTimeField())
    units = PullUnit.objects.filter(registry=OuterRef("pk"), taken_at__gt=since).order_by()
    newest_first = Window(RowNumber(), order_by=[F("taken_at").desc(), F("pk").desc()])
    # As many are newer as the limit allows but one: with this one gone there is room. None where there is room now.
    last = units.annotate(position=newest_first).filter(position=OuterRef("limit"))
    count = units.values("registry").annotate(number=Count("pk")).values("number")
    return {
        "units_used": Coalesce(Subquery(count, output_field=IntegerField()), 0),
        "unit_blocking": Subquery(last.values("taken_at")[:1], output_field=DateTimeField()),
    }


def usage_of_row(row: Registry) -> Usage:
    """Return the usage that a row with :func:`usage_columns` tells."""
    used, blocking = getattr(row, "units_used", 0), getattr(row, "unit_blocking", None)
    if row.limit is None:
        return Usage(limit=None, used=0, next_free=None)
    return Usage(limit=row.limit, used=used, next_free=blocking + LIMIT_WINDOW if blocking else None)


def _free_at(units: list[PullUnit], limit: int, waiting: int) -> datetime:
    """Return when the unit after the next ``waiting`` free ones can be had; ``units`` are in order of their time.

    With the limit lowered since, more units than the limit may be in use: those above it free nothing.
    """
    surplus = len(units) - limit
    rounds, position = divmod(waiting, limit)
    return units[surplus + position].taken_at + LIMIT_WINDOW * (rounds + 1)

"""The hourly limit of a registry: how many images may be pulled from it in any 60 minutes, across all workers.

An image whose manifest and config or layers are downloaded counts once; listing calls do not count. The window slides:
a unit is free again an hour after it was taken, so no stretch of an hour ever holds more than the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models.functions import Now

from registries.models import PullUnit, Registry

WINDOW = timedelta(hours=1)


@dataclass(frozen=True)
class Usage:
    """How much of a limit is used now. ``next_free`` is None while units are left or nothing is limited."""

    limit: int | None
    used: int
    next_free: datetime | None


def take(*, registry_id: int, image_id: str, now: datetime | None = None, waiting: int = 0) -> datetime | None:
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
        PullUnit.objects.filter(registry_id=registry_id, taken_at__lte=now - WINDOW).delete()
        units = list(PullUnit.objects.filter(registry_id=registry_id).order_by("taken_at", "pk"))
        if any(unit.image_id == image_id for unit in units):
            return None
        if len(units) < registry.limit:
            PullUnit.objects.create(registry_id=registry_id, image_id=image_id, taken_at=now)
            return None
        return _free_at(units, registry.limit, waiting)


def free_times(*, registry_id: int, waiting: int, count: int) -> list[datetime]:
    """Return when the ``count`` units after the next ``waiting`` ones become free; empty where nothing is used up."""
    limit = Registry.objects.values_list("limit", flat=True).get(pk=registry_id)
    units = list(PullUnit.objects.filter(registry_id=registry_id).order_by("taken_at", "pk"))
    if limit is None or len(units) < limit:
        return []
    return [_free_at(units, limit, waiting + number) for number in range(count)]


def usage(registry: Registry, *, now: datetime | None = None) -> Usage:
    """Return how much of the limit of ``registry`` is used."""
    if registry.limit is None:
        return Usage(limit=None, used=0, next_free=None)
    now = now or database_now()
    units = list(PullUnit.objects.filter(registry=registry, taken_at__gt=now - WINDOW).order_by("taken_at", "pk"))
    full = len(units) >= registry.limit
    return Usage(limit=registry.limit, used=len(units), next_free=_free_at(units, registry.limit, 0) if full else None)


def _free_at(units: list[PullUnit], limit: int, waiting: int) -> datetime:
    """Return when the unit after the next ``waiting`` free ones can be had; ``units`` are in order of their time.

    With the limit lowered since, more units than the limit may be in use: those above it free nothing.
    """
    surplus = len(units) - limit
    rounds, position = divmod(waiting, limit)
    return units[surplus + position].taken_at + WINDOW * (rounds + 1)


def database_now() -> datetime:
    """Return the time by the database's clock, which all workers share."""
    row = Registry.objects.annotate(clock=Now()).values_list("clock", flat=True).first()
    if row is None:
        raise LookupError("There is no registry to have a limit.")
    return row

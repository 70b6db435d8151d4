"""The nightly syncs: every registry once in a window of the night, spread over it.

``enqueue_due_syncs()`` runs with every tick, by any number of workers. A registry's night is claimed by one UPDATE of
``nightly_on``, so it is synced once however often that runs. After a break in the window it runs late; after the
window it waits for the next night.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from console.db.clock import database_now
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync

WINDOW_OPENS, WINDOW_CLOSES = time(0), time(3)  # of the console's own time zone
WINDOW_SECONDS = 3 * 60 * 60
SPREAD_STEP_SECONDS = (
    6673  # seconds between neighbouring ids, modulo WINDOW_SECONDS and prime to it: the golden section spreads best
)


def enqueue_due_syncs(*, now: datetime | None = None) -> None:
    """Queue the sync of each registry whose time has come in this night."""
    now = now or database_now()
    night = _date(now)
    opens, closes = _window(night)
    if not opens <= now < closes:
        return
    waiting = Q(nightly_on__isnull=True) | Q(nightly_on__lt=night)
    for registry in Registry.objects.present().filter(waiting).order_by("pk"):
        if sync_time(registry.pk, night) > now:
            continue
        with transaction.atomic():  # a crash in between loses no night
            if Registry.objects.present().filter(waiting, pk=registry.pk).update(nightly_on=night):
                start_sync(registries=[registry], trigger=SyncRun.Trigger.NIGHTLY)


def sync_time(key: int, night: date) -> datetime:
    """Return when the registry with the key ``key`` syncs in the night of the date ``night``; the same share of each.

    Where the clocks are changed within it the window is longer or shorter, and the share is of its real length.
    """
    opens, closes = _window(night)
    return opens + (closes - opens) * offset_seconds(key) / WINDOW_SECONDS


def offset_seconds(key: int) -> int:
    """Return the share of the window, of WINDOW_SECONDS, that stands before the sync of a registry."""
    return key * SPREAD_STEP_SECONDS % WINDOW_SECONDS


def next_sync(registry: Registry, *, now: datetime | None = None) -> datetime:
    """Return when ``registry`` syncs by itself next; ``now`` where it is late in this night."""
    now = now or timezone.now()
    night = _date(now)
    done = registry.nightly_on is not None and registry.nightly_on >= night
    if not done and now < _window(night)[1]:
        return max(sync_time(registry.pk, night), now)
    return sync_time(registry.pk, night + timedelta(days=1))


def _date(now: datetime) -> date:
    return timezone.localdate(now, timezone.get_default_timezone())


def _window(night: date) -> tuple[datetime, datetime]:
    """Return begin and end of the window in UTC, whose length is what passes between them."""
    zone = timezone.get_default_timezone()
    return datetime.combine(night, WINDOW_OPENS, zone).astimezone(UTC), datetime.combine(
        night, WINDOW_CLOSES, zone
    ).astimezone(UTC)

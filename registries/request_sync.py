"""Asking for syncs: one row and one place in the queue for each registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from console.jobs.models import FINAL_STATES, Lane
from console.jobs.queue import enqueue
from registries.models import Registry, SyncRun

if TYPE_CHECKING:
    from console.models import User

LANES = {
    SyncRun.Trigger.MANUAL: Lane.MANUAL,
    SyncRun.Trigger.EVENT: Lane.EVENT,
    SyncRun.Trigger.NIGHTLY: Lane.SCHEDULE,
}


def request_syncs(
    registries: Iterable[Registry],
    *,
    trigger: SyncRun.Trigger = SyncRun.Trigger.MANUAL,
    requested_by: User | None = None,
    forget_unlisted: bool = False,
) -> list[SyncRun]:
    """Queue a sync of each of ``registries``; return them.

    A registry whose sync waits or runs gets no second one, and one that is being removed none at all.
    """
    runs = []
    for registry in registries:
        busy = SyncRun.objects.filter(registry=registry).exclude(state__in=FINAL_STATES).exists()
        if busy or not Registry.objects.present().filter(pk=registry.pk).exists():
            continue
        try:
            with transaction.atomic():
                run = SyncRun.objects.create(
                    registry=registry,
                    trigger=trigger,
                    lane=LANES[trigger],
                    requested_by=requested_by,
                    forget_unlisted=forget_unlisted,
                )
                enqueue(run)
        except IntegrityError:
            continue  # somebody else asked in the same moment
        runs.append(run)
    return runs

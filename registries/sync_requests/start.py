"""Starts syncs: makes the jobs and puts them in line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.http import HttpRequest

from console.accounts.permissions import signed_in_user
from console.audit import trail
from console.jobs.broker import enqueue
from console.jobs.models import Priority
from console.models import User
from registries.models import Registry, SyncRun

LANE_BY_TRIGGER = {
    SyncRun.Trigger.MANUAL: Priority.MANUAL,
    SyncRun.Trigger.EVENT: Priority.EVENT,
    SyncRun.Trigger.NIGHTLY: Priority.SCHEDULE,
}


@dataclass(frozen=True)
class StartedSyncs:
    """What became of a request to sync."""

    runs: list[SyncRun]  # queued now
    already_active: list[Registry]  # a sync of these was queued or running


def start_sync(
    *,
    registries: Iterable[Registry],
    requested_by: User | HttpRequest | None = None,
    trigger: SyncRun.Trigger = SyncRun.Trigger.MANUAL,
    forget_unlisted: bool = False,
    confirm_missing: bool = False,
) -> StartedSyncs:
    """Queue one sync for each registry that has none queued or running; the database itself holds it to one.

    One that is being removed gets none, and is neither among those queued nor among those that were. Each that is
    queued is one event of the audit trail, for it uses the credentials of the registry; a request says from where, too.
    """
    user = signed_in_user(requested_by) if isinstance(requested_by, HttpRequest) else requested_by
    runs, already_active = [], []
    for registry in registries:
        if not Registry.objects.present().filter(pk=registry.pk).exists():
            continue
        try:
            with transaction.atomic():
                run = SyncRun.objects.create(
                    registry=registry,
                    requested_by=user,
                    trigger=trigger,
                    priority=LANE_BY_TRIGGER[trigger],
                    forget_unlisted=forget_unlisted,
                    confirm_missing=confirm_missing,
                )
                enqueue(run)
                detail = {"by": trigger.value} | ({"missing": "confirmed"} if confirm_missing else {})
                trail.record(requested_by, "sync.start", registry, detail)
        except IntegrityError:  # syncrun_one_at_a_time
            already_active.append(registry)
        else:
            runs.append(run)
    return StartedSyncs(runs=runs, already_active=already_active)

"""Taking up push events: each becomes a job, unless the same one waits already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import IntegrityError, transaction

from console import audit
from console.clock import database_now
from console.jobs.models import Lane
from console.jobs.queue import enqueue
from registries.events import MOST_CHANGES, Change
from registries.models import PushEvent, Registry, SyncRun
from registries.start_sync import start_sync

SETTLE = timedelta(seconds=3)  # the push of an index raises several events; Harbor V1's listing lags behind its event


def take_up(*, registry: Registry, found: Sequence[Change]) -> int:
    """Queue what was reported and return how many jobs that made. A flood of changes becomes one sync.

    What makes jobs is one event of the audit trail, for they ask the registry with its credentials.
    """
    if len(found) > MOST_CHANGES:
        return len(start_sync(registries=[registry], trigger=SyncRun.Trigger.EVENT).runs)
    made = 0
    for change in found:
        event = PushEvent(
            registry=registry,
            names=list(change.names),
            repository=change.names[0],
            tag=change.tag,
            lane=Lane.EVENT,
            not_before=database_now() + SETTLE,
        )
        try:
            with transaction.atomic():
                event.save()
                enqueue(event)
        except IntegrityError:  # pushevent_collapsed
            continue
        made += 1
    if made:
        audit.record(None, "push-address.event", registry, {"changes": made, "first": found[0].names[0]})
    return made

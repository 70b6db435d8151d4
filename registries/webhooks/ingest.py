"""Taking up push events: each becomes a job, unless one that waits already serves it too.

What one registry can queue is limited. Above MAX_WAITING_TAGS of a repository, one event for all its tags replaces
further ones; above MAX_WAITING_EVENTS of a registry, one sync of all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import IntegrityError, transaction

from console.audit import trail
from console.db.clock import database_now
from console.jobs.broker import enqueue_many
from console.jobs.models import Priority, State
from registries.models import PushEvent, Registry, SyncRun
from registries.models.push_event import ALL_TAGS
from registries.sync_requests.start import start_sync
from registries.webhooks.payloads import MAX_CHANGES, Change

SETTLE_DELAY = timedelta(
    seconds=3
)  # the push of an index raises several events; Harbor V1's listing lags behind its event
MAX_WAITING_TAGS = 10  # events of a repository that wait
MAX_WAITING_EVENTS = 100  # events of a registry that wait


def ingest_changes(*, registry: Registry, found: Sequence[Change]) -> int:
    """Queue what was reported and return how many jobs that made. A flood of changes becomes one sync.

    What makes jobs is one event of the audit trail, for they ask the registry with its credentials.
    """
    if len(found) > MAX_CHANGES:
        return _sync(registry)
    queued = PushEvent._base_manager.filter(registry=registry, state=State.QUEUED).order_by()
    waiting: dict[str, set[str]] = {}
    for repository, tag in queued.values_list("repository", "tag")[: 2 * MAX_WAITING_EVENTS]:
        waiting.setdefault(repository, set()).add(tag)
    made: list[PushEvent] = []
    for change in found:
        if "" in waiting:  # the whole registry will be looked at
            break
        name, tag = change.names[0], change.tag
        tags = waiting.setdefault(name, set())
        if sum(map(len, waiting.values())) >= MAX_WAITING_EVENTS:
            return len(_queue(registry, made, found)) + _sync(registry)
        if ALL_TAGS in tags or tag in tags:
            continue
        tag = ALL_TAGS if len(tags) >= MAX_WAITING_TAGS else tag
        tags.add(tag)
        made.append(_event(registry, change.names, tag))
    return len(_queue(registry, made, found))


def _event(registry: Registry, names: Sequence[str], tag: str) -> PushEvent:
    return PushEvent(
        registry=registry,
        names=list(names),
        repository=names[0] if names else "",
        tag=tag,
        priority=Priority.EVENT,
        not_before=database_now() + SETTLE_DELAY,
    )


def _queue(registry: Registry, events: Sequence[PushEvent], found: Sequence[Change]) -> list[PushEvent]:
    """Put ``events`` in line but those that another process has put there meanwhile; return the others."""
    made = []
    with transaction.atomic():
        for event in events:
            try:
                with transaction.atomic():
                    event.save()
            except IntegrityError:  # pushevent_collapsed
                continue
            made.append(event)
        enqueue_many(made)
        if made:
            first = found[0].names[0] if found else ""
            trail.record(None, "push-address.event", registry, {"changes": len(made), "first": first})
    return made


def _sync(registry: Registry) -> int:
    """Have all of ``registry`` synced; after the sync that is at work, if one is, for it may be past what is new."""
    if start_sync(registries=[registry], trigger=SyncRun.Trigger.EVENT).runs:
        return 1
    if SyncRun._base_manager.filter(registry=registry, state=State.QUEUED, attempt=0).exists():
        return 0
    return len(_queue(registry, [_event(registry, (), "")], ()))

"""Step: the registry's hourly limit."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q

from console.db.clock import database_now
from console.i18n.message_codes import Message
from console.jobs.models import Priority, State
from inventory import image_summary
from registries import pull_limit
from registries.models import Registry
from scanning.execution.context import ScanContext
from scanning.execution.failover import fail_over_while_waiting
from scanning.models import Scan
from scanning.runs import limit_waits

MAX_RESCHEDULED_SCANS = 200  # scans that get a time of their own when a registry is at its limit


def take_pull_unit(context: ScanContext) -> None:
    """Count this image against the registry's hourly limit.

    Raises Postponed if the limit is reached: the scan waits in the queue until there is room.
    """
    run, registry = context.run, context.registry
    if registry.limit is None:
        return
    until = pull_limit.take_unit(
        registry_id=registry.pk, image_id=run.job.image.image_id, waiting=_count_waiting(registry, run.job.priority)
    )
    if until is not None:
        reason = limit_waits.waiting_reason(registry)
        _reschedule_queued(registry, reason)
        fail_over_while_waiting(run, until=until, only_with_room=True)
        run.postpone(until=until, reason=reason)


def _reschedule_queued(registry: Registry, reason: Message) -> None:
    """Have all other queued scans of ``registry`` wait too, so that not each takes a worker to find that out.

    The next of them get times of their own, one for each unit that becomes free; the others the time of the last.
    """
    now = database_now()
    ready = Q(not_before=None) | Q(not_before__lte=now)
    line = Scan.objects.filter(ready, registry=registry, state=State.QUEUED)
    times = pull_limit.free_times(
        registry_id=registry.pk, waiting=_count_waiting(registry, Priority.SCHEDULE) + 1, count=MAX_RESCHEDULED_SCANS
    )
    if not times:
        return
    chosen = list(line.order_by("priority", "pk").select_related("image")[: len(times)])
    for scan, until in zip(chosen, times, strict=False):
        scan.not_before, scan.reason = until, reason
    with transaction.atomic():
        Scan.objects.filter(state=State.QUEUED).bulk_update(chosen, ["not_before", "reason"], batch_size=100)
        image_summary.record_waiting(
            [(scan.image_id, registry.pk) for scan in chosen],
            reason=reason,
            until={scan.image_id: scan.not_before for scan in chosen if scan.not_before},
        )
        if len(chosen) == len(times):
            line.update(not_before=times[-1], reason=reason)
    with transaction.atomic():
        limit_waits.ask_others(registry, chosen)


def _count_waiting(registry: Registry, priority: int) -> int:
    """Return how many scans of the registry wait for its limit that go before one of this priority."""
    line = Scan.objects.filter(registry=registry, state=State.QUEUED, priority__lte=priority)
    return line.filter(not_before__gt=database_now()).count()

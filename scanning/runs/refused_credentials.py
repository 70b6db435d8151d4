"""Scans of a registry that has refused its credentials: they wait without a request until a person has seen to these.

``Scan.claimable`` leaves them out. What is written here only tells people why they wait.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q, QuerySet

from console.i18n.message_codes import NOTHING, Message
from console.jobs.models import State
from inventory import image_summary
from registries.login_guard import clear_outdated_refusals
from registries.models import Registry
from registries.models.registry import IS_REFUSED
from scanning.models import Scan
from scanning.runs import messages

WAITING_REASON = messages.CREDENTIALS_REFUSED()
BATCH_SCANS = 500


def mark_waiting(registry: Registry) -> None:
    """Say of all queued scans of ``registry`` why they wait."""
    _write(Scan.objects.filter(registry=registry).exclude(reason=WAITING_REASON), WAITING_REASON)


def postpone_queued(registry: Registry, *, until: datetime, reason: Message) -> None:
    """Have all queued scans of ``registry`` wait: it has locked the account, and each would only prolong that."""
    ready = Q(not_before=None) | Q(not_before__lt=until)
    line = Scan.objects.filter(ready, registry=registry, state=State.QUEUED).order_by("pk")
    while batch := dict(line.values_list("pk", "image_id")[:BATCH_SCANS]):
        Scan.objects.filter(pk__in=batch, state=State.QUEUED).update(not_before=until, reason=reason)
        waiting = [(image_id, registry.pk) for image_id in batch.values()]
        image_summary.record_waiting(waiting, reason=reason, until=until)


def tick() -> None:
    """Say of queued scans that they wait for other credentials, or no longer."""
    clear_outdated_refusals()
    refused = Registry.objects.filter(IS_REFUSED)
    _write(Scan.objects.filter(registry__in=refused).exclude(reason=WAITING_REASON), WAITING_REASON)
    _write(Scan.objects.filter(reason=WAITING_REASON).exclude(registry__in=refused), NOTHING)


def _write(scans: QuerySet[Scan], reason: Message) -> None:
    """Write ``reason`` to those of ``scans`` that are queued, some at a time."""
    line = scans.filter(state=State.QUEUED).order_by("pk")
    while batch := list(line.values_list("pk", "image_id", "registry_id")[:BATCH_SCANS]):
        Scan.objects.filter(pk__in=[pk for pk, *_more in batch], state=State.QUEUED).update(reason=reason)
        image_summary.record_waiting([(image_id, registry_id) for _pk, image_id, registry_id in batch], reason=reason)

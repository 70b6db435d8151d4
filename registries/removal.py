"""Asking for the removal of a registry."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from console.jobs.broker import enqueue
from console.jobs.models import State
from console.models import User
from registries.models import Registry, Removal


def request_removal(registry: Registry, *, requested_by: User | None = None) -> Removal | None:
    """Take ``registry`` off all pages of registries now, and queue the removal of what it holds.

    Its credentials are erased at once. None where a removal is under way; after a failed one another is queued.
    """
    with transaction.atomic():
        locked = Registry.objects.select_for_update().filter(pk=registry.pk).first()
        if locked is None or locked.removals.filter(state__in=State.active()).exists():
            return None
        locked.deleting_at = locked.deleting_at or timezone.now()
        locked.password_token = locked.pull_password_token = ""  # nosec B105  # taken away
        locked.save(update_fields=["deleting_at", "password_token", "pull_password_token"])
        removal = Removal.objects.create(registry=locked, name=locked.name, requested_by=requested_by)
        enqueue(removal)
        return removal


def unfinished_removals() -> list[Removal]:
    """Return the removals that run, wait or have failed, the last of each registry."""
    last: dict[int, Removal] = {}
    for removal in Removal.objects.filter(registry__deleting_at__isnull=False).exclude(state=State.SUCCEEDED):
        last.setdefault(removal.registry_id or 0, removal)
    return list(last.values())

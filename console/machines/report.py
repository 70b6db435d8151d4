"""What machines report of themselves, for the page Scanners and the foot of the sidebar."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.db.models.functions import Now

from console.i18n.message_codes import NOTHING, Message
from console.machines.identity import host, machine_id
from console.machines.models import Machine

OFFLINE_AFTER = timedelta(minutes=3)  # a machine reports itself every half minute
FORGOTTEN_AFTER = timedelta(
    days=1
)  # a machine that was not seen for so long is no machine of this installation any more


def report(*, ready: bool, reason: Message = NOTHING, remedy: Message = NOTHING, versions: Mapping[str, Any]) -> None:
    """Write down how this machine is."""
    fields: dict[str, Any] = {
        "host": host(),
        "folder": str(settings.DATA_DIR)[:300],
        "serves": settings.SERVES,
        "last_seen": Now(),
        "ready": ready,
        "reason": reason,
        "remedy": remedy,
        "versions": dict(versions),
    }
    Machine.objects.update_or_create(machine=machine_id(), defaults=fields)


def recent_machines() -> QuerySet[Machine]:
    """Return the machines that were seen within a day."""
    return Machine.objects.filter(last_seen__gte=Now() - FORGOTTEN_AFTER)


def has_other_machines() -> bool:
    """Whether there are machines beside this one."""
    return recent_machines().exclude(machine=machine_id()).exists()


def another_is_ready() -> bool:
    """Whether another machine that was seen a moment ago takes scans."""
    others = Machine.objects.filter(ready=True, last_seen__gte=Now() - OFFLINE_AFTER)
    return others.exclude(machine=machine_id()).exists()


def prune() -> None:
    """Forget machines that were not seen for a day."""
    Machine.objects.filter(last_seen__lt=Now() - FORGOTTEN_AFTER).delete()

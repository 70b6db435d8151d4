"""Which versions all machines use, and the machine that the settings and rules come from: the primary one.

It is the machine that serves the pages, of several the first one; as long as none serves them, the first machine of
all. ``manage.py make_primary`` makes another one primary. It stays so while it is away: nothing changes by an absence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from console.machines import content
from console.machines.identity import host, machine_id
from console.machines.models import FleetVersion, SharedFile

SETTINGS_NAME = "settings"


def current() -> dict[str, FleetVersion]:
    """Return the versions in use by name, in one query."""
    return {row.name: row for row in FleetVersion.objects.select_related("file")}


def publish(name: str, *, version: str, file: SharedFile) -> FleetVersion:
    """Have all machines use ``file`` as ``name`` from now on. The last one to publish is right."""
    with transaction.atomic():
        row = FleetVersion.objects.select_for_update().filter(name=name).first() or FleetVersion(name=name)
        before = row.file_id
        row.version, row.sha256, row.file = version[:60], file.sha256, file
        row.machine, row.host = machine_id(), host()
        row.save()
        content.keep(file)
        if before is not None and before != file.pk:
            content.release(before)
    return row


def settle_primary(values: Mapping[str, Any], *, serves: bool, take: bool = False) -> FleetVersion:
    """Write what this machine has where it is the primary one, or becomes it, and return what the primary one has.

    ``values`` are the settings that all machines must have alike. With ``take`` it becomes the primary one.
    """
    me = machine_id()
    try:
        with transaction.atomic():
            row = FleetVersion.objects.select_for_update().filter(name=SETTINGS_NAME).first()
            if row is None:
                row = FleetVersion(name=SETTINGS_NAME, version="", sha256="")
            elif not take and row.machine != me and (row.is_fixed or not serves):
                return row
            fixed = serves or take or (row.machine == me and row.is_fixed)
            mine = {"values": dict(values), "machine": me, "host": host(), "is_fixed": fixed}
            if any(getattr(row, name) != value for name, value in mine.items()):
                for name, value in mine.items():
                    setattr(row, name, value)
                row.save()
            return row
    except IntegrityError:  # another machine was faster
        return FleetVersion.objects.get(name=SETTINGS_NAME)

"""Whether the database is of this version.

Machines are upgraded one after the other, and one that was left would go on to write rows as they were before.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.apps import apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder


@cache
def _on_disk() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations or {})


def what_is_wrong() -> str:
    """Return why this version must not work with the database, and what to do; "" where it may."""
    ours = {app.label for app in apps.get_app_configs() if Path(app.path).parent == Path(settings.BASE_DIR)}
    applied = {key for key in MigrationRecorder(connection).applied_migrations() if key[0] in ours}
    known = {key for key in _on_disk() if key[0] in ours}
    if newer := applied - known:
        names = ", ".join(".".join(key) for key in sorted(newer))
        return (
            f"The database is of a newer version of Tallyman ({names}). Upgrade Tallyman on this machine too; until"
            " then it does no work."
        )
    if known - applied:
        return "The database is of an older version of Tallyman. Run manage.py migrate once, then start this again."
    return ""

"""The database's clock, which all workers share; what is due and how long is waited is judged by it.

With SQLite it is that of the machine.
"""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """Return the time by the database's clock."""
    if connection.vendor == "sqlite":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        (now,) = cursor.fetchone()
    found: datetime = now
    return found


def to_database_time(at: datetime) -> datetime:
    """Return what the database's clock shows when this process's own shows ``at``."""
    return at if connection.vendor == "sqlite" else at + (database_now() - timezone.now())

"""The daily update of the vulnerability database, by itself at a time that the settings name."""

from __future__ import annotations

from datetime import datetime, time

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from console.db.clock import database_now
from console.jobs import broker
from console.jobs.models import Lane, State
from scanning.models import DatabaseUpdate

ACTIVE = (State.QUEUED, State.RUNNING)
OFF = "off"


def tick(*, now: datetime | None = None) -> None:
    """Queue the update of today once its time has come, by any number of workers once. Late is better than not."""
    now = timezone.localtime(now or database_now())
    at = time_of_day()
    if at is None or now.time() < at or DatabaseUpdate.objects.filter(day=now.date()).exists():
        return
    try:
        with transaction.atomic():
            update = DatabaseUpdate.objects.create(day=now.date(), lane=Lane.SCHEDULE)
            broker.enqueue(update)
    except IntegrityError:
        return  # another worker was faster


def time_of_day() -> time | None:
    """Return when the database is updated every day, or None where that is off."""
    at: str = settings.TRIVY_DATABASE_AT
    return None if at == OFF else time.fromisoformat(at)

"""The daily update of the vulnerability database, by itself at a time that the settings name."""

from __future__ import annotations

from datetime import datetime, time

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from console.db.clock import database_now
from console.jobs import broker
from console.jobs.models import Priority
from scanning.models import VulndbUpdate

UPDATE_OFF = "off"


def tick(*, now: datetime | None = None) -> None:
    """Queue the update of today once its time has come, by any number of workers once. Late is better than not."""
    now = timezone.localtime(now or database_now())
    at = time_of_day()
    if at is None or now.time() < at or VulndbUpdate.objects.filter(day=now.date()).exists():
        return
    try:
        with transaction.atomic():
            update = VulndbUpdate.objects.create(day=now.date(), priority=Priority.SCHEDULE)
            broker.enqueue(update)
    except IntegrityError:
        return  # another worker was faster


def time_of_day() -> time | None:
    """Return when the database is updated every day, or None where that is off."""
    at: str = settings.TRIVY_DATABASE_AT
    return None if at == UPDATE_OFF else time.fromisoformat(at)

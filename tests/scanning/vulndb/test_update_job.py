"""The vulnerability database is updated by itself once a day, and what stands in its way is told."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from console.jobs.models import State
from scanning import tasks
from scanning.models import VulndbUpdate
from scanning.vulndb import update_job
from tests.fakes.registry import FakeRegistry

pytestmark = pytest.mark.django_db(transaction=True)

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(autouse=True)
def at_four(settings: Any) -> None:
    settings.TIME_ZONE = "Europe/Berlin"
    settings.TRIVY_DATABASE_AT = "04:00"


def at(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, tzinfo=BERLIN)


def test_it_is_queued_once_a_day_when_its_time_has_come() -> None:
    update_job.tick(now=at(3, 3, 59))
    assert not VulndbUpdate.objects.exists()
    for hour in (4, 5, 23):
        update_job.tick(now=at(3, hour))
    assert VulndbUpdate.objects.count() == 1
    update_job.tick(now=at(4, 3))
    update_job.tick(now=at(5, 12))
    assert [str(day) for day in VulndbUpdate.objects.order_by("day").values_list("day", flat=True)] == [
        "2026-11-03",
        "2026-11-05",
    ]


def test_one_by_hand_does_not_stand_for_it() -> None:
    VulndbUpdate.objects.create()
    update_job.tick(now=at(3, 4))
    assert VulndbUpdate.objects.filter(day__isnull=False).count() == 1


def test_it_can_be_turned_off(settings: Any) -> None:
    settings.TRIVY_DATABASE_AT = "off"
    update_job.tick(now=at(3, 12))
    assert not VulndbUpdate.objects.exists()


def test_without_a_network_it_says_what_helps(settings: Any, fake: FakeRegistry) -> None:
    settings.TRIVY_DATABASE_REPOSITORY = "127.0.0.1:9/trivy-db:2"
    update_job.tick(now=at(3, 4))
    update = VulndbUpdate.objects.get()
    for _try in range(2):
        VulndbUpdate.objects.update(not_before=None)
        tasks.update_database(update.pk)
    update.refresh_from_db()
    assert update.state == State.FAILED
    assert "127.0.0.1:9/trivy-db:2" in update.reason
    assert "--from FILE" in update.remedy

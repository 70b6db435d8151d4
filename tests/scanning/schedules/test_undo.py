"""Taking back that a schedule was deleted or switched off."""

from __future__ import annotations

import re
from datetime import date, time, timedelta

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule

from console.models import AuditEvent, User
from inventory.models import Tag
from scanning.models import ScanSchedule, ScanScope, ScheduleRun
from scanning.schedules import scheduler
from scanning.schedules import undo as schedules_undo
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db
FIELDS = ("name", "is_on", "every_days", "at", "until", "starts_on", "scope", "categories", "timeout", "next_due_at")


@pytest.fixture
def tags() -> list[Tag]:
    return [factories.tag(f"v{index}") for index in range(3)]


@pytest.fixture
def weekly(tags: list[Tag]) -> ScanSchedule:
    made = ScanSchedule(
        name="Payments",
        every_days=7,
        at=time(22),
        until=time(4, 30),
        starts_on=date(2026, 1, 1),
        scope=ScanScope.CHOSEN,
        categories=["malware"],
        timeout=720,
    )
    scheduler.save(made, chosen=Tag.objects.filter(pk__in=[tag.pk for tag in tags[:2]]))
    return made


@pytest.fixture
def ines(client: Client) -> Client:
    client.force_login(person("administrator", username="ines"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def facts(schedule: ScanSchedule) -> dict[str, object]:
    return {name: getattr(schedule, name) for name in FIELDS}


def token(response: HttpResponse) -> str:
    """Return what the button Undo of a page sends; "" where it stands hidden."""
    shown = re.search(r'action="/undo/">.*?name="token" value="([^"]*)"', response.content.decode(), re.DOTALL)
    return shown[1] if shown else ""


def delete(client: Client, schedule: ScanSchedule) -> HttpResponse:
    return client.post(reverse("scanning:schedule-delete", args=[schedule.pk]), follow=True)


def test_a_deleted_schedule_comes_back_with_its_images_its_runs_and_its_due_times(
    ines: Client, weekly: ScanSchedule, tags: list[Tag]
) -> None:
    missed = timezone.now() - timedelta(days=7)
    ScheduleRun.objects.create(schedule=weekly, due_at=missed, outcome=ScheduleRun.Outcome.MISSED)
    run, _is_new = scheduler.run_now(weekly, requested_by=person("operator"))
    weekly.refresh_from_db()
    before = facts(weekly)
    offered = token(delete(ines, weekly))
    assert not ScanSchedule.objects.exists()
    assert not Schedule.objects.filter(func=scheduler.FIRE_TASK).exists()
    assert "Undone." in ines.post("/undo/", {"token": offered}, follow=True).content.decode()
    again = ScanSchedule.objects.get()
    assert facts(again) == before
    assert list(again.chosen.order_by("pk")) == tags[:2]
    assert list(again.runs.all()) == [run]
    assert list(again.occurrences.values_list("due_at", "outcome")) == [(missed, ScheduleRun.Outcome.MISSED)]
    assert Schedule.objects.get(func=scheduler.FIRE_TASK).pk == again.queue_row
    assert AuditEvent.objects.filter(action="undo", target="schedule.delete").exists()


def test_a_name_that_was_given_away_meanwhile_is_told_and_nothing_is_made(ines: Client, weekly: ScanSchedule) -> None:
    offered = token(delete(ines, weekly))
    scheduler.save(ScanSchedule(name="Payments", at=time(1), starts_on=date(2026, 1, 1), categories=["malware"]))
    told = ines.post("/undo/", {"token": offered}, follow=True).content.decode()
    assert "There is a schedule named “Payments” again." in told
    assert "Undone." not in told
    assert ScanSchedule.objects.count() == 1


def test_a_schedule_of_more_images_than_a_button_carries_offers_no_undo(
    ines: Client, weekly: ScanSchedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedules_undo, "MAX_CHOSEN_IMAGES", 1)
    response = delete(ines, weekly)
    assert "The schedule “Payments” is deleted." in response.content.decode()
    assert token(response) == ""


def test_a_schedule_that_was_switched_off_is_switched_on_again(ines: Client, weekly: ScanSchedule) -> None:
    url = reverse("scanning:schedule", args=[weekly.pk])
    form = {"name": "Payments", "every_days": 7, "at": "22:00", "starts_on": "2026-01-01"}
    form |= {"scope": "all", "categories": ["malware"], "timeout": 12}
    offered = token(ines.post(url, form, follow=True))
    weekly.refresh_from_db()
    assert (weekly.is_on, weekly.next_due_at) == (False, None)
    ines.post("/undo/", {"token": offered})
    weekly.refresh_from_db()
    assert weekly.is_on
    assert weekly.next_due_at is not None
    assert Schedule.objects.get(func=scheduler.FIRE_TASK).pk == weekly.queue_row


def test_a_switched_off_schedule_that_is_gone_is_told(weekly: ScanSchedule) -> None:
    with pytest.raises(schedules_undo.undo.UndoRefusedError, match="no longer exists"):
        schedules_undo.switch_on(person("administrator"), {"pk": weekly.pk + 1})


def test_who_is_no_administrator_any_more_takes_nothing_back(ines: Client, weekly: ScanSchedule) -> None:
    offered = token(delete(ines, weekly))
    User.objects.filter(username="ines").update(role="operator")
    assert ines.post("/undo/", {"token": offered}).status_code == 403
    assert not ScanSchedule.objects.exists()

"""Which tags a schedule wants: by patterns, the newest ones, the younger ones."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from inventory.models import Tag
from scanning.models import ScanRun, ScanSchedule, ScanScope
from scanning.runs.narrow import narrowed
from scanning.runs.scope import tags_in_scope
from scanning.schedules import scheduler, undo
from tests import factories
from tests.people import person, signed_in_client

pytestmark = pytest.mark.django_db

DAYS = {"team/app:v1": 40, "team/app:v2": 20, "team/app:v2-dev": 10, "team/web:v1": 5, "lab/app:v9": 1}


@pytest.fixture(autouse=True)
def _tags() -> None:
    lab = factories.registry(name="lab")
    for name, days in DAYS.items():
        path, _colon, tag = name.partition(":")
        made = factories.tag(tag, of=factories.image(), in_=lab, path=path)
        Tag.objects.filter(pk=made.pk).update(pushed_at=timezone.now() - timedelta(days=days))


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({}, set(DAYS)),
        ({"repository_patterns": "team/*"}, set(DAYS) - {"lab/app:v9"}),
        ({"repository_patterns": "team/*\n!*/web"}, {"team/app:v1", "team/app:v2", "team/app:v2-dev"}),
        ({"tag_patterns": "v?"}, set(DAYS) - {"team/app:v2-dev"}),
        ({"tag_patterns": "!*-dev"}, set(DAYS) - {"team/app:v2-dev"}),
        ({"newest_tags": 1}, {"team/app:v2-dev", "team/web:v1", "lab/app:v9"}),
        ({"newest_tags": 1, "tag_patterns": "!*-dev"}, {"team/app:v2", "team/web:v1", "lab/app:v9"}),
        ({"tag_days": 15}, {"team/app:v2-dev", "team/web:v1", "lab/app:v9"}),
        ({"tag_days": 30, "newest_tags": 2, "repository_patterns": "team/app"}, {"team/app:v2", "team/app:v2-dev"}),
        ({"repository_patterns": "team.app"}, set()),
    ],
)
def test_tags_are_narrowed_by_all_that_is_chosen(choice: dict[str, Any], expected: set[str]) -> None:
    found = {f"{tag.repository.name}:{tag.name}" for tag in narrowed(Tag.objects.all(), choice)}
    assert found == expected


def values(**changes: str) -> dict[str, str]:
    first = {"name": "nightly", "is_on": "on", "every_days": "1", "starts_on": "2026-12-01", "at": "01:00"}
    return {**first, "categories": "vulnerabilities", "timeout": "30", "scope": "all", **changes}


def test_the_form_keeps_it_and_a_run_means_only_these() -> None:
    client = signed_in_client("administrator")
    sent = values(repository_patterns="team/*", tag_patterns="!*-dev", newest_tags="1", tag_days="30")
    response = client.post(reverse("scanning:schedule-add"), sent)
    assert response.status_code == 302, response.status_code
    schedule = ScanSchedule.objects.get()
    assert schedule.choice == {
        "repository_patterns": "team/*",
        "tag_patterns": "!*-dev",
        "newest_tags": 1,
        "tag_days": 30,
    }
    assert "!*-dev" in client.get(reverse("scanning:schedule", args=[schedule.pk])).text
    run, _is_new = scheduler.run_now(schedule, requested_by=person("operator"))
    assert {f"{tag.repository.name}:{tag.name}" for tag in tags_in_scope(run)} == {"team/app:v2", "team/web:v1"}


def test_one_that_narrows_nothing_means_all_and_bad_values_are_told() -> None:
    client = signed_in_client("administrator")
    assert client.post(reverse("scanning:schedule-add"), values()).status_code == 302
    schedule = ScanSchedule.objects.get()
    assert schedule.choice == {}
    assert tags_in_scope(ScanRun(scope=ScanScope.ALL)).count() == len(DAYS)
    response = client.post(reverse("scanning:schedule-add"), values(name="two", newest_tags="0", tag_patterns="a b"))
    assert response.status_code == 422
    assert "no spaces" in response.text


def test_a_schedule_that_is_brought_back_has_it_again() -> None:
    schedule = ScanSchedule(name="x", at="01:00", starts_on="2026-12-01", choice={"newest_tags": 2})
    schedule.save()
    schedule.refresh_from_db()
    kept = undo.snapshot(schedule)
    assert kept is not None
    assert kept["choice"] == {"newest_tags": 2}

"""The page "Engines": version, hash, readiness with a remedy, and updates of the database."""

from __future__ import annotations

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from console.jobs.models import State
from console.models import AuditEvent
from scanning import installed
from scanning.engines.trivy import PINNED_SHA256
from scanning.models import DatabaseUpdate
from tests.people import person

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vulnerability_database")]

PAGE = "/scans/engines/"


def client(role: str) -> Client:
    signed_in = Client()
    signed_in.force_login(person(role))
    return signed_in


def test_everybody_sees_version_and_hash_of_trivy_and_that_the_database_is_the_small_one() -> None:
    text = client("viewer").get(PAGE).content.decode()
    assert PINNED_SHA256 in text
    assert "0.76.0" in text
    assert "for demonstrations" in text
    assert "Update now" not in text


def test_an_engine_that_is_not_there_says_what_to_do() -> None:
    installed.trivy.cache_clear()
    try:
        with override_settings(TRIVY="/nowhere/trivy"):
            text = client("viewer").get(PAGE).content.decode()
    finally:
        installed.trivy.cache_clear()
    assert "Not ready" in text
    assert "/nowhere/trivy" in text


def test_an_administrator_updates_the_database_once_at_a_time() -> None:
    administrator = client("administrator")
    for _ in range(2):
        administrator.post(reverse("scanning:update-database"))
    update = DatabaseUpdate.objects.get()
    assert AuditEvent.objects.filter(action="database.update").count() == 1
    fragment = administrator.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert "every 3s" in fragment
    administrator.post(reverse("scanning:cancel-update"))
    update.refresh_from_db()
    assert update.state == State.CANCELLED
    assert "every 3s" not in administrator.get(PAGE, headers={"HX-Request": "true"}).content.decode()


def test_an_operator_may_look_and_not_update() -> None:
    assert client("operator").post(reverse("scanning:update-database")).status_code == 403
    assert not DatabaseUpdate.objects.exists()

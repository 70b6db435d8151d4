"""A person, and a worker that does the exports that wait."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import Settings

from console.exports import list_export
from console.exports.tasks import export
from console.jobs.configuration import JobTimes
from console.models import Export, User
from tests.people import person


@pytest.fixture
def operator() -> User:
    return person("operator", username="olga", time_zone="Europe/Vienna")


@pytest.fixture
def client(client: Client, operator: User) -> Client:
    client.force_login(operator, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def work(settings: Settings) -> Callable[[], Export]:
    """Do the next export that waits, and return it."""
    settings.JOB_TIMES = JobTimes(poll=0.02)

    def do() -> Export:
        job = Export.objects.order_by("pk").last()
        assert job
        export(job.pk)
        job.refresh_from_db()
        return job

    return do


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows are many here."""
    monkeypatch.setattr(list_export, "MAX_IMMEDIATE_EXPORT_ROWS", 1)

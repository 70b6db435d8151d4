"""What every test shares: the order of the run, its data folder, and quick ways to what others test."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management.commands import flush
from django.db import transaction
from django.http.response import HttpResponseBase
from django.test import Client
from django.test.client import ClientHandler

from console import visibility
from console.accounts import sessions
from console.models import User


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the data folders, in the process that started the others."""
    root = os.environ.get("TALLYMAN_TEST_DATA", "")
    if "PYTEST_XDIST_WORKER" not in os.environ and "tallyman-tests-" in root:
        shutil.rmtree(root, ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin the part of each process of a run with slow tests, so that none is left to the end, which it would stretch.

    xdist gives each process as many tests that follow each other; who is done takes over from the end of another. The
    slow tests of a file stay together, for what is made for all of them may be what is slow.
    """
    processes = getattr(config, "workerinput", {}).get("workercount", 1)
    if processes == 1:
        return
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("slow"):
            files.setdefault(item.path, []).append(item)
    parts: list[list[pytest.Item]] = [[] for _ in range(processes)]
    for slow in sorted(files.values(), key=_allowed_seconds, reverse=True):
        min(parts, key=_allowed_seconds).extend(slow)
    others = [item for item in items if not item.get_closest_marker("slow")]
    left, items[:] = len(items), []
    for number, part in enumerate(parts):
        taken = max(left // (processes - number) - len(part), 0)
        items += part + others[:taken]
        del others[:taken]
        left -= len(part) + taken


def _allowed_seconds(items: list[pytest.Item]) -> float:
    """Return how long these tests may take, which tells which of them do take long."""
    markers = (item.get_closest_marker("timeout") for item in items)
    return sum(float(marker.args[0]) for marker in markers if marker)


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> None:
    """Have what migrating has made (types, permissions) written back as it was when a test has emptied the tables.

    Django looks for each of these rows anew, with hundreds of queries.
    """
    with django_db_blocker.unblock():
        made = [rows for model in apps.get_models() if (rows := list(model._base_manager.all()))]

    def write_back(*_arguments: object, **_options: object) -> None:
        with transaction.atomic():
            for rows in made:
                type(rows[0])._base_manager.bulk_create(rows)

    flush.emit_post_migrate_signal = write_back


@pytest.fixture
def overrides() -> Iterator[ExitStack]:
    """Where a test enters ``overridden()`` of tables that the apps fill (console.extension_points), until its end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session", autouse=True)
def _tests_see_everything() -> Iterator[None]:
    """Show tests everything, and no request: each begins with nothing set, as in a thread of the web server."""

    def answer(self: ClientHandler, environ: dict[str, Any]) -> HttpResponseBase:
        with visibility.set_to(None):
            return handle(self, environ)

    handle = ClientHandler.__call__
    with pytest.MonkeyPatch.context() as patch, visibility.unrestricted():
        patch.setattr(ClientHandler, "__call__", answer)
        yield


@pytest.fixture(autouse=True)
def _sessions_have_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin the session of who is signed in without the form, as its first request would: that writes, once."""
    sign_in = Client.force_login

    def force_login(self: Client, user: User, backend: str | None = None) -> None:
        sign_in(self, user, backend)
        session = self.session
        session[sessions.STARTED_SESSION_KEY] = session[sessions.ACTIVE_SESSION_KEY] = int(time.time())
        session.save()

    monkeypatch.setattr(Client, "force_login", force_login)

"""What every test shares: the data folder of the run goes when the run ends."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from django.test import Client

from console import sessions
from console.models import User


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the data folders, in the process that started the others."""
    root = os.environ.get("TALLYMAN_TEST_DATA", "")
    if "PYTEST_XDIST_WORKER" not in os.environ and "tallyman-tests-" in root:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(autouse=True)
def _sessions_have_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin the session of who is signed in without the form, as its first request would: that writes, once."""
    sign_in = Client.force_login

    def force_login(self: Client, user: User, backend: str | None = None) -> None:
        sign_in(self, user, backend)
        session = self.session
        session[sessions.BEGAN] = session[sessions.SEEN] = int(time.time())
        session.save()

    monkeypatch.setattr(Client, "force_login", force_login)

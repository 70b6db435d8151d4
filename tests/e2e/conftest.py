"""A real browser against a live server. A test fails by itself where a page asks another origin for anything, logs an
error, throws, or breaks the content security policy.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Route

from console.models import User
from tests.people import person

# Playwright's loop runs in this thread; the ORM calls of a test between its steps are no danger to it.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

# The first is Chromium without its desktop shell: the same engine for less than half of the processor time.
CHROMIUM_PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser")

# What is logged for an answer of 4xx, which a test may well want, and by htmx for a request that another one replaced.
EXPECTED_CONSOLE_ERROR = re.compile(
    r"Failed to load resource: the server responded with a status of 4\d\d|htmx:(sendAbort|afterRequest),"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    chromium = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_PROGRAMS)), None)
    if not chromium:
        pytest.fail(
            "Chromium is missing. Install it (apt-get install chromium-headless-shell),"
            " or name it: CHROMIUM=/path make test"
        )
    return {**browser_type_launch_args, "executable_path": chromium, "args": ["--no-sandbox"]}


@pytest.fixture(scope="session")
def base_url(live_server: Any) -> str:
    return str(live_server.url)


@pytest.fixture(autouse=True)
def _rows_seen_by_the_server(transactional_db: None) -> None:
    """Rows of a test are committed, for the server runs in another thread."""


@pytest.fixture
def context(context: BrowserContext, base_url: str) -> Iterator[BrowserContext]:
    """The browser context of a test, watched."""
    wrong: list[str] = []

    def refuse(route: Route) -> None:
        wrong.append(f"asked another origin: {route.request.url}")
        route.abort()

    def log(message: ConsoleMessage) -> None:
        if message.type == "error" and not EXPECTED_CONSOLE_ERROR.match(message.text):
            wrong.append(f"logged: {message.text} ({message.location})")

    def opened(page: Page) -> None:
        page.on("console", log)
        page.on("pageerror", lambda error: wrong.append(f"threw: {error}"))

    # Those to this origin are not routed: each would take a moment of this process.
    context.route(re.compile(f"^https?://(?!{re.escape(urlsplit(base_url).netloc)}/)"), refuse)
    context.on("page", opened)
    context.set_default_timeout(10_000)
    yield context
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def sign_in(context: BrowserContext, base_url: str) -> Callable[[User], None]:
    """Give the browser the session of somebody, without the form."""

    def give(user: User) -> None:
        client = Client()
        client.force_login(user)
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": base_url}])

    return give


@pytest.fixture
def administrator(sign_in: Callable[[User], None]) -> User:
    """An administrator, signed in."""
    user = person("administrator", username="ines.hofer", first_name="Ines", last_name="Hofer")
    sign_in(user)
    return user

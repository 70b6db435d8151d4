"""Every page of the console with data, in a browser: axe-core's judgement light and dark, narrow windows, pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import time
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page

from console.models import User
from scanning.models import ScanSchedule
from scanning.sample.make import make
from tests.e2e.judge import LOADED, Judge
from tests.pages import addresses
from tests.people import person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
LEAVE = {"console:sign-out", "console:sso", "console:sso-callback"}


@pytest.fixture
def staff(sign_in: Callable[[User], None]) -> User:
    """An administrator who sees every page, with an inventory to see."""
    user = person("administrator", username="ines.hofer", first_name="Ines", last_name="Hofer", is_staff=True)
    make(tags=120, images=60, seed=1, now=timezone.now())
    ScanSchedule.objects.create(name="Nightly", at=time(1), starts_on=timezone.localdate(), categories=["malware"])
    sign_in(user)
    return user


def each_page(page: Page) -> Iterator[str]:
    """Open each address that answers with a whole page, and yield its name."""
    page.emulate_media(reduced_motion="reduce")
    for name, path in addresses():
        if name in LEAVE:
            continue
        answer = page.request.get(path, max_redirects=0)
        assert answer.status < 500, name
        if answer.status != 200 or not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        if "<html" in answer.text():
            page.goto(path)
            page.wait_for_function(LOADED)
            yield name


def test_axe_finds_nothing_on_any_page_light_or_dark_and_none_scrolls_sideways_on_a_phone(
    page: Page, staff: User
) -> None:
    judge, wide = Judge(page), []
    for name in each_page(page):
        page.set_viewport_size({"width": 1440, "height": 900})
        if not name.endswith("columns") or name == "inventory:image-columns":  # one template, the most columns
            judge.look(name)
        for width in (360, 320):
            page.set_viewport_size({"width": width, "height": 740})
            if (needed := page.evaluate("document.documentElement.scrollWidth")) > width:
                wide.append((name, width, needed))
    assert len(judge.seen) > 30
    assert not judge.wrong, judge.verdict()
    assert wide == []


@pytest.mark.skipif("TALLYMAN_SCREENSHOTS" not in os.environ, reason="only for make screenshots")
def test_a_screenshot_of_every_page_wide_and_narrow_light_and_dark(page: Page, staff: User) -> None:
    folder = Path(__file__).with_name("screenshots")
    for name in each_page(page):
        for shape, width in (("wide", 1440), ("narrow", 390)):
            page.set_viewport_size({"width": width, "height": 900})
            for theme in ("light", "dark"):
                page.emulate_media(color_scheme=theme)
                page.screenshot(path=folder / f"{name.replace(':', '-')}-{shape}-{theme}.png")

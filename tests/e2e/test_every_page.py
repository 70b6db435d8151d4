"""Every page of the console with data, in a browser: axe-core's judgement light and dark, narrow windows, pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import time
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import BrowserContext, Page

from console.audit import trail
from console.jobs.models import State
from console.jobs.state import advance
from console.models import Export, SavedView, User
from demo.inventory.make import make
from inventory.models import Tag
from scanning.models import Scan, ScanSchedule
from scanning.runs.scan_now import scan_now
from scanning.schedules import scheduler
from tests.e2e.judge import LOADED_SCRIPT, AccessibilityChecker
from tests.pages import addresses
from tests.people import person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
FOLDER = Path(__file__).with_name("screenshots")
LEAVE = {"console:sign-out", "console:sso", "console:sso-callback"}


@pytest.fixture
def staff(sign_in: Callable[[User], None]) -> User:
    """An administrator who sees every page, with an inventory to see."""
    user = person("administrator", username="ines.hofer", first_name="Ines", last_name="Hofer", is_staff=True)
    make(tags=120, images=60, seed=1, now=timezone.now())
    scheduler.save(
        ScanSchedule(
            name="Nightly", at=time(1), starts_on=timezone.localdate(), categories=["vulnerabilities", "malware"]
        )
    )
    recent = Tag.objects.filter(image__scan_state="scanned").order_by("address", "name").values_list("pk", flat=True)
    queued = scan_now(tag_ids=list(recent[:9]), requested_by=user).queued
    for scan, stage in zip(queued, ("pulling", "analysing", "waiting"), strict=False):
        advance(scan, State.RUNNING)
        working = Scan.objects.get(pk=scan.pk)
        working.stage, working.progress_done, working.progress_total = stage, 12 * 2**20, 48 * 2**20
        working.save()
        working.progress_changed()
    trail.record(user, "registry.edit", "Staging", before={"limit": None}, after={"limit": 100})
    trail.record(None, "sign-in.refused", "root", {"why": "wrong password"})
    SavedView.objects.create(user=user, listing="images", name="At risk first", query="security=at-risk&sort=-risks")
    for state in (State.SUCCEEDED, State.FAILED):
        Export.objects.create(
            requested_by=user, listing="images", state=state, time_zone="UTC", language="en", rows=9000
        )
    sign_in(user)
    return user


def whole_pages(page: Page) -> Iterator[tuple[str, str]]:
    """Yield name and path of each address that answers with a whole page."""
    for name, path in addresses():
        if name in LEAVE:
            continue
        answer = page.request.get(path, max_redirects=0)
        assert answer.status < 500, name
        if answer.status != 200 or not answer.headers.get("content-type", "").startswith("text/html"):
            continue
        if "<html" in answer.text():
            yield name, path


def each_page(page: Page) -> Iterator[str]:
    """Open each whole page, and yield its name."""
    page.emulate_media(reduced_motion="reduce")
    for name, path in whole_pages(page):
        page.goto(path)
        page.wait_for_function(LOADED_SCRIPT)
        yield name


def test_axe_finds_nothing_on_any_page_light_or_dark_and_none_scrolls_sideways_on_a_phone(
    page: Page, staff: User
) -> None:
    judge, wide = AccessibilityChecker(page), []
    for name in each_page(page):
        for width in (360, 320):
            page.set_viewport_size({"width": width, "height": 740})
            if (needed := page.evaluate("document.documentElement.scrollWidth")) > width:
                wide.append((name, width, needed))
        page.set_viewport_size({"width": 1440, "height": 900})
        if not name.endswith("columns") or name == "inventory:image-columns":  # one template, the most columns
            judge.thin()
            judge.look(name)
    assert len(judge.seen) > 30
    assert not judge.wrong, judge.verdict()
    assert wide == []


def take(page: Page, name: str) -> None:
    """Take a picture of what the window shows, wide and narrow, light and dark."""
    for shape, width in (("wide", 1440), ("narrow", 390)):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)  # type: ignore[arg-type]
            page.screenshot(path=FOLDER / f"{name}-{shape}-{theme}.png")


@pytest.mark.skipif("TALLYMAN_SCREENSHOTS" not in os.environ, reason="only for make screenshots")
def test_a_screenshot_of_every_page_wide_and_narrow_light_and_dark(page: Page, staff: User) -> None:
    for name in each_page(page):
        take(page, name.replace(":", "-"))


@pytest.mark.skipif("TALLYMAN_SCREENSHOTS" not in os.environ, reason="only for make screenshots")
def test_a_screenshot_of_what_opens_on_the_pages(page: Page, staff: User, context: BrowserContext) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.goto("/images/?severity=critical")
    page.get_by_role("button", name="Scanning status").click()
    take(page, "open-menu")
    page.keyboard.press("Escape")
    page.locator("input[data-row]").nth(1).check()
    page.locator("input[data-row]").nth(2).check()
    take(page, "open-selection")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.locator("a[data-drawer]").nth(12).click()
    page.locator("#drawer .finding > summary").first.click()
    take(page, "open-drawer")
    page.locator("#drawer").get_by_role("tab", name="Image build history").click()
    page.locator("#drawer .timeline").wait_for()
    take(page, "open-build-history")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("link", name="Custom list management").click()
    page.locator("#dialog[open]").wait_for()
    take(page, "open-columns")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    take(page, "open-keys")
    page.goto("/registries/add/")
    page.get_by_role("button", name="Save", exact=True).click()
    page.locator("form [role=alert]").wait_for()
    take(page, "open-errors")
    page.goto("/nothing/")
    take(page, "open-not-found")
    context.clear_cookies()
    page.goto("/")
    take(page, "open-sign-in")

"""Nothing that somebody looks at moves when a page is there and what it asks for by itself arrives."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from console.jobs.models import State
from console.models import User
from inventory.models import Image, Tag
from scanning.models import Scan, ScanRun
from tests.e2e.judge import LOADED_SCRIPT
from tests.e2e.test_every_page import staff, whole_pages  # noqa: F401

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
MOST = 0.02  # of the window, as browsers count it; they call 0.1 good
SHIFTS = """() => new Promise(done => {
    const found = [];
    new PerformanceObserver(list => list.getEntries().forEach(one => found.push({
        value: one.value,
        what: one.sources.map(({node}) => node?.id || node?.className || node?.nodeName),
    }))).observe({type: 'layout-shift', buffered: true});
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => done(found), 50)));  // what has just come
})"""
WINDOWS = {"wide": (1440, 900), "phone": (390, 800)}


def moved(page: Page) -> list[dict[str, Any]]:
    """Return what has moved since the page began to load, where that is more than MOST together."""
    found: list[dict[str, Any]] = page.evaluate(SHIFTS)
    return found if sum(one["value"] for one in found) > MOST else []


def scanning() -> None:
    """Have a run go on with one scan at work and one that waits."""
    run = ScanRun.objects.create(categories=["malware"], state=State.SUCCEEDED, tags=2, images=2)
    images = Image.objects.filter(scan_state="scanned", tags__isnull=False).distinct().order_by("pk")[:2]
    for image, state in zip(images, ("running", "queued"), strict=True):
        Scan.objects.create(image=image, run=run, state=state, address="host/app:1", categories=["malware"])
        Image.objects.filter(pk=image.pk).update(scan_state=state, scan_stage="pulling")


@pytest.mark.parametrize("window", WINDOWS)
def test_no_page_moves_while_it_loads(page: Page, staff: User, window: str) -> None:  # noqa: F811
    scanning()
    width, height = WINDOWS[window]
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": width, "height": height})
    seen, wrong = 0, {}
    for name, path in whole_pages(page):
        if name == "console:styleguide":  # for those who make the console, in all its states
            continue
        page.goto(path)
        page.wait_for_function(LOADED_SCRIPT)
        page.wait_for_timeout(100)  # what scripts do with it
        seen += 1
        if found := moved(page):
            wrong[name] = found
    assert seen > 30
    assert not wrong, "\n".join(f"{name}: {found}" for name, found in wrong.items())


def test_the_tabs_of_an_image_arrive_where_nothing_moves(page: Page, staff: User) -> None:  # noqa: F811
    tag = Tag.objects.filter(image__scan_state="scanned").latest("image__packages")
    page.set_default_timeout(60_000)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(f"/images/{tag.pk}/")
    for tab in ("Packages", "Sensitive data", "Viruses and trojans", "Image build history", "Vulnerabilities"):
        page.get_by_role("tab", name=tab).click()
        expect(page.locator("#findings")).to_have_attribute("aria-labelledby", f"tab-{NAMES[tab]}")
        page.wait_for_function(LOADED_SCRIPT)
    header = [
        one
        for one in page.evaluate(SHIFTS)
        if any("tabs" in str(what) or "summary" in str(what) for what in one["what"])
    ]
    assert header == []


NAMES = {
    "Packages": "packages",
    "Sensitive data": "sensitive",
    "Viruses and trojans": "malware",
    "Image build history": "history",
    "Vulnerabilities": "vulnerabilities",
}

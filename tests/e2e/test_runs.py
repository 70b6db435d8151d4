"""Scan runs in a browser: the history, why scans failed, cancelling, scanning again, and actions on many images."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from console.jobs.models import State
from console.jobs.state import advance
from console.models import User
from inventory.models import Tag
from scanning.models import Scan, ScanRun, ScanScope
from scanning.runs.start import start_run
from tests import factories

NETWORK = "The registry lab did not answer."


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    registry = factories.registry(name="lab")
    return [factories.tag(f"v{index}", path=f"team/app-{index}", in_=registry) for index in range(8)]


@pytest.fixture
def run(tags: list[Tag], administrator: User) -> ScanRun:
    """A run of five images that is over; three of them failed, two for the same reason."""
    made = start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags[:5]], requested_by=administrator)
    reasons = [NETWORK, NETWORK, "Timed out after 30 minutes.", "", ""]
    for scan, reason in zip(made.scans.order_by("pk"), reasons, strict=True):
        advance(scan, State.RUNNING)
        advance(scan, State.FAILED if reason else State.SUCCEEDED, reason=reason, remedy=reason and "Look there.")
    made.refresh_from_db()
    return made


def test_the_history_groups_exceptions_by_reason_and_they_are_scanned_again(page: Page, run: ScanRun) -> None:
    page.goto("/scans/runs/")
    row = page.locator("#list tbody tr").first
    expect(row).to_contain_text("Scan exceptions")
    row.get_by_role("button", name="Reasons").click()
    expect(page.locator(f"#why-{run.pk}")).to_contain_text(f"2 exceptions{NETWORK}")
    row.get_by_role("link").first.click()
    reasons = page.get_by_role("region", name="Scan exceptions by reason").locator("tbody tr")
    expect(reasons).to_have_count(2)
    expect(reasons.first).to_have_text(re.compile(rf"2\s*{NETWORK}\s*Look there\."))
    page.wait_for_load_state()  # a filter acts once the scripts are there
    page.get_by_placeholder("Address or reason").fill("Timed out")
    expect(page.locator("#list tbody tr:not(.why)")).to_have_count(1)
    page.get_by_role("button", name="Scan 3 exceptions again").click()
    expect(page.locator(".toast")).to_contain_text("3 scans queued")
    again = ScanRun.objects.first()
    assert again is not None
    assert again != run
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Scan run {again.pk}")


def test_a_run_shows_what_each_image_does_and_how_it_ends(page: Page, tags: list[Tag], administrator: User) -> None:
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags[:2]], requested_by=administrator)
    first, second = run.scans.order_by("pk")
    page.goto(f"/scans/runs/{run.pk}/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("?")[0]))
    page.get_by_role("button", name="Cancel scanning").focus()
    expect(page.locator(f"#scan-state-{first.pk}")).to_contain_text("Queued")
    advance(first, State.RUNNING)
    Scan.objects.filter(pk=first.pk).update(stage="pulling", progress_done=12_000_000, progress_total=340_000_000)
    expect(page.locator(f"#scan-state-{first.pk}")).to_contain_text("pulling 11 of 325 MiB", timeout=15_000)
    advance(first, State.FAILED, reason=NETWORK, remedy="Look there.")
    expect(page.locator(f"#scan-state-{first.pk}")).to_contain_text(NETWORK, timeout=15_000)
    expect(page.locator("#run")).to_contain_text("Scanning 1 of 2")
    expect(page.locator(".run-facts")).to_contain_text(re.compile(r"Scan exceptions\s*1"))
    expect(page.locator(f"#scans-started-{first.pk} time")).to_have_count(1)
    expect(page.locator(f"#scans-took-{first.pk}")).to_have_text(re.compile(r"\d+"))
    expect(page.get_by_role("button", name="Cancel scanning")).to_be_focused()
    assert {url for url in asked if "/static/" not in url} == {page.url + "progress/"}
    advance(second, State.RUNNING)
    advance(second, State.SUCCEEDED)
    expect(page.locator(".run-facts .status")).to_have_text("Scan exceptions", timeout=15_000)
    expect(page.get_by_role("button", name="Scan 1 exception again")).to_be_visible()
    expect(page.locator(f"#scan-state-{second.pk}")).to_contain_text("Scanned")
    expect(page.locator("[data-poll]")).to_have_count(0)


def test_many_images_are_scanned_cancelled_and_scanned_again_from_the_list(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    bar = page.locator(".bulk")

    def choose(*rows: int) -> None:
        for index in rows:
            page.locator("input[data-row]").nth(index).check()

    choose(0, 1, 2)
    bar.get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast")).to_contain_text("3 scans queued")
    expect(page.locator("[data-state=queued]")).to_have_count(3)
    page.goto("/images/")
    choose(1, 2, 3)
    bar.get_by_role("button", name=re.compile("^Scan (now|again)")).first.click()
    expect(page.locator(".toast")).to_contain_text("1 scan queued, 2 skipped (Already scanning")
    page.goto("/images/")
    choose(0, 1)
    bar.get_by_role("button", name="Cancel scanning").click()
    expect(page.locator(".toast")).to_contain_text("2 scans are being cancelled")
    expect(page.locator("[data-state=cancelled]")).to_have_count(2)
    page.get_by_role("button", name=f"Scan again: {tags[0]}").click()
    expect(page.locator(f"#status-{tags[0].pk} [data-state=queued]")).to_be_visible()
    assert Scan.objects.filter(image=tags[0].image).count() == 2
    states = Scan.objects.filter(image=tags[0].image).order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.CANCELLED, State.QUEUED]

"""Scanning settings in a browser: choose, see what it takes, start, follow the run."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from console.models import User
from inventory.models import Tag
from scanning.models import Scan, ScanRun
from tests import factories


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    """Sixty images of one registry, the first ten of them scanned."""
    registry = factories.registry(name="lab", type="harbor", limit=5)
    return [
        factories.tag(
            f"v{index:02}",
            of=factories.image(**(factories.scanned() if index < 10 else {})),
            path=f"team/app-{index:02}",
            in_=registry,
        )
        for index in range(60)
    ]


def picked(page: Page) -> list[str]:
    return page.locator("#pick-right li label").evaluate_all("labels => labels.map(one => one.title)")


def test_a_choice_made_while_another_is_still_counted_is_not_lost(page: Page, tags: list[Tag]) -> None:
    held: list[Route] = []
    page.route("**/settings/cost/**", lambda route: route.continue_() if held else held.append(route))
    page.goto("/scans/settings/")
    while not held:
        page.wait_for_timeout(20)
    page.get_by_role("radio", name="All images").check()
    held[0].continue_()
    expect(page.locator("#cost .lead")).to_have_text(re.compile("Tags\\s*60"))


def test_images_are_chosen_in_two_lists_and_scanned(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.get_by_role("link", name="Scan now").click()
    expect(page.get_by_role("heading", name="Scanning settings")).to_be_visible()
    expect(page.locator("#cost .lead")).to_have_text(re.compile("Tags\\s*50"))  # recommended: never scanned
    expect(page.locator("#cost")).to_contain_text("45 images wait for their limit")
    expect(page.locator("#chooser")).to_be_hidden()
    page.get_by_role("radio", name="Specified images").check()
    expect(page.locator("#cost .lead")).to_have_text(re.compile("Tags\\s*0"))
    boxes = page.locator("#pick-left input[data-row]")
    boxes.nth(1).check()
    boxes.nth(4).click(modifiers=["Shift"])
    expect(page.locator("#pick-left [data-count]")).to_have_text("4")
    page.get_by_role("button", name="Move marked images right").click()
    expect(page.locator("#cost .lead")).to_have_text(re.compile("Tags\\s*4"))
    assert [title[-3:] for title in picked(page)] == ["v01", "v02", "v03", "v04"]
    page.locator("#pick-right input[data-row]").first.check()
    page.get_by_role("button", name="Move marked images left").click()
    expect(page.locator("#pick-right header .n")).to_have_text("3")
    page.get_by_role("checkbox", name="Sensitive data").uncheck()
    page.get_by_label("Timeout in minutes").fill("10")
    page.get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast")).to_contain_text("3 scans queued")
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 3")
    assert {(scan.timeout, tuple(scan.categories)) for scan in Scan.objects.all()} == {
        (600, ("vulnerabilities", "malware"))
    }


def test_the_lists_work_by_keyboard_and_a_search_moves_all_it_finds(page: Page, tags: list[Tag]) -> None:
    page.goto("/scans/settings/?scope=chosen")
    search = page.locator("#find-left")
    search.focus()
    page.keyboard.type("app-3", delay=50)
    expect(page.locator("#pick-left header .n")).to_have_text("10")
    expect(search).to_be_focused()
    expect(search).to_have_value("app-3")
    page.locator("#pick-left input[data-row]").first.focus()
    page.keyboard.press("Space")
    page.locator("#pick-left input[data-row]").nth(2).focus()
    page.keyboard.press("Shift+Space")
    expect(page.locator("#pick-left [data-count]")).to_have_text("3")
    page.get_by_role("button", name="Move marked images right").press("Enter")
    expect(page.locator("#pick-right header .n")).to_have_text("3")
    expect(search).to_have_value("app-3")
    search.fill("")
    expect(page.locator("#pick-left header .n")).to_have_text("57")
    page.locator("#pick-left").get_by_role("button", name="Next page").click()
    expect(page.locator("#pick-left footer")).to_contain_text("51–57")
    page.locator("#pick-left").get_by_role("button", name="Mark all 57").click()
    page.get_by_role("button", name="Move marked images right").click()
    expect(page.locator("#pick-right header .n")).to_have_text("60")
    expect(page.locator("#pick-right footer")).to_contain_text("60 images")


def test_a_run_is_followed_and_cancelled_on_its_page(page: Page, tags: list[Tag]) -> None:
    page.goto("/scans/settings/")
    page.get_by_role("radio", name="Specified images").check()
    page.locator("#pick-left input[data-row]").first.check()
    page.get_by_role("button", name="Move marked images right").click()
    expect(page.locator("#pick-right header .n")).to_have_text("1")
    page.get_by_role("button", name="Scan now").click()
    page.locator("#progress").get_by_role("link", name="Scan runs").click()
    page.get_by_role("link", name=re.compile("Specified images")).click()
    expect(page.locator("#run")).to_contain_text("Scanning 0 of 1")
    page.get_by_role("button", name="Cancel scanning").click()
    expect(page.locator(".toast")).to_contain_text("1 scan is being cancelled")
    expect(page.locator("#run .status")).to_have_text("Cancelled")
    assert ScanRun.objects.get().is_over


def test_without_scripts_images_are_chosen_and_scanned_too(
    browser: Browser, page: Page, tags: list[Tag], base_url: str
) -> None:
    context = browser.new_context(java_script_enabled=False, base_url=base_url)
    context.add_cookies(page.context.cookies())
    plain = context.new_page()
    plain.goto("/scans/settings/?scope=chosen")
    plain.locator("#find-left").fill("app-12")
    plain.locator("#pick-left").get_by_role("button", name="Search").click()
    plain.locator("#pick-left input[name=ids]").check()
    plain.get_by_role("button", name="Move marked images right").click()
    expect(plain.locator("#pick-right li label")).to_have_count(1)
    plain.get_by_role("button", name="Preview").click()
    expect(plain.locator("#cost .lead")).to_have_text(re.compile("Tags\\s*1"))
    plain.get_by_role("button", name="Scan now").click()
    expect(plain.locator(".toast")).to_contain_text("1 scan queued")
    assert Scan.objects.get().tag == tags[12]
    context.close()

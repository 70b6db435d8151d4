"""Answers about scans that come when the page has moved on: nothing is lost, and nothing is said twice or wrongly.

The watched context of these tests fails where htmx finds no place for a part of an answer.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from console.models import User
from inventory.models import Tag
from tests import factories

PROGRESS = re.compile(r"/scans/progress/\?")


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    registry = factories.registry(name="lab")
    return [factories.tag(f"v{index}", path=f"team/app-{index}", in_=registry) for index in range(4)]


def hold(page: Page, pattern: str | re.Pattern[str]) -> list[Route]:
    """Have the next such request wait; it is in the list then."""
    held: list[Route] = []
    page.route(pattern, lambda route: route.continue_() if held else held.append(route))
    return held


def start(page: Page, tag: Tag) -> None:
    page.goto("/images/")
    page.get_by_role("button", name=f"Scan now: {tag}").click()
    expect(page.locator(f"#status-{tag.pk} [data-state=queued]")).to_be_visible()


def test_a_poll_that_is_answered_after_another_filter_renews_what_is_left(page: Page, tags: list[Tag]) -> None:
    start(page, tags[0])
    held = hold(page, PROGRESS)
    with page.expect_request(PROGRESS):
        pass
    page.get_by_placeholder("Address, name, tag, digest or image ID").fill("app-2")
    expect(page.locator(".total")).to_contain_text("1 of 4")
    with page.expect_response(PROGRESS):
        held[0].continue_()
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 1")


def test_a_poll_that_is_answered_after_something_newer_is_dropped_and_polling_goes_on(
    page: Page, tags: list[Tag]
) -> None:
    start(page, tags[0])
    held = hold(page, PROGRESS)
    with page.expect_request(PROGRESS):
        pass
    page.get_by_role("button", name=f"Scan now: {tags[1]}").click()
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 2")
    old = page.locator("#progress").inner_html().replace("0 of 2", "0 of 1")
    held[0].fulfill(body=f'<section class="panel running" id="progress">{old}</section><div id="x" hx-swap-oob="true">')
    with page.expect_response(PROGRESS):
        pass
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 2")


def test_a_button_whose_row_has_gone_still_gets_its_answer(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    held = hold(page, "**/scans/start/")
    with page.expect_request("**/scans/start/"):
        page.get_by_role("button", name=f"Scan now: {tags[0]}").click()
    page.get_by_placeholder("Address, name, tag, digest or image ID").fill("app-2")
    expect(page.locator(".total")).to_contain_text("1 of 4")
    held[0].continue_()
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 1")
    expect(page.locator(".toast")).to_contain_text("1 scan queued")

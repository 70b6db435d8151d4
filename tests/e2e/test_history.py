"""What the address says is what is shown, however one comes to it: reload, back and forward, leaps, a link, haste."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from console.models import User
from inventory.models import Tag
from scanning.models.packages import SeverityRank
from tests import factories

LIST = "/images/?security=at-risk&sort=-version"


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    """Fifty images, all but two at risk, and each with one vulnerability of the same name."""
    registry = factories.registry(name="lab", type="harbor")
    made = []
    for index in range(50):
        of = factories.image(**factories.scanned(high=min(index, 48) and 1))
        made.append(factories.tag(f"v{index:02}", of=of, path=f"team/app-{index:02}", in_=registry))
    return made


def versions(page: Page) -> list[str]:
    return page.locator("#list tbody tr:not(.why) .ver").all_inner_texts()


def expect_list(page: Page, address: str, first: str) -> None:
    expect(page).to_have_url(address)
    expect(page.locator("#drawer")).to_be_hidden()
    expect(page.locator("#list tbody .ver").first).to_have_text(first)


def expect_drawer(page: Page, name: str, tab: str, first: str) -> None:
    expect(page.locator("#drawer-title")).to_contain_text(name)
    expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#list tbody .ver").first).to_have_text(first)
    expect(page.locator("#drawer:modal:focus-within")).to_be_visible()


def test_a_drawer_over_a_filtered_sorted_second_page_stays_through_reload_back_and_forward(
    page: Page, tags: list[Tag]
) -> None:
    page.goto(f"{LIST}&page=2")
    page.locator("a[data-drawer]").nth(2).click()
    expect(page.locator("#drawer-title")).to_contain_text("app-27:v27")
    page.keyboard.press("j")
    expect(page.locator("#drawer-title")).to_contain_text("app-26:v26")
    page.get_by_role("tab", name="Packages").click()
    expect(page).to_have_url(re.compile(r"tab=packages&"))
    shown = page.url
    page.reload()
    expect_drawer(page, "app-26:v26", "Packages", "v29")
    expect(page).to_have_url(shown)
    page.go_back()
    expect_list(page, f"{LIST}&page=2", "v29")
    page.go_forward()
    expect_drawer(page, "app-26:v26", "Packages", "v29")
    page.keyboard.press("k")
    expect(page.locator("#drawer-title")).to_contain_text("app-27:v27")
    page.keyboard.press("Escape")
    expect_list(page, f"{LIST}&page=2", "v29")
    expect(page.locator("a[data-drawer]").nth(2)).to_be_focused()
    page.go_back()
    expect(page.locator("#drawer-title")).to_contain_text("app-27:v27")
    sent = page.context.new_page()
    sent.goto(shown)
    expect_drawer(sent, "app-26:v26", "Packages", "v29")
    sent.keyboard.press("Escape")
    expect_list(sent, f"{LIST}&page=2", "v29")
    expect(sent.locator("a[data-drawer]").nth(3)).to_be_focused()


def test_a_leap_over_several_steps_shows_the_rows_of_its_address(page: Page, tags: list[Tag]) -> None:
    page.goto(LIST)
    first = versions(page)[0]
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(f"{LIST}&page=2")
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#drawer-title")).to_contain_text("app-29:v29")
    page.evaluate("history.go(-2)")
    expect_list(page, LIST, first)
    page.evaluate("history.go(2)")
    expect_drawer(page, "app-29:v29", "Vulnerabilities", "v29")


def test_who_leaps_while_a_page_is_on_its_way_gets_what_the_address_says(page: Page, tags: list[Tag]) -> None:
    page.goto(LIST)
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(f"{LIST}&page=2")
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#drawer-title")).to_contain_text("app-29:v29")
    held: list[Route] = []
    page.route("**/console.js", lambda route: route.fallback() if held else held.append(route))
    with page.expect_request("**/console.js"):
        page.evaluate("history.go(-2)")
    page.evaluate("history.go(2)")
    expect(page).to_have_url(re.compile("list="))
    held[0].continue_()
    expect_drawer(page, "app-29:v29", "Vulnerabilities", "v29")


def test_a_tab_that_comes_after_its_drawer_was_closed_changes_no_address(page: Page, tags: list[Tag]) -> None:
    held: list[Route] = []
    page.goto(LIST)
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#findings:not(:has(.loading))")).to_be_visible()
    page.route("**/history/", lambda route: held.append(route))
    with page.expect_request("**/history/"):
        page.get_by_role("tab", name="Image build history").click()
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    with page.expect_response("**/history/"):
        held[0].continue_()
    page.wait_for_load_state("networkidle")
    expect(page).to_have_url(LIST)


def test_back_closes_a_drawer_that_is_in_outline_still_and_forward_opens_it(page: Page, tags: list[Tag]) -> None:
    held: list[Route] = []
    page.goto("/images/?q=app-0")
    page.route("**/images/*/", lambda route: held.append(route))
    page.locator("a[data-drawer]").nth(2).click()
    expect(page.locator("#drawer .skel").first).to_be_visible()
    expect(page).to_have_url(f"/images/{tags[2].pk}/?list=/images/%3Fq%3Dapp-0")
    page.go_back()
    expect_list(page, "/images/?q=app-0", "v00")
    held.pop().continue_()
    page.unroute("**/images/*/")
    page.wait_for_load_state("networkidle")
    expect_list(page, "/images/?q=app-0", "v00")
    page.go_forward()
    expect_drawer(page, "app-02:v02", "Vulnerabilities", "v00")


def test_rows_that_come_after_a_drawer_was_opened_stay_below_it(page: Page, tags: list[Tag]) -> None:
    held: list[Route] = []
    page.goto("/images/")
    page.route("**/images/?q=**", lambda route: held.append(route))
    with page.expect_request("**/images/?q=**"):
        page.get_by_placeholder("Address, name, tag, digest or image ID").fill("app-0")
    page.locator("a[data-drawer]").nth(4).dispatch_event("click")  # at once: soon the rows are in outline
    expect(page.locator("#drawer-title")).to_contain_text("app-04:v04")
    held[0].continue_()
    expect(page.locator(".total")).to_have_text("10 of 50 tags")
    expect(page).to_have_url(f"/images/{tags[4].pk}/?list=/images/%3Fq%3Dapp-0")
    page.keyboard.press("Escape")
    expect(page).to_have_url("/images/?q=app-0")
    expect(page.locator(".total")).to_have_text("10 of 50 tags")


def test_the_size_that_is_chosen_already_is_no_step_of_history(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    before = page.evaluate("history.length")
    with page.expect_response(re.compile(r"/images/\?$")):
        page.locator(".pager .size [aria-current]").click()
    page.wait_for_load_state("networkidle")
    assert page.evaluate("history.length") == before


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_images_of_a_vulnerability_open_beside_their_list_too(
    browser: Browser, page: Page, tags: list[Tag], base_url: str, scripts: bool
) -> None:
    image = tags[3].image
    assert image
    factories.vulnerability(image, name="CVE-2024-1", severity=SeverityRank.HIGH)
    context = browser.new_context(
        java_script_enabled=scripts, base_url=base_url, storage_state=page.context.storage_state()
    )
    one = context.new_page()
    one.goto(f"/images/{tags[3].pk}/?list=/scans/vulnerabilities/CVE-2024-1/%3Fsort%3Dregistry")
    expect(one.get_by_role("heading", level=1)).to_have_text("CVE-2024-1")
    expect(one.locator("#drawer-title")).to_contain_text("app-03:v03")
    one.get_by_label("Close (Esc)").click()
    expect(one).to_have_url("/scans/vulnerabilities/CVE-2024-1/?sort=registry")
    expect(one.locator("#drawer")).to_be_hidden()
    context.close()

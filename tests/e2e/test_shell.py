"""What every page has, in a browser: theme, density, keys, menus, toasts, narrow windows, no script."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page, expect

from console.models import User
from registries.models import Registry


def test_the_theme_follows_the_system_until_somebody_chooses(page: Page, administrator: User) -> None:
    page.emulate_media(color_scheme="dark")
    page.goto("/registries/")
    surface = "getComputedStyle(document.body).colorScheme"
    assert page.evaluate(surface) == "light dark"
    with page.expect_response("**/preferences/"):
        page.get_by_role("button", name="Theme: follows the system").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    expect(page.get_by_role("button", name="Theme: light")).to_be_focused()
    with page.expect_response("**/preferences/"):
        page.keyboard.press("Enter")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate(surface) == "dark"
    administrator.refresh_from_db()
    assert administrator.theme == "dark"


def test_the_density_makes_rows_lower(page: Page, administrator: User) -> None:
    Registry.objects.create(name="lab", address="https://registry.example.com")
    page.goto("/registries/")
    row = page.locator("tbody tr")
    before = row.bounding_box()
    with page.expect_response("**/preferences/"):
        page.get_by_role("button", name="Density: comfortable").click()
    after = row.bounding_box()
    assert before is not None
    assert after is not None
    assert after["height"] < before["height"]
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-density", "compact")


def test_keys_search_help_and_go(page: Page, administrator: User) -> None:
    Registry.objects.create(name="lab", address="https://registry.example.com")
    page.goto("/registries/")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("?/gr")
    expect(page.get_by_role("searchbox")).to_have_value("?/gr")
    page.keyboard.press("Tab")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.goto("/registries/add/")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page).to_have_url("/registries/")


def test_single_keys_can_be_turned_off(page: Page, administrator: User) -> None:
    page.goto("/registries/")
    page.keyboard.press("?")
    page.get_by_role("switch", name="Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.reload()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("button", name="Keyboard shortcuts").click()
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def test_a_menu_opens_closes_and_is_walked_by_keyboard(page: Page, administrator: User) -> None:
    Registry.objects.create(name="lab", address="https://registry.example.com")
    page.goto("/registries/")
    button = page.get_by_role("button", name="More: lab")
    button.focus()
    page.keyboard.press("Enter")
    menu = page.locator(".menu:popover-open")
    expect(menu.get_by_role("link", name="Details")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(menu.get_by_role("link", name="Sync records")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Edit")).to_be_hidden()
    expect(button).to_be_focused()


def test_the_skip_link_leads_past_the_sidebar(page: Page, administrator: User) -> None:
    page.goto("/registries/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("main").get_by_role("link").first).to_be_focused()


@pytest.mark.parametrize("width", [320, 360, 700, 1024])
@pytest.mark.parametrize("path", ["/registries/", "/registries/add/", "one", "/nothing/"])
def test_no_page_scrolls_sideways(page: Page, administrator: User, width: int, path: str) -> None:
    registry = Registry.objects.create(
        name="a-registry-with-a-rather-long-name",
        address="https://a-very-long-host-name.of.a.platform.example.com:8443/prefix/of/it",
        connection="failed",
        connection_reason="The certificate of a-very-long-host-name.of.a.platform.example.com expired on 20 Nov.",
        connection_remedy="Renew it.",
    )
    page.set_viewport_size({"width": width, "height": 700})
    page.goto(f"/registries/{registry.pk}/" if path == "one" else path)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_sidebar_is_a_menu_on_a_phone(page: Page, administrator: User) -> None:
    page.set_viewport_size({"width": 360, "height": 700})
    page.goto("/registries/add/")
    expect(page.get_by_role("navigation", name="Main")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Registries").click()
    expect(page).to_have_url("/registries/")


def test_a_session_that_ended_leads_to_the_sign_in(page: Page, administrator: User) -> None:
    Registry.objects.create(name="lab", address="https://registry.example.com")
    page.goto("/registries/")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Sync assets", exact=True).click()
    expect(page.get_by_label("Password")).to_be_visible()


def test_pages_work_without_script(
    browser: Browser, base_url: str, administrator: User, context: object, page: Page, sign_in: Callable[[User], None]
) -> None:
    plain = browser.new_context(java_script_enabled=False, base_url=base_url)
    try:
        plain.add_cookies([{**cookie, "url": base_url} for cookie in _cookies(page, base_url)])
        bare = plain.new_page()
        bare.goto("/registries/add/")
        bare.get_by_label("Instance name").fill("lab")
        bare.get_by_label("Address").fill("ftp://x")
        bare.get_by_role("button", name="Save", exact=True).click()
        expect(bare.get_by_text("The address must begin with https://.")).to_be_visible()
        bare.get_by_label("Address").fill("https://registry.example.com")
        bare.get_by_role("button", name="Save", exact=True).click()
        expect(bare.locator("#toasts")).to_contain_text("“lab” was added.")
        bare.get_by_role("button", name="Theme: follows the system").click()
        expect(bare.locator("html")).to_have_attribute("data-theme", "light")
    finally:
        plain.close()


def _cookies(page: Page, base_url: str) -> list[dict[str, str]]:
    return [{"name": cookie["name"], "value": cookie["value"]} for cookie in page.context.cookies(base_url)]

"""The console in Chinese, in a browser: chosen in the account menu, also without script, and nothing is too wide."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from console.models import User

PAGES = ["/images/", "/registries/", "/registries/add/", "/registries/guide/", "/scans/schedules/", "/scans/settings/"]
PAGES += ["/scans/runs/", "/scans/engines/", "/scans/vulnerabilities/", "/exports/", "/audit/", "/preferences/"]


def test_the_account_menu_changes_the_language(page: Page, administrator: User) -> None:
    page.goto("/images/")
    page.get_by_role("button", name="Account").click()
    page.get_by_role("button", name="简体中文").click()
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
    expect(page.get_by_role("heading", level=1)).to_have_text("仓库镜像")
    page.get_by_role("button", name="账号").click()
    expect(page.get_by_role("button", name="简体中文")).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="English").click()
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_the_language_is_chosen_without_script(
    browser: Browser, context: BrowserContext, base_url: str, administrator: User
) -> None:
    plain = browser.new_context(java_script_enabled=False, base_url=base_url)
    plain.add_cookies(context.cookies())
    page = plain.new_page()
    page.goto("/preferences/")
    page.get_by_role("combobox", name="Language").select_option("zh-hans")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("偏好设置")
    plain.close()
    administrator.refresh_from_db()
    assert administrator.language == "zh-hans"


@pytest.mark.parametrize("width", [1440, 360])
def test_no_page_is_wider_than_the_window_in_chinese(page: Page, administrator: User, width: int) -> None:
    administrator.language = "zh-hans"
    administrator.save()
    page.set_viewport_size({"width": width, "height": 800})
    wide = []
    for path in PAGES:
        page.goto(path)
        expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(path)
    assert wide == []

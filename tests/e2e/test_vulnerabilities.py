"""Where is log4j? From the sidebar to the images that hold it, in a browser and by keyboard."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from console.models import User
from inventory.models import Tag
from scanning.exposure import recount
from scanning.models import Package, ScanScope
from scanning.models.packages import SeverityRank
from scanning.runs.start import start_run
from tests import factories


@pytest.fixture
def log4j(_rows_seen_by_the_server: None) -> None:
    for number in range(3):
        image = factories.image(**factories.scanned(critical=1))
        factories.tag(f"1.{number}", of=image, path=f"shop/cart-{number}")
        factories.vulnerability(image, name=f"CVE-2024-4549{number}")
    factories.vulnerability(
        image,
        package="log4j-core",
        name="CVE-2021-44228",
        type="maven",
        version="2.14.1",
        severity=SeverityRank.CRITICAL,
    )
    recount.recount()


def test_a_search_leads_to_the_images_behind_a_vulnerability(page: Page, administrator: User, log4j: None) -> None:
    page.goto("/")
    page.get_by_role("link", name="Vulnerabilities", exact=True).click()
    page.wait_for_url("**/vulnerabilities/")
    page.wait_for_load_state()  # scripts have run: a key is heard
    expect(page.get_by_role("row")).to_have_count(5)
    page.keyboard.press("/")
    page.keyboard.type("log4j")
    expect(page.get_by_role("row")).to_have_count(2)
    page.wait_for_url("**?q=log4j")
    page.get_by_role("link", name="CVE-2021-44228").press("Enter")
    expect(page.get_by_role("heading", name="CVE-2021-44228")).to_be_visible()
    expect(page.get_by_role("link", name="cart-2")).to_be_visible()
    page.get_by_role("link", name="log4j-core").press("Enter")
    expect(page.get_by_role("heading", name="log4j-core 2.14.1")).to_be_visible()
    page.go_back()
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("log4j")


def test_nothing_breaks_where_the_window_is_narrow(page: Page, administrator: User, log4j: None) -> None:
    page.set_viewport_size({"width": 360, "height": 800})
    for address in ("/scans/vulnerabilities/", "/scans/vulnerabilities/CVE-2021-44228/", "/scans/packages/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address


def test_on_a_phone_the_tables_beside_the_images_are_cards_with_all_they_say(
    page: Page, administrator: User, log4j: None
) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/scans/vulnerabilities/CVE-2021-44228/")
    packages = page.get_by_role("region", name="Affected packages").get_by_role("row").nth(1)
    for label in ("Installed", "Fixed", "Severity", "Images"):
        assert label in packages.evaluate("row => [...row.cells].map(one => one.dataset.label).join()")
    expect(packages).to_contain_text("2.14.1")
    hidden = "all => all.some(one => one.scrollWidth > one.clientWidth)"
    assert not page.locator(".scroll").evaluate_all(hidden)
    page.get_by_role("link", name="log4j-core").first.click()
    expect(page.get_by_role("heading", name="Vulnerabilities in this package")).to_be_visible()
    assert not page.locator(".scroll").evaluate_all(hidden)


def test_rows_are_chosen_and_columns_changed_where_a_list_is_part_of_a_page(
    page: Page, administrator: User, log4j: None
) -> None:
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=Tag.objects.values_list("pk", flat=True))
    held = Package.objects.get(name="log4j-core")
    for path in (f"/scans/runs/{run.pk}/", "/scans/vulnerabilities/CVE-2021-44228/", f"/scans/packages/{held.pk}/"):
        page.goto(path)
        page.get_by_role("link", name="Custom list management").click()
        dialog = page.get_by_role("dialog", name="Custom list management")
        shown = page.locator("#list thead th").count()
        dialog.get_by_role("checkbox").last.set_checked(not dialog.get_by_role("checkbox").last.is_checked())
        dialog.get_by_role("button", name="Save", exact=True).click()
        expect(dialog).to_be_hidden()
        expect(page.locator("#list thead th")).not_to_have_count(shown)
        expect(page).to_have_url(path)
        page.locator("input[data-row]").first.check()
        with page.expect_download() as download:
            page.locator(".bulk").get_by_role("button", name="CSV").click()
        assert len(download.value.path().read_text("utf-8-sig").splitlines()) == 2


@pytest.mark.parametrize("width", [1440, 390])
def test_the_installed_version_can_be_read_however_long_the_name_of_the_package_is(
    page: Page, administrator: User, width: int
) -> None:
    image = factories.image(**factories.scanned(critical=1))
    factories.tag("1.0", of=image, path="shop/cart")
    factories.vulnerability(
        image, package="org.apache.logging.log4j:log4j-core", name="CVE-2021-44228", type="maven", version="2.14.1"
    )
    recount.recount()
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/scans/vulnerabilities/CVE-2021-44228/")
    held = page.locator("#list .held")
    expect(held).to_have_text("org.apache.logging.log4j:log4j-core 2.14.1")
    assert held.evaluate("one => one.scrollWidth <= one.clientWidth && one.scrollHeight <= one.clientHeight + 1")

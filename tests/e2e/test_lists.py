"""What every list has, in a browser: saved views, columns by drag, exports, undo; and the page of components."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Browser, Page, expect

from console.exports import list_export
from console.exports.tasks import export
from console.models import Export, SavedView, User
from inventory.models import Tag
from tests import factories
from tests.people import person


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    registry = factories.registry(name="lab", type="harbor")
    return [
        factories.tag(
            f"v{index}", of=factories.image(**factories.scanned(critical=index)), path=f"team/app-{index}", in_=registry
        )
        for index in range(6)
    ]


def test_a_view_is_saved_chosen_made_default_removed_and_brought_back(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?security=at-risk&sort=-version")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("textbox", name="Name of a new view").fill("At risk first")
    page.get_by_role("checkbox", name="Make this the default view").check()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"\?view=\d+-at-risk-first&security=at-risk&sort=-version$"))
    page.goto("/images/")
    expect(page.locator(".total")).to_have_text("5 of 6 tags")
    page.get_by_role("link", name="Clear all").click()
    expect(page.locator(".total")).to_have_text("6 tags")
    page.reload()
    expect(page.locator(".total")).to_have_text("6 tags")
    page.get_by_role("button", name="Saved views").click()
    page.locator(".menu.views").get_by_role("link", name="At risk first").click()
    expect(page.locator(".total")).to_have_text("5 of 6 tags")
    page.get_by_role("link", name="Remove filter Security status: At risk").click()
    expect(page.get_by_role("button", name="Saved views")).to_contain_text("changed")
    page.go_back()
    expect(page.locator(".total")).to_have_text("5 of 6 tags")
    page.get_by_role("button", name="Saved views").click()
    page.get_by_role("link", name="Manage views").click()
    page.get_by_role("button", name="Remove At risk first").click()
    expect(page.locator(".empty")).to_contain_text("No saved views")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("link", name="At risk first")).to_be_visible()
    assert SavedView.objects.get().is_default


def test_columns_are_ordered_by_drag_reset_and_the_reset_taken_back(
    page: Page, tags: list[Tag], administrator: User
) -> None:
    page.goto("/images/")
    page.get_by_role("link", name="Custom list management").click()
    lines = page.locator(".order li:not([hidden])")
    expect(lines).to_have_count(6)
    grip = page.locator("#shown-status [data-grip]").bounding_box()
    target = page.locator("#shown-type").bounding_box()
    assert grip
    assert target
    page.mouse.move(grip["x"] + 8, grip["y"] + 8)
    page.mouse.down()
    page.mouse.move(grip["x"] + 8, target["y"] + 20, steps=4)
    page.mouse.move(grip["x"] + 8, target["y"] + 2, steps=4)
    page.mouse.up()
    expect(lines.nth(1)).to_contain_text("Status")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("columnheader").nth(2)).to_have_text("Status")
    page.get_by_role("link", name="Custom list management").click()
    page.get_by_role("button", name="Reset").click()
    expect(page.get_by_role("columnheader").nth(2)).to_have_text("Repository type")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.get_by_role("columnheader").nth(2)).to_have_text("Status")


def test_a_table_with_all_columns_scrolls_in_its_panel_and_its_heads_and_first_column_stay(
    page: Page, tags: list[Tag]
) -> None:
    page.set_viewport_size({"width": 1440, "height": 600})
    page.goto("/images/columns/")  # opened as a page it works too
    for box in page.locator('[name="box"]').all():
        box.check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("thead th")).to_have_count(23)
    page.wait_for_load_state()  # the styles, too
    assert page.evaluate("document.documentElement.scrollWidth") == 1440
    first = page.locator("#list tbody .addr .mid").first
    before = first.bounding_box()
    assert before is not None
    assert before["width"] > 90
    page.locator(".scroll").evaluate("box => box.scrollTo(600, 60)")
    expect(page.get_by_role("columnheader", name="Registry name")).to_be_in_viewport(ratio=1)
    after = first.bounding_box()
    assert after is not None
    assert after["x"] == before["x"]


def test_a_large_export_is_followed_to_its_file(
    page: Page, tags: list[Tag], monkeypatch: pytest.MonkeyPatch, work: Callable[[], None]
) -> None:
    monkeypatch.setattr(list_export, "MAX_IMMEDIATE_EXPORT_ROWS", 3)
    page.goto("/images/?sort=-version")
    page.locator(".list-head").get_by_role("button", name="Export", exact=True).click()
    expect(page).to_have_url(re.compile("/exports/$"))
    expect(page.locator("[data-state=queued]")).to_contain_text("Waiting")
    page.evaluate("window.same = true")
    work()
    expect(page.locator("[data-state=succeeded]")).to_contain_text("Ready", timeout=15_000)
    assert page.evaluate("window.same") is True
    with page.expect_download() as download:
        page.get_by_role("link", name="Download").click()
    sheet = load_workbook(io.BytesIO(Path(download.value.path()).read_bytes())).worksheets[0]
    assert [row[2] for row in sheet.iter_rows(min_row=2, values_only=True)] == [f"v{n}" for n in (5, 4, 3, 2, 1, 0)]
    page.get_by_role("button", name=re.compile("Remove export")).click()
    expect(page.locator(".empty")).to_contain_text("No exports yet")


@pytest.fixture
def work() -> Callable[[], None]:
    """Do the export that waits, as a worker would."""
    return lambda: export(Export.objects.get().pk)


def test_findings_are_sorted_and_exported_where_they_stand(page: Page, tags: list[Tag]) -> None:
    image = tags[1].image
    assert image
    factories.vulnerability(image, name="CVE-2024-2", package="zlib")
    factories.vulnerability(image, name="CVE-2024-1", package="expat")
    page.goto(f"/images/{tags[1].pk}/?tab=vulnerabilities")
    page.locator("#findings").get_by_role("button", name="Sort").click()
    page.locator("#findings-sorting").get_by_role("link", name="Name").click()
    expect(page.locator(".finding .id")).to_have_text(["CVE-2024-1", "CVE-2024-2"])
    expect(page).to_have_url(re.compile("tab=vulnerabilities&sort=name$"))
    with page.expect_download() as download:
        page.locator("#findings").get_by_role("button", name="Export", exact=True).click()
    head, *rows = (
        load_workbook(io.BytesIO(Path(download.value.path()).read_bytes())).worksheets[0].iter_rows(values_only=True)
    )
    assert [row[head.index("Name")] for row in rows] == ["CVE-2024-1", "CVE-2024-2"]
    assert {row[head.index("Path")] for row in rows} == {"var/lib/dpkg/status"}


def test_the_time_zone_of_the_browser_is_offered_and_kept(page: Page, administrator: User) -> None:
    page.goto("/preferences/")
    page.get_by_label("Time zone").select_option("Asia/Tokyo")
    page.get_by_role("button", name="Save", exact=True).click()
    administrator.refresh_from_db()
    assert administrator.time_zone == "Asia/Tokyo"
    expect(page.get_by_label("Time zone")).to_have_value("Asia/Tokyo")


def test_without_scripts_views_and_columns_are_kept_too(
    browser: Browser, page: Page, tags: list[Tag], base_url: str
) -> None:
    plain = browser.new_context(
        java_script_enabled=False, base_url=base_url, storage_state=page.context.storage_state()
    )
    one = plain.new_page()
    one.goto("/images/?security=at-risk")
    one.get_by_role("button", name="Saved views").click()
    one.get_by_role("textbox", name="Name of a new view").fill("Plain")
    one.keyboard.press("Enter")
    expect(one.locator(".total")).to_have_text("5 of 6 tags")
    one.get_by_role("button", name="Saved views").click()
    one.get_by_role("link", name="Manage views").click()
    one.get_by_role("button", name="Make default").click()
    one.get_by_role("button", name="Remove Plain").click()
    one.get_by_role("button", name="Undo").click()
    assert SavedView.objects.get().is_default
    plain.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_components_is_for_staff_and_fits(
    page: Page, administrator: User, sign_in: Callable[[User], None], scheme: str
) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    response = page.goto("/styleguide/")
    assert response
    assert response.status == 403
    sign_in(person("viewer", username="staff", is_staff=True))
    for width in (1440, 320):
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/styleguide/")
        expect(page.get_by_role("heading", level=1)).to_have_text("Components")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="Open a dialog").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Open a dialog")).to_be_focused()

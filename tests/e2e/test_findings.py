"""The findings of an image in a browser: some are selected and exported, and columns are chosen."""

from __future__ import annotations

import io
import re

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Download, Page, expect

from console.models import User
from inventory.models import Tag
from scanning.models.packages import SeverityRank
from tests import factories


@pytest.fixture
def tag(administrator: User) -> Tag:
    """A tag whose image holds five vulnerabilities, four secrets and three viruses."""
    image = factories.image(layers=2, scan_state="scanned")
    for number in range(5):
        factories.vulnerability(
            image, name=f"CVE-2024-{number}", package=f"lib{number}", severity=SeverityRank(5 - number)
        )
    for number in range(4):
        factories.secret(image, path=f"app/{number}.env")
    for number in range(3):
        factories.malware(image, path=f"opt/{number}.com")
    return factories.tag(of=image)


def cells(download: Download, column: str) -> list[object]:
    rows = list(load_workbook(io.BytesIO(download.path().read_bytes())).worksheets[0].iter_rows(values_only=True))
    return [row[rows[0].index(column)] for row in rows[1:]]


@pytest.mark.parametrize(
    ("tab", "column", "expected"),
    [
        ("vulnerabilities", "Name", ["CVE-2024-0", "CVE-2024-1", "CVE-2024-2"]),
        ("sensitive", "Path", ["app/0.env", "app/1.env", "app/2.env"]),
        ("malware", "Path", ["opt/0.com", "opt/1.com", "opt/2.com"]),
        ("packages", "Name", ["lib0", "lib1", "lib2"]),
    ],
)
def test_some_findings_are_selected_by_range_and_exported(
    page: Page, tag: Tag, tab: str, column: str, expected: list[str]
) -> None:
    page.goto("/images/")
    page.locator("a[data-drawer]").first.click()
    if tab != "vulnerabilities":  # with which the drawer opens; asked for again it would come anew
        page.locator(f"#tab-{tab}").click()
    found = page.locator("#findings")
    expect(found).to_have_attribute("data-tab", tab)
    bar = found.locator("[data-bulk]")
    expect(bar).to_be_hidden()
    boxes = found.locator("input[data-row]")
    boxes.nth(0).check()
    expect(bar).to_contain_text("1 selected")
    boxes.nth(2).click(modifiers=["Shift"])
    expect(bar).to_contain_text("3 selected")
    expect(found.locator("details[open]")).to_have_count(0)
    with page.expect_download() as download:
        bar.get_by_role("button", name="Export").click()
    assert sorted(map(str, cells(download.value, column))) == expected


def test_the_columns_of_findings_are_chosen_and_exported(page: Page, tag: Tag) -> None:
    page.goto("/images/")
    page.locator("a[data-drawer]").first.click()
    page.locator("#tab-packages").click()
    expect(page.locator("#findings thead")).to_contain_text("Version")
    page.locator("#findings").get_by_role("link", name="Custom list management").click()
    dialog = page.get_by_role("dialog", name="Custom list management")
    dialog.get_by_role("button", name="Hide Version").click()
    expect(dialog.get_by_role("button", name="Hide Version")).to_have_count(0)
    dialog.get_by_role("button", name="Save", exact=True).click()
    expect(page).to_have_url(re.compile(rf"/{tag.pk}/"))
    expect(page.locator("#findings thead")).to_contain_text("Name")
    expect(page.locator("#findings thead")).not_to_contain_text("Version")
    with page.expect_download() as download:
        page.locator("#findings").get_by_role("button", name="Export").first.click()
    assert len(cells(download.value, "Name")) == 5
    with pytest.raises(ValueError, match="not in"):
        cells(download.value, "Version")


def test_the_bar_of_a_selection_is_not_seen_for_a_moment_where_nothing_is_selected(page: Page, tag: Tag) -> None:
    page.goto(f"/images/{tag.pk}/?tab=vulnerabilities")
    expect(page.locator("#findings .finding")).to_have_count(5)
    page.evaluate(
        """document.addEventListener("htmx:afterSwap", () => {
            document.body.dataset.barHidden = document.querySelector("#findings [data-bulk]").hidden;
        })"""
    )
    page.locator("#tab-packages").click()
    expect(page.locator("#findings thead")).to_contain_text("Version")
    expect(page.locator("body")).to_have_attribute("data-bar-hidden", "true")

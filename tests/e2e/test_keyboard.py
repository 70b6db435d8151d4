"""The main tasks by keyboard alone: no test here touches the mouse or puts the focus anywhere by itself. Wherever Tab
leads, the focus can be seen and nothing lies over it.
"""

from __future__ import annotations

import io

import pytest
from openpyxl import load_workbook
from playwright.sync_api import Page, expect

from console.models import User
from inventory.models import Tag
from registries.models import Registry
from scanning.models import Scan
from tests import factories

# What has the focus: its name, and what is wrong with how it is shown.
FOCUSED = """() => {
    const one = document.activeElement;
    const name = one.getAttribute("aria-label") || one.labels?.[0]?.innerText || one.innerText || one.placeholder || "";
    const { left, top, width, height } = one.getBoundingClientRect();
    const shown = one.checkVisibility({opacityProperty: true}) ? one : one.closest("label") ?? one;
    const style = getComputedStyle(shown);
    const over = document.elementFromPoint(left + width / 2, top + height / 2);
    const wrong = [];
    if (one !== document.body) {
        if (style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 2) wrong.push("no ring");
        if (!over) wrong.push("out of sight");
        else if (!(one.contains(over) || over.contains(one) || one.labels?.[0]?.contains(over)))
            wrong.push(`covered by ${over.outerHTML.slice(0, 80)}`);
    }
    return [name.replace(/\\s+/g, " ").trim(), wrong];
}"""


def tab_to(page: Page, name: str, *, key: str = "Tab", most: int = 90) -> None:
    """Press Tab until what is called ``name`` (or begins so, where it ends in "…") has the focus."""
    passed = []
    for _step in range(most):
        page.keyboard.press(key)
        page.wait_for_function("() => new Promise(requestAnimationFrame).then(() => true)")
        here, wrong = page.evaluate(FOCUSED)
        assert not wrong, f"{here}: {wrong}"
        if here == name or (name.endswith("…") and here.startswith(name[:-1])):
            return
        passed.append(here)
    raise AssertionError(f"Tab does not lead to {name!r}, but past {passed}")


@pytest.fixture
def page(page: Page) -> Page:
    page.emulate_media(reduced_motion="reduce")
    return page


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    registry = factories.registry(name="lab", type="harbor")
    made = [
        factories.tag(f"v{index:02}", of=factories.image(), path=f"team/app-{index:02}", in_=registry)
        for index in range(30)
    ]
    of = factories.image(**factories.scanned(critical=1, packages=1))
    factories.vulnerability(of)
    return [factories.tag("1.0", of=of, path="shop/basket", in_=registry), *made]


def test_a_registry_is_added(page: Page, administrator: User) -> None:
    page.goto("/images/")
    page.keyboard.press("g")
    page.keyboard.press("r")
    expect(page).to_have_url("/registries/")
    tab_to(page, "Add image repository")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Add image repository")
    tab_to(page, "Instance name")
    page.keyboard.type("lab")
    tab_to(page, "Address")
    page.keyboard.type("ftp://x")
    tab_to(page, "Save")
    page.keyboard.press("Enter")
    expect(page.locator("form").get_by_role("alert")).to_be_focused()
    tab_to(page, "Address")
    page.keyboard.press("Control+a")
    page.keyboard.type("https://registry.example.com")
    tab_to(page, "Sync assets right after")
    page.keyboard.press("Space")
    tab_to(page, "Save")
    page.keyboard.press("Enter")
    expect(page).to_have_url("/registries/")
    assert Registry.objects.get().name == "lab"


def test_an_image_is_found_and_its_findings_are_read(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.keyboard.press("/")
    page.keyboard.type("basket")
    expect(page.locator(".total")).to_have_text("1 of 31 tags")
    tab_to(page, "shop/ basket…")
    page.keyboard.press("Enter")
    drawer = page.locator("#drawer")
    expect(drawer.locator(".finding")).to_have_count(1)
    expect(page.locator("#drawer:focus-within")).to_be_visible()
    tab_to(page, "Vulnerabilities 1")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    tab_to(page, "High…", most=40)
    page.keyboard.press("Enter")
    expect(drawer.locator(".finding[open]")).to_contain_text("Fix suggestion")
    for _step in range(60):  # the focus stays inside
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement === document.body || !!document.activeElement.closest('#drawer')")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page.locator("a[data-drawer]")).to_be_focused()


def test_images_are_filtered_selected_scanned_and_cancelled(page: Page, tags: list[Tag]) -> None:
    page.set_viewport_size({"width": 1280, "height": 620})
    page.goto("/images/")
    tab_to(page, "Scanning status")
    page.keyboard.press("Enter")
    expect(page.get_by_role("checkbox", name="Not scanned")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.locator(".total")).to_have_text("30 of 31 tags")
    page.keyboard.press("Escape")
    tab_to(page, f"Select {tags[1]}")
    page.keyboard.press("Space")
    tab_to(page, f"Select {tags[18]}", most=120)  # far below: past the bar that sticks to the foot of the window
    page.keyboard.press("Shift+Space")
    expect(page.locator(".bulk")).to_contain_text("18")
    tab_to(page, "Scan now", most=20)
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("18 scans queued")
    assert Scan.objects.filter(state="queued").count() == 18
    tab_to(page, "Cancel scanning", most=20)
    page.keyboard.press("Enter")
    expect(page.locator(".toast").last).to_contain_text("18 scans are being cancelled")
    assert not Scan.objects.filter(state="queued").exists()


def test_the_list_is_exported(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?q=basket")
    tab_to(page, "Export")
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    sheet = load_workbook(io.BytesIO(download.value.path().read_bytes())).worksheets[0]
    assert [cell.value for cell in sheet["A"]][1:] == [tags[0].address]


def test_a_schedule_is_made_and_what_is_told_can_be_undone(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    tab_to(page, "Schedules")
    page.keyboard.press("Enter")
    tab_to(page, "Add schedule")
    page.keyboard.press("Enter")
    tab_to(page, "Name")
    page.keyboard.type("Nightly")
    tab_to(page, "Save")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("The schedule “Nightly” is saved.")
    tab_to(page, "Delete schedule")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Delete")
    tab_to(page, "Delete schedule")
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("The schedule “Nightly” is deleted.")
    tab_to(page, "Undo")
    page.keyboard.press("Enter")
    expect(page.locator("#list tbody")).to_contain_text("Nightly")

"""Repository images in a browser: find, select, scan, follow, read the findings."""

from __future__ import annotations

import io
import itertools
import re

import pytest
from django.utils import timezone
from openpyxl import load_workbook
from playwright.sync_api import Browser, Page, Route, expect

from console.jobs.models import State
from console.models import User
from inventory.models import Image, Tag
from scanning.models import Scan
from scanning.models.packages import SeverityRank
from scanning.runs.start import scan_now
from tests import factories
from tests.e2e.judge import LOADED_SCRIPT


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    """Thirty images of one registry: ten not scanned, ten at risk, nine clean, one with an exception."""
    registry = factories.registry(name="lab", type="harbor")
    made = []
    for index in range(30):
        state: dict[str, object] = {}
        if index >= 20:
            state = factories.scanned()
        elif index >= 10:
            state = factories.scanned(critical=index, high=3, sensitive=1)
        if index == 29:
            state = {"scan_state": "failed", "scan_reason": "The layer is gone (404).", "scan_remedy": "Push it again."}
        of = factories.image(**state)
        made.append(factories.tag(f"v{index:02}", of=of, path=f"team/app-{index:02}", in_=registry))
    return made


def rows(page: Page) -> list[str]:
    return page.locator("#list tbody tr:not(.why) .ver").all_inner_texts()


def state(page: Page, tag: Tag) -> str:
    return page.locator(f"#status-{tag.pk} [data-state]").get_attribute("data-state") or ""


def test_filters_are_in_the_address_shown_as_chips_and_taken_back(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.get_by_role("button", name="Security status").click()
    page.get_by_role("checkbox", name="At risk").check()
    expect(page.locator(".chip")).to_have_text(re.compile("Security status\\s*At risk"))
    expect(page).to_have_url(re.compile(r"\?security=at-risk$"))
    expect(page.locator(".total")).to_have_text("10 of 30 tags")
    expect(page.get_by_role("checkbox", name="At risk")).to_be_focused()  # the menu is still open where one was
    page.get_by_role("checkbox", name="Safe").check()
    expect(page.locator(".total")).to_have_text("19 of 30 tags")
    seen = rows(page)
    page.reload()
    assert rows(page) == seen
    page.get_by_role("link", name="Remove filter Security status: Safe").click()
    expect(page.locator(".total")).to_have_text("10 of 30 tags")
    page.get_by_role("link", name="Clear all").click()
    expect(page).to_have_url(re.compile(r"/images/$"))
    page.go_back()
    expect(page.locator(".total")).to_have_text("10 of 30 tags")
    expect(page.locator(".chip")).to_have_count(1)
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#drawer")).to_be_visible()


def test_a_search_goes_on_while_one_types(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.keyboard.press("/")
    search = page.get_by_placeholder("Address, name, tag, digest or image ID")
    expect(search).to_be_focused()
    search.press_sequentially("app-1", delay=60)
    expect(page.locator(".total")).to_have_text("10 of 30 tags")
    expect(search).to_be_focused()
    expect(search).to_have_value("app-1")
    search.press_sequentially("7")
    expect(page.locator(".total")).to_have_text("1 of 30 tags")
    expect(page).to_have_url(re.compile(r"\?q=app-17$"))


def test_pages_and_order(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    assert rows(page)[0] == "v00"
    page.get_by_role("link", name="Next page").click()
    expect(page).to_have_url(re.compile(r"\?page=2$"))
    expect(page.locator("#list-title")).to_be_focused()
    expect(page.locator("#list tbody tr:not(.why)")).to_have_count(10)
    page.get_by_role("link", name="Risks").click()
    expect(page.get_by_role("columnheader", name="Risks")).to_have_attribute("aria-sort", "descending")
    assert rows(page)[0] == "v19"


def test_rows_are_selected_by_range_by_page_and_all_that_match(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    bar = page.locator(".bulk")
    expect(bar).to_be_hidden()
    boxes = page.locator("input[data-row]")
    boxes.nth(2).check()
    expect(bar).to_contain_text("1 selected")
    boxes.nth(6).click(modifiers=["Shift"])
    expect(bar).to_contain_text("5 selected")
    boxes.nth(8).focus()
    page.keyboard.press("Shift+Space")
    expect(bar).to_contain_text("7 selected")
    everything = page.get_by_label("Select all on this page")
    assert everything.evaluate("box => box.indeterminate")
    everything.check()
    expect(bar).to_contain_text("20 selected")
    cancel = bar.get_by_role("button", name="Cancel scanning")
    expect(cancel).to_have_attribute("aria-disabled", "true")
    expect(cancel).to_have_attribute("title", "None of the selected images is being scanned")
    bar.get_by_role("button", name="Select all 30 that match").click()
    expect(bar).to_contain_text("30 selected")
    bar.get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast")).to_contain_text("30 scans queued")
    assert Scan.objects.count() == 30


def test_a_scan_is_followed_from_start_to_end_without_a_reload(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.evaluate("window.same = true")
    tag = tags[0]
    page.get_by_role("button", name=f"Scan now: {tag}").click()
    expect(page.locator(f"#status-{tag.pk} [data-state=queued]")).to_be_visible()
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 1")
    expect(page.locator(f"#act-{tag.pk} button")).to_have_attribute("title", "Cancel scanning")
    Scan.objects.update(state=State.RUNNING, started_at=timezone.now(), stage="pulling")
    Image.objects.filter(pk=tag.image_id).update(scan_state="running", scan_stage="pulling", scan_percent=40)
    expect(page.locator(f"#status-{tag.pk}")).to_contain_text("pulling · 40 %")
    Scan.objects.update(state=State.FAILED, ended_at=timezone.now())
    Image.objects.filter(pk=tag.image_id).update(scan_state="failed", scan_reason="No layer.", scan_remedy="Push it.")
    expect(page.locator(f"#status-{tag.pk} [data-state=failed]")).to_be_visible(timeout=15_000)
    expect(page.locator("#progress")).to_be_hidden()
    page.locator(f"#status-{tag.pk}").get_by_role("button", name="Reason and remedy").click()
    expect(page.locator(f"#why-{tag.pk}")).to_contain_text("Push it.")
    expect(page.locator("#dials")).to_contain_text("2 scan exceptions")
    assert page.evaluate("window.same") is True
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.resource_type == "xhr" else None)
    page.wait_for_timeout(2500)
    assert asked == [], "a page on which all has ended asks for nothing"


def test_a_scan_is_cancelled_from_its_row_and_from_the_bar(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.get_by_role("button", name=f"Scan now: {tags[0]}").click()
    page.get_by_role("button", name=f"Scan now: {tags[1]}").click()
    page.get_by_role("button", name=f"Cancel scanning: {tags[0]}").click()
    expect(page.locator(f"#status-{tags[0].pk} [data-state=cancelled]")).to_be_visible()
    page.locator("#progress").get_by_role("button", name="Cancel scanning").click()
    expect(page.locator(f"#status-{tags[1].pk} [data-state=cancelled]")).to_be_visible()
    assert set(Scan.objects.values_list("state", flat=True)) == {State.CANCELLED}


def test_the_drawer_has_an_address_steps_through_the_list_and_gives_the_focus_back(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?security=at-risk")
    link = page.locator("a[data-drawer]").nth(1)
    link.click()
    drawer = page.locator("#drawer")
    expect(drawer).to_contain_text("app-11:v11")
    expect(page).to_have_url(re.compile(rf"/images/{tags[11].pk}/\?list=/images/%3Fsecurity%3Dat-risk$"))
    page.keyboard.press("j")
    expect(drawer).to_contain_text("app-12:v12")
    page.keyboard.press("k")
    expect(drawer).to_contain_text("app-11:v11")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page).to_have_url(re.compile(r"\?security=at-risk$"))
    expect(link).to_be_focused()
    link.click()
    expect(page).to_have_url(re.compile(rf"/images/{tags[11].pk}/"))
    page.go_back()
    expect(drawer).to_be_hidden()
    expect(page.locator(".chip")).to_have_count(1)


def test_findings_open_in_place_and_tabs_are_in_the_address(page: Page, tags: list[Tag]) -> None:
    image = tags[10].image
    assert image
    factories.vulnerability(image, name="CVE-2024-1", severity=SeverityRank.CRITICAL)
    factories.vulnerability(image, name="CVE-2024-2", package="zlib", severity=SeverityRank.LOW, fixed_version="")
    factories.secret(image, path="app/.env")
    page.goto("/images/?security=at-risk")
    page.locator("a[data-drawer]").first.click()
    finding = page.locator(".finding", has_text="CVE-2024-1")
    finding.locator("summary").click()
    expect(finding).to_contain_text("Fix suggestion")
    expect(finding).to_contain_text("step 3 of 3")
    page.locator("#findings").get_by_placeholder("Name or package").fill("zlib")
    expect(page.locator(".finding")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"\?tab=vulnerabilities&q=zlib&list="))
    page.get_by_role("tab", name="Sensitive data").click()
    expect(page.get_by_role("tab", name="Sensitive data")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#findings")).to_contain_text("app/.env")
    expect(page).to_have_url(re.compile(r"\?tab=sensitive&list="))
    page.goto(f"/images/{tags[10].pk}/?tab=sensitive")
    expect(page.get_by_role("heading", level=1)).to_contain_text("app-10:v10")
    expect(page.locator("#findings")).to_contain_text("app/.env")
    page.goto(f"/images/{tags[10].pk}/?tab=vulnerabilities&q=zlib")
    expect(page.locator(".finding")).to_have_count(1)


def test_a_tab_that_is_chosen_while_another_still_loads_is_the_one_shown(page: Page, tags: list[Tag]) -> None:
    assert tags[10].image
    factories.secret(tags[10].image, path="app/.env")
    held: list[Route] = []
    page.route("**/vulnerabilities/", lambda route: held.append(route))
    page.goto("/images/?security=at-risk")
    with page.expect_request("**/vulnerabilities/"):
        page.locator("a[data-drawer]").first.click()
    page.get_by_role("tab", name="Sensitive data").click()
    for route in held:
        route.continue_()
    expect(page.locator("#findings")).to_contain_text("app/.env")
    expect(page.get_by_role("tab", name="Sensitive data")).to_have_attribute("aria-selected", "true")


def test_the_drawer_follows_its_scan_too(page: Page, tags: list[Tag]) -> None:
    tag = tags[0]
    page.goto("/images/")
    page.locator("a[data-drawer]").first.click()
    page.locator("#drawer").get_by_role("button", name="Scan now").click()
    expect(page.locator("#image-summary [data-state=queued]")).to_be_visible()
    expect(page.locator("#drawer-action")).to_contain_text("Cancel scanning")
    Scan.objects.update(state=State.SUCCEEDED, ended_at=timezone.now())
    Image.objects.filter(pk=tag.image_id).update(**factories.scanned(critical=7))
    assert tag.image
    factories.vulnerability(tag.image, name="CVE-2024-7", severity=SeverityRank.CRITICAL)
    expect(page.locator("#image-summary [data-state=scanned]")).to_be_visible(timeout=15_000)
    expect(page.locator("#findings")).to_contain_text("CVE-2024-7")


def test_what_has_the_focus_in_the_drawer_keeps_it_while_others_are_scanned(page: Page, tags: list[Tag]) -> None:
    scan_now(tag_ids=[tags[1].pk], requested_by=None)
    page.goto(f"/images/{tags[25].pk}/")
    page.locator("#image-summary .copy").first.focus()
    with page.expect_response(re.compile("/scans/progress/.*drawer"), timeout=15_000):
        pass
    page.evaluate("new Promise((done) => document.addEventListener('htmx:afterSettle', done, { once: true }))")
    expect(page.locator("#image-summary .copy").first).to_be_focused()


def test_columns_are_chosen_and_ordered_by_keyboard_and_stay(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?q=app")
    page.get_by_role("link", name="Custom list management").click()
    dialog = page.get_by_role("dialog", name="Custom list management")
    dialog.get_by_role("checkbox", name="Size").check()
    expect(dialog.locator("#shown-size")).to_be_visible()
    up = dialog.get_by_role("button", name="Move Size up")
    up.focus()
    for _step in range(5):
        page.keyboard.press("Enter")
        expect(up).to_be_focused()
    expect(dialog.locator(".order li").nth(1)).to_contain_text("Size")
    dialog.get_by_role("button", name="Hide Repository type").click()
    expect(dialog.locator("#shown-type")).to_be_hidden()
    dialog.get_by_role("button", name="Save", exact=True).click()
    heads = page.get_by_role("columnheader")
    expect(heads.nth(2)).to_have_text("Size")
    expect(page).to_have_url(re.compile(r"\?q=app$"))
    page.reload()
    expect(heads.nth(2)).to_have_text("Size")
    assert "Repository type" not in heads.all_inner_texts()


def test_the_selection_is_exported(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?sort=-version")
    page.locator("input[data-row]").nth(0).check()
    page.locator("input[data-row]").nth(3).check()
    with page.expect_download() as download:
        page.locator(".bulk").get_by_role("button", name="Export").click()
    sheet = load_workbook(io.BytesIO(download.value.path().read_bytes())).worksheets[0]
    assert [row[2] for row in sheet.iter_rows(min_row=2, values_only=True)] == ["v29", "v26"]


def test_nothing_scrolls_sideways_on_a_phone(page: Page, tags: list[Tag]) -> None:
    image = tags[10].image
    assert image
    factories.vulnerability(image, title="A long title " * 20, package="a-package-with-a-rather-long-name" * 3)
    for path in (
        "/images/",
        "/images/?q=nothing",
        *(f"/images/{tags[10].pk}/?tab={tab}" for tab in ("vulnerabilities", "packages", "history")),
    ):
        page.goto(path)
        page.wait_for_function(LOADED_SCRIPT)
        for scheme, width in itertools.product(("light", "dark"), (320, 360)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 760})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, scheme)


def test_without_scripts_one_finds_selects_and_scans(
    browser: Browser, page: Page, tags: list[Tag], base_url: str
) -> None:
    plain = browser.new_context(
        java_script_enabled=False, base_url=base_url, storage_state=page.context.storage_state()
    )
    one = plain.new_page()
    one.goto("/images/")
    one.get_by_placeholder("Address, name, tag, digest or image ID").fill("app-07")
    one.keyboard.press("Enter")
    expect(one.locator(".total")).to_have_text("1 of 30 tags")
    one.locator("input[data-row]").check()
    one.locator(".bulk").get_by_role("button", name="Scan now").click()
    expect(one.locator("body")).to_contain_text("1 scan queued")
    assert [scan.tag for scan in Scan.objects.all()] == [tags[7]]
    one.locator("a.addr").click()
    one.get_by_role("tab", name="Image build history").click()
    expect(one.locator("#findings")).to_contain_text("RUN apt-get update")
    plain.close()


def test_another_page_takes_one_request(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.resource_type == "xhr" else None)
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#list tbody tr:not(.why)")).to_have_count(10)
    page.wait_for_load_state("networkidle")
    assert len(asked) == 1, asked

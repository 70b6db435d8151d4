"""What people expect of the pages of such a product, each tried once in a browser."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect

from console.jobs.models import State
from console.jobs.state import advance
from console.models import User
from inventory.models import Image, Tag
from scanning.models import Scan
from scanning.models.packages import SeverityRank
from scanning.runs.start import scan_now
from tests import factories
from tests.people import PASSWORD, person

SHIFTED = """() => new Promise(done => {
    let sum = 0;
    new PerformanceObserver(list => list.getEntries().forEach(one => sum += one.value))
        .observe({type: 'layout-shift', buffered: true});
    setTimeout(() => done(sum), 400);
})"""


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    """Forty images: at risk, clean, not scanned, failed, and one with a very long name."""
    registry = factories.registry(name="lab", type="harbor")
    states: list[dict[str, object]] = [
        factories.scanned(critical=3, high=2),
        factories.scanned(),
        {},
        {"scan_state": "failed", "scan_reason": "The layer is gone (404).", "scan_remedy": "Push it again."},
    ]
    made = []
    for index in range(40):
        of = factories.image(**states[index % 4])
        path = f"team/{'a-part-of-a-name-' * 8 if index == 0 else 'app'}-{index:02}"
        made.append(factories.tag(f"v{index:02}", of=of, path=path, in_=registry))
    factories.vulnerability(made[0].image, name="CVE-2021-44228", severity=SeverityRank.CRITICAL)
    return made


def test_the_heads_and_the_first_column_stay_in_sight(page: Page, tags: list[Tag]) -> None:
    page.set_viewport_size({"width": 900, "height": 500})
    page.goto("/images/")
    page.mouse.wheel(0, 700)
    page.locator(".scroll").evaluate("box => box.scrollLeft = 400")
    head = page.locator("thead th").nth(1)
    expect(head).to_be_in_viewport(ratio=0.9)
    address = page.locator("#list tbody .addr").nth(12)
    box, around = address.bounding_box(), page.locator(".scroll").bounding_box()
    assert box is not None
    assert around is not None
    assert box["x"] >= around["x"]
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    over, below = page.locator(".topbar").bounding_box(), head.bounding_box()
    assert over is not None
    assert below is not None
    assert below["y"] >= over["y"] + over["height"], "at the end of the page, too"


def test_the_bar_of_a_selection_covers_no_row_that_has_the_focus(page: Page, tags: list[Tag]) -> None:
    page.set_viewport_size({"width": 1280, "height": 600})
    page.goto("/images/")
    boxes = page.locator("input[data-row]")
    boxes.first.check()
    expect(page.locator("#announce")).to_have_text("1 selected")
    bar = page.locator(".bulk")
    for index in range(1, 20):
        boxes.nth(index).focus()
        row, over = boxes.nth(index).bounding_box(), bar.bounding_box()
        assert row is not None
        assert over is not None
        assert row["y"] + row["height"] <= over["y"] or row["y"] >= over["y"] + over["height"], index


def test_what_is_taken_out_of_all_that_match_is_not_meant_and_each_count_is_said_once(
    page: Page, tags: list[Tag]
) -> None:
    page.goto("/images/")
    page.evaluate("""() => { window.said = []; new MutationObserver(() => {
        const text = document.querySelector('#announce').textContent; if (text) window.said.push(text);
    }).observe(document.querySelector('#announce'), {childList: true}); }""")
    told, bar, boxes = page.locator("#announce"), page.locator(".bulk"), page.locator("input[data-row]")
    page.get_by_label("Select all on this page").check()
    expect(told).to_have_text("20 selected")
    for key in ("Space", "Shift+Space"):
        bar.get_by_role("button", name="Select all 40 that match").click()
        expect(told).to_have_text("40 selected")
        boxes.nth(4).focus()
        page.keyboard.press(key)
        expect(boxes.nth(4)).to_be_checked(checked=False)
        expect(told).to_have_text(re.compile("^1?[0-9] selected"))
        expect(page.locator("#chosen [data-matching]")).to_have_value("")
    bar.get_by_role("button", name="Clear selection").click()
    expect(told).to_have_text("0 selected")
    boxes.nth(7).check()
    expect(told).to_have_text("1 selected")
    before = len(page.evaluate("said"))
    page.get_by_role("button", name=f"Scan now: {tags[6]}").click()  # its answer renews cells
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 1")
    page.wait_for_timeout(100)
    assert page.evaluate("said")[before:] == []


def test_each_of_a_mixed_selection_is_judged_alone_and_the_answer_says_so(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.locator("input[data-row]").nth(0).check()
    page.locator(".bulk").get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast").last).to_contain_text("1 scan queued")
    page.get_by_label("Select all on this page").check()
    page.locator(".bulk").get_by_role("button", name="Scan now").click()
    told = page.locator(".toast").last
    expect(told).to_contain_text("19 scans queued, 1 skipped (Already scanning)")
    told.get_by_role("link", name="Scan run").click()
    expect(page.get_by_role("heading", name="Not queued")).to_be_visible()
    page.go_back()


def test_a_digest_is_short_and_copied_whole_and_that_is_announced(page: Page, tags: list[Tag]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"/images/{tags[0].pk}/")
    copy = page.locator(f'[data-copy="{tags[0].digest}"]').first
    shown = copy.locator("xpath=..").inner_text()
    assert shown.strip().removeprefix("sha256:") == tags[0].digest.removeprefix("sha256:")[:12]
    copy.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#announce")).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == tags[0].digest


def test_a_time_says_the_exact_one_with_its_zone_on_focus_too(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?status=scanned")
    when = page.locator("#list tbody time").first
    assert when.get_attribute("datetime")
    assert "UTC" in (when.get_attribute("title") or "")
    when.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert when.evaluate("one => getComputedStyle(one, '::after').content").strip('"') == when.get_attribute("title")


def test_nothing_found_not_scanned_and_failed_read_differently(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    lines = [page.locator(f"tr:has(#status-{tag.pk})").inner_text() for tag in tags[1:4]]
    assert "0 found" in lines[0]
    assert "Scanned" in lines[0]
    assert "Not known" in lines[1]
    assert "Not scanned" in lines[1]
    assert "Not known" in lines[2]
    assert "0 found" not in lines[1] + lines[2]
    page.locator(f"#status-{tags[3].pk} [data-why], tr:has(#status-{tags[3].pk}) [data-why]").first.click()
    expect(page.get_by_text("The layer is gone (404).").first).to_be_visible()
    expect(page.get_by_text("Push it again.").first).to_be_visible()


def test_a_long_name_is_cut_in_the_middle_and_can_be_read_whole(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?q=a-part-of")
    link = page.locator("#list tbody .addr")
    assert link.get_attribute("title") == str(tags[0])
    end = link.locator(".mid > span").last
    expect(end).to_be_in_viewport()
    assert end.inner_text().endswith("-00")
    start = link.locator(".mid > span").first
    assert start.evaluate("one => one.scrollWidth > one.clientWidth") or end.evaluate(
        "one => one.scrollWidth > one.clientWidth"
    )


def test_the_drawer_fills_a_phone(page: Page, tags: list[Tag]) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.emulate_media(reduced_motion="reduce")
    page.goto("/images/")
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#drawer .finding").first).to_be_visible()
    box = page.locator("#drawer").bounding_box()
    assert box is not None
    assert (box["x"], box["width"]) == (0, 390)
    page.keyboard.press("Escape")
    expect(page.locator("a[data-drawer]").first).to_be_focused()


def test_a_toast_waits_while_it_is_pointed_at_and_an_error_stays(page: Page, tags: list[Tag]) -> None:
    page.clock.install()
    page.goto("/images/")
    page.locator("input[data-row]").first.check()
    page.locator(".bulk").get_by_role("button", name="Scan now").click()
    told = page.locator(".toast")
    expect(told).to_be_visible()
    assert page.locator("#toasts").get_attribute("aria-live") == "polite"
    told.hover()
    page.clock.run_for(20_000)
    expect(told).to_be_visible()
    page.mouse.move(5, 5)
    page.clock.run_for(5_000)
    expect(told).to_be_visible()
    page.clock.run_for(2_000)
    expect(told).to_have_count(0)


def test_a_running_scan_says_its_stage_how_much_of_it_is_done_and_for_how_long_it_runs(
    page: Page, tags: list[Tag]
) -> None:
    (scan,) = scan_now(tag_ids=[tags[0].pk], requested_by=None).queued
    page.goto(f"/images/?q={tags[0].name}")
    cell = page.locator(f"#status-{tags[0].pk}")
    expect(cell).to_contain_text("queued")
    advance(scan, State.RUNNING)
    Image.objects.update(scan_started_at=timezone.now() - timedelta(minutes=3))
    worker = Scan.objects.get()
    worker.stage, worker.progress_done, worker.progress_total = "pulling", 12 * 2**20, 48 * 2**20
    worker.save()
    worker.progress_changed()
    expect(cell).to_contain_text("pulling 12 of 48 MiB · 25 % · 3 min")
    worker.stage = "analysing"
    worker.progress_changed()
    expect(cell).to_contain_text("analysing · 3 min")
    worker.stage = "reading"
    worker.progress_changed()
    expect(cell).to_contain_text("scanning for viruses and trojans · 3 min")
    advance(worker, State.SUCCEEDED)
    expect(cell).to_have_text("Scanned")


def test_a_tab_that_is_closed_changes_nothing_and_who_comes_back_sees_how_it_stands(
    page: Page, tags: list[Tag]
) -> None:
    page.goto("/images/")
    row = page.locator(f"tr:has(#status-{tags[2].pk})")
    row.get_by_role("button", name="Scan now").click()
    expect(page.locator("#progress")).to_contain_text("Scanning 0 of 1")
    back = page.context.new_page()
    page.close()
    scan = Scan.objects.get()
    advance(scan, State.RUNNING)
    back.goto("/images/")
    expect(back.locator(f"#status-{tags[2].pk} [data-state=running]")).to_be_visible()
    expect(back.locator("#progress")).to_contain_text("Scanning 0 of 1")
    scan.refresh_from_db()
    advance(scan, State.SUCCEEDED)
    expect(back.locator(f"#status-{tags[2].pk} [data-state=scanned]")).to_be_visible()
    expect(back.locator("#progress")).to_be_hidden()
    back.reload()
    expect(back.locator(f"#status-{tags[2].pk} [data-state=scanned]")).to_be_visible()


def test_sizes_are_binary_and_say_their_bytes_on_hover(page: Page, tags: list[Tag]) -> None:
    page.goto(f"/images/{tags[0].pk}/")
    expect(page.get_by_title("50,000,000 bytes")).to_have_text("47.7 MiB")


def test_what_could_not_be_loaded_is_told_stays_and_is_tried_again(
    browser: Browser, base_url: str, page: Page, tags: list[Tag]
) -> None:
    unwatched = browser.new_context(base_url=base_url)  # the errors that the browser logs are meant here
    try:
        unwatched.add_cookies(
            [{"name": one["name"], "value": one["value"], "url": base_url} for one in page.context.cookies()]
        )
        page = unwatched.new_page()
        page.goto("/images/")
        page.route("**/images/?**", lambda route: route.fulfill(status=503), times=1)
        page.get_by_role("link", name="Image version").click()
        retry = page.get_by_role("button", name="Try again")
        expect(retry).to_be_visible()
        expect(page.locator("#list tbody tr").first).to_be_visible()
        retry.click()
        expect(page.locator("th[aria-sort]")).to_contain_text("Image version")
        expect(page.locator(".toast")).to_have_count(0)
        page.route("**/images/columns/**", lambda route: route.fulfill(status=503), times=1)
        page.get_by_role("link", name="Custom list management").click()
        expect(retry).to_be_visible()
        expect(page.locator("#dialog")).to_be_hidden()
        retry.click()
        expect(page.locator("#dialog").get_by_role("checkbox", name="Region")).to_be_visible()
    finally:
        unwatched.close()


def test_an_empty_list_says_why_and_what_to_do(page: Page, administrator: User, sign_in: object) -> None:
    page.goto("/images/")
    expect(page.locator(".empty").get_by_role("link").first).to_be_visible()
    factories.tag("v1", of=factories.image(), path="team/app")
    page.goto("/images/?q=nothing-like-it")
    page.get_by_role("link", name="Clear filters").click()
    expect(page.get_by_text("1 tag", exact=True)).to_be_visible()
    administrator.role = "viewer"
    administrator.save()
    assert page.request.get("/audit/").status == 403
    page.goto("/audit/")
    expect(page.get_by_role("heading", level=1)).to_be_visible()


def test_nothing_moves_when_a_page_or_a_fragment_arrives(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    assert page.evaluate(SHIFTED) <= 0.05
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#drawer .finding").first).to_be_visible()
    page.locator("#drawer").get_by_role("tab", name="Packages").click()
    assert page.evaluate(SHIFTED) <= 0.05


def test_a_finding_shows_view_details_and_opens_with_all_its_names(page: Page, tags: list[Tag]) -> None:
    page.goto(f"/images/{tags[0].pk}/")
    page.get_by_text("View details", exact=True).click()
    opened = page.locator(".finding[open]")
    for name in ("Fix suggestion", "Severity", "CVSS vector", "Package", "Path", "Installed version", "Layer",
                 "Fixed version", "References"):  # fmt: skip
        expect(opened.get_by_text(name, exact=True).first).to_be_visible()


def test_the_sign_in_takes_what_is_pasted_and_what_a_password_manager_fills(page: Page) -> None:
    person("viewer", username="amal")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/sign-in/" if page.request.get("/sign-in/").ok else "/")
    password = page.get_by_label("Password")
    assert page.get_by_label("User").get_attribute("autocomplete") == "username"
    assert password.get_attribute("autocomplete") == "current-password"
    page.get_by_label("User").fill("amal")
    page.evaluate("text => navigator.clipboard.writeText(text)", PASSWORD)
    password.focus()
    page.keyboard.press("Control+v")
    expect(password).to_have_value(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/")


@contextmanager
def held(page: Page, pattern: str) -> Iterator[Callable[[], None]]:
    """Hold back what is asked for by ``pattern`` until the function given is called."""
    waiting: list[Route] = []
    page.route(pattern, lambda route: waiting.append(route))
    yield lambda: [route.continue_() for route in waiting] and page.unroute(pattern)
    page.unroute(pattern)


def test_a_list_that_takes_long_shows_the_shape_of_its_rows_and_moves_nothing(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    listing, address = page.locator("#list"), page.locator("#list tbody .addr").nth(2)
    before = address.bounding_box()
    assert before is not None
    with held(page, "**/images/?**") as let_go:
        page.get_by_role("link", name="Image version").click()
        expect(listing).to_have_attribute("aria-busy", "true")
        assert address.bounding_box() == before
        expect(address).to_be_hidden()
        let_go()
        expect(page.locator("th[aria-sort]")).to_contain_text("Image version")
    expect(listing).not_to_have_class(re.compile("waiting"))
    expect(address).to_be_visible()
    assert page.evaluate(SHIFTED) <= 0.05


def test_a_drawer_that_takes_long_opens_in_outline_and_can_be_closed_before_it_comes(
    page: Page, tags: list[Tag]
) -> None:
    page.goto("/images/")
    drawer, first = page.locator("#drawer"), page.locator("a[data-drawer]").first
    with held(page, "**/images/*/") as let_go:
        first.click()
        expect(drawer.locator(".skel").first).to_be_visible()
        page.keyboard.press("Escape")
        expect(drawer).to_be_hidden()
        let_go()
    page.wait_for_load_state("networkidle")
    expect(drawer).to_be_hidden()
    expect(page).to_have_url("/images/")
    with held(page, "**/images/*/") as let_go:
        first.click()
        expect(drawer.locator(".skel").first).to_be_visible()
        let_go()
        expect(drawer.get_by_role("tab").first).to_be_visible()
    expect(page.locator("#drawer:focus-within")).to_be_visible()
    expect(page).to_have_url(re.compile(r"/images/\d+/\?list=/images/$"))
    with held(page, "**/packages/**") as let_go:
        drawer.get_by_role("tab", name="Packages").click()
        expect(drawer.locator("#findings")).to_have_attribute("aria-busy", "true")
        let_go()
        expect(drawer.get_by_role("tab", name="Packages")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Escape")
    expect(page).to_have_url("/images/")
    expect(first).to_be_focused()


def test_a_dialog_that_takes_long_opens_in_outline_and_can_be_closed_before_it_comes(
    page: Page, tags: list[Tag]
) -> None:
    page.goto("/images/")
    dialog, link = page.locator("#dialog"), page.get_by_role("link", name="Custom list management")
    with held(page, "**/images/columns/**") as let_go:
        link.click()
        expect(dialog.locator(".skel").first).to_be_visible()
        expect(dialog.get_by_role("heading", name="Custom list management")).to_be_visible()
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        let_go()
    page.wait_for_load_state("networkidle")
    expect(dialog).to_be_hidden()
    with held(page, "**/images/columns/**") as let_go:
        link.click()
        expect(dialog.locator(".skel").first).to_be_visible()
        let_go()
        expect(dialog.get_by_role("checkbox", name="Region")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#dialog').contains(document.activeElement)")
    page.keyboard.press("Escape")
    expect(link).to_be_focused()


def test_a_moment_shows_no_outline(page: Page, tags: list[Tag]) -> None:
    page.clock.install()
    page.goto("/images/")
    listing = page.locator("#list")
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    with held(page, "**/images/?**") as let_go, page.expect_request("**/images/?**"):
        page.get_by_role("link", name="Image version").click()
        page.clock.run_for(250)
        assert listing.get_attribute("aria-busy") is None
        page.clock.run_for(100)
        expect(listing).to_have_attribute("aria-busy", "true")
        let_go()

"""What expects patience, and what is expected of every page: polling, motion, focus, zoom, print, no script."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from console.models import User
from inventory.models import Image, Tag
from scanning.models import Scan
from tests import factories

# Contrast of two colours of the page, as WCAG counts it.
CONTRAST = """([front, back]) => {
    const light = name => {
        const one = document.createElement("i");
        document.body.append(one);
        one.style.setProperty("color", `var(${name})`);
        const canvas = new OffscreenCanvas(1, 1).getContext("2d");
        canvas.fillStyle = getComputedStyle(one).color;
        one.remove();
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map(part => part / 255)
            .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const [one, other] = [light(front), light(back)].sort((a, b) => b - a);
    return (one + 0.05) / (other + 0.05);
}"""


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    registry = factories.registry(name="lab", type="harbor")
    return [
        factories.tag(
            f"v{index:02}",
            of=factories.image(**factories.scanned(high=index)),
            path=f"team/app-{index:02}",
            in_=registry,
        )
        for index in range(30)
    ]


def test_a_page_asks_once_a_cycle_every_two_seconds_and_then_less_often(page: Page, tags: list[Tag]) -> None:
    for tag in tags[:3]:
        image = tag.image
        assert image is not None
        Scan.objects.create(image=image, tag=tag, address=str(tag), manifest_digest=tag.digest, state="running")
        Image.objects.filter(pk=image.pk).update(scan_state="running", scan_stage="pulling")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.resource_type == "xhr" else None)
    page.clock.install()
    page.goto("/images/")
    expect(page.locator("#progress[data-poll]")).to_be_visible()
    page.clock.pause_at(datetime.now(UTC) + timedelta(hours=1))
    asked.clear()

    def cycles(seconds: int) -> int:
        before = len(asked)
        for _second in range(seconds):
            page.clock.run_for(1000)
            page.wait_for_timeout(0)
            page.wait_for_load_state("networkidle")
        return len(asked) - before

    first = cycles(15)
    assert 2 <= first <= 7  # for three scans that run
    assert cycles(60) <= 7
    assert all("/scans/progress/" in url for url in asked)


def test_the_ring_of_the_focus_stands_out_from_what_lies_below_it(page: Page, administrator: User) -> None:
    page.goto("/registries/")
    for theme in ("light", "dark"):
        page.evaluate("theme => document.documentElement.dataset.theme = theme", theme)
        for below in ("--page", "--sunken", "--surface", "--raised", "--hover", "--accent-tint"):
            assert page.evaluate(CONTRAST, ["--focus", below]) >= 3, (theme, below)
        for below in ("--surface", "--raised"):
            assert page.evaluate(CONTRAST, ["--edge", below]) >= 3, (theme, below)


def test_nothing_moves_for_who_wants_no_motion(page: Page, tags: list[Tag]) -> None:
    page.emulate_media(reduced_motion="reduce")
    Image.objects.filter(pk=tags[0].image_id).update(scan_state="running", scan_stage="pulling")
    page.goto("/images/")
    expect(page.locator(".spin").first).to_be_visible()
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#drawer[open]")).to_be_visible()
    moving = "document.getAnimations().filter(one => one.playState === 'running').map(one => one.animationName)"
    assert page.evaluate(f"new Promise(requestAnimationFrame).then(() => {moving})") == []


def test_another_page_begins_at_its_top(page: Page, tags: list[Tag]) -> None:
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto("/images/")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("#list-title")).to_be_focused()
    expect(page.locator("#list tbody .addr").first).to_be_in_viewport(ratio=1)


def test_at_twice_the_size_the_list_and_the_drawer_can_be_used(page: Page, tags: list[Tag]) -> None:
    page.set_viewport_size({"width": 640, "height": 400})  # a window of 1280 by 800 at 200 %
    page.goto("/images/")
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    page.locator("input[data-row]").first.check()
    expect(page.locator(".bulk")).to_be_in_viewport()
    page.locator("a[data-drawer]").nth(1).click()
    drawer = page.locator("#drawer")
    expect(drawer.get_by_role("tab", name="Packages")).to_be_visible()
    assert drawer.evaluate("one => one.scrollWidth <= one.clientWidth")
    page.keyboard.press("Escape")
    page.locator(".bulk").get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast")).to_contain_text("1 scan queued")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_toast_covers_nothing_of_the_bar_of_a_selection(page: Page, tags: list[Tag], width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/images/")
    page.locator("input[data-row]").first.check()
    page.locator(".bulk").get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast")).to_be_visible()
    told, bar = page.locator(".toast").bounding_box(), page.locator(".bulk").bounding_box()
    assert told is not None
    assert bar is not None
    assert told["y"] + told["height"] <= bar["y"]


def test_on_a_phone_the_open_tab_is_in_sight(page: Page, tags: list[Tag]) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/images/{tags[0].pk}/?tab=history")
    tab = page.get_by_role("tab", name="Image build history")
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(tab).to_be_in_viewport(ratio=0.9)


def test_back_and_forward_open_and_close_the_drawer_and_lead_back_to_the_list(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/?q=app")
    drawer = page.locator("#drawer")
    page.locator("a[data-drawer]").nth(2).click()
    expect(page).to_have_url(f"/images/{tags[2].pk}/?list=/images/%3Fq%3Dapp")  # in outline it has none yet
    page.go_back()
    expect(drawer).to_be_hidden()
    expect(page).to_have_url("/images/?q=app")
    page.go_forward()
    expect(page.locator("#drawer-title")).to_be_visible()
    expect(page).to_have_url(f"/images/{tags[2].pk}/?list=/images/%3Fq%3Dapp")
    page.keyboard.press("j")
    expect(page).to_have_url(f"/images/{tags[3].pk}/?list=/images/%3Fq%3Dapp")
    page.keyboard.press("Escape")
    expect(page).to_have_url("/images/?q=app")
    expect(page.locator("a[data-drawer]").nth(3)).to_be_focused()


def test_two_clicks_make_one_scan(page: Page, tags: list[Tag]) -> None:
    page.goto("/images/")
    page.get_by_role("button", name=f"Scan again: {tags[0]}").dblclick()
    expect(page.locator(f"#status-{tags[0].pk} [data-state=queued]")).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert Scan.objects.count() == 1


def test_without_scripts_what_matches_is_exported(browser: Browser, page: Page, tags: list[Tag], base_url: str) -> None:
    plain = browser.new_context(
        java_script_enabled=False, base_url=base_url, storage_state=page.context.storage_state()
    )
    one = plain.new_page()
    one.goto("/images/?q=app-07")
    with one.expect_download() as download:
        one.get_by_role("button", name="CSV").first.click()
    assert [line.split(",")[0] for line in download.value.path().read_text("utf-8-sig").splitlines()[1:]] == [
        tags[7].address
    ]
    plain.close()


def test_what_is_printed_is_the_rows_with_exact_times_on_white(page: Page, tags: list[Tag]) -> None:
    page.emulate_media(media="print", color_scheme="dark")
    page.goto("/images/?status=scanned")
    for part in (".side", ".topbar", ".filters", ".sel", ".act", ".pager .pages", "main .head .actions"):
        expect(page.locator(part).first).to_be_hidden()
    expect(page.get_by_role("columnheader", name="Image repository address")).to_be_visible()
    expect(page.locator("#list tbody .addr")).to_have_count(20)
    when = page.locator("#list tbody time").first
    assert when.get_attribute("title") in when.evaluate("one => getComputedStyle(one, '::after').content")
    assert page.locator("#list tbody td").first.evaluate("one => getComputedStyle(one).backgroundColor") == (
        "rgb(255, 255, 255)"
    )
    page.emulate_media(media="screen")
    assert tags[0].image is not None
    factories.vulnerability(tags[0].image)
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#drawer .finding").first).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("#drawer .finding").first).to_be_visible()
    expect(page.locator("#list")).to_be_hidden()


def test_every_page_has_an_icon_and_mistakes_are_told_in_the_style_of_the_console(
    page: Page, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("console.listing.views.show", broken)
    administrator.role = "viewer"
    administrator.save()
    for path, status, title in (
        ("/nothing/", 404, "Page not found"),
        ("/audit/", 403, "Your role does not allow this"),
        ("/scans/runs/", 500, "Something went wrong"),
    ):
        answer = page.request.get(path)
        assert answer.status == status
        page.route(f"**{path}", lambda route: route.fulfill(body=answer.body(), content_type="text/html"))  # noqa: B023
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_have_text(title)
        expect(page.locator(".brand")).to_be_visible()
        expect(page.get_by_role("link").last).to_be_visible()
        assert page.locator("h1").evaluate("one => getComputedStyle(one).fontSize") == "20px"
        icon = page.request.get(page.locator("link[rel=icon]").get_attribute("href") or "")
        assert icon.headers["content-type"].startswith("image/svg+xml")

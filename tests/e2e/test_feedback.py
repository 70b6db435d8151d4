"""What is said while a dialog is open can be seen, reached and heard; what could not be loaded changes nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from console.jobs.models import State
from console.models import User
from inventory.models import Tag
from scanning.models import VulndbUpdate
from tests import factories

# Whether one can point at the middle of an element, which what lies below a modal dialog does not let.
REACHED = """one => {
    const { x, y, width, height } = one.getBoundingClientRect();
    return one.contains(document.elementFromPoint(x + width / 2, y + height / 2));
}"""


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    registry = factories.registry(name="lab")
    return [
        factories.tag(f"v{n}", of=factories.image(**factories.scanned(high=1)), path=f"team/app-{n}", in_=registry)
        for n in range(4)
    ]


@pytest.fixture
def unwatched(browser: Browser, base_url: str, page: Page, tags: list[Tag]) -> Iterator[Page]:
    """A page whose browser may log errors, for they are meant."""
    context = browser.new_context(base_url=base_url, storage_state=page.context.storage_state())
    context.set_default_timeout(10_000)
    yield context.new_page()
    context.close()


def test_what_is_said_in_a_drawer_lies_over_it_and_can_be_reached(unwatched: Page) -> None:
    page = unwatched
    page.goto("/images/")
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#findings:not(:has(.loading))")).to_be_visible()
    page.route("**/packages/", lambda route: route.fulfill(status=500), times=1)
    tab = page.get_by_role("tab", name="Packages")
    tab.click()
    toast = page.locator(".toast.fault")
    expect(toast).to_be_visible()
    assert toast.evaluate(REACHED)
    toast.get_by_role("button", name="Try again").click()
    expect(tab).to_have_attribute("aria-selected", "true")
    expect(toast).to_have_count(0)
    page.locator("#drawer").get_by_role("button", name="Scan again").click()
    expect(page.locator(".toast")).to_contain_text("1 scan queued")
    page.locator(".toast").hover()  # else it goes after six seconds, which a busy machine may need for what follows
    page.keyboard.press("j")
    expect(page.locator("#drawer-title")).to_contain_text("app-1:v1")
    expect(page.locator(".toast")).to_be_visible()  # new content took nothing away
    assert page.locator(".toast").evaluate(REACHED)
    page.keyboard.press("Escape")
    expect(page.locator("#drawer")).to_be_hidden()
    assert page.locator(".toast").evaluate(REACHED)


def test_what_is_announced_in_a_drawer_and_a_dialog_is_not_below_it(page: Page, tags: list[Tag]) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/images/")
    page.locator("a[data-drawer]").first.click()
    page.locator("#drawer").get_by_role("button", name="Copy address").click()
    expect(page.locator("dialog:modal #announce")).to_have_text("Copied")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Custom list management").click()
    page.get_by_role("button", name="Move Status up").click()
    expect(page.locator("dialog:modal #announce")).to_have_text("Status: 4")
    page.keyboard.press("Escape")
    page.locator("input[data-row]").first.check()
    expect(page.locator("body > #announce")).to_have_text("1 selected")


def test_an_image_that_could_not_be_loaded_leaves_the_one_before_and_its_address(unwatched: Page) -> None:
    page = unwatched
    page.goto("/images/")
    page.locator("a[data-drawer]").first.click()
    expect(page.locator("#findings:not(:has(.loading))")).to_be_visible()
    address = page.url
    page.route(re.compile(r"/images/\d+/$"), lambda route: route.fulfill(status=503), times=1)
    page.keyboard.press("j")
    toast = page.locator(".toast.fault")
    expect(toast).to_be_visible()
    expect(page.locator("#drawer-title")).to_contain_text("app-0:v0")
    expect(page).to_have_url(address)
    toast.get_by_role("button", name="Try again").click()
    expect(page.locator("#drawer-title")).to_contain_text("app-1:v1")
    page.keyboard.press("Escape")
    expect(page.locator("a[data-drawer]").nth(1)).to_be_focused()


def test_an_update_of_the_database_is_asked_for_while_somebody_looks_and_a_long_reason_fits_a_phone(
    page: Page, administrator: User
) -> None:
    update = VulndbUpdate.objects.create(state=State.RUNNING)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.resource_type == "xhr" else None)
    page.set_viewport_size({"width": 320, "height": 700})
    page.clock.install()
    page.goto("/scans/engines/")
    with page.expect_response("**/engines/"):
        page.clock.run_for(2500)
    hide = "is => { Object.defineProperty(document, 'hidden', {value: is, configurable: true});"
    hide += " document.dispatchEvent(new Event('visibilitychange')); }"
    page.evaluate(hide, True)
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before
    update.state, update.ended_at = State.FAILED, timezone.now()
    update.reason = "mirror.registry.example.com/a/rather/long/name/of/a/database:2 could not be downloaded."
    update.save()
    page.evaluate(hide, False)
    page.clock.run_for(2500)
    expect(page.locator("#database tbody")).to_contain_text("could not be downloaded")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before

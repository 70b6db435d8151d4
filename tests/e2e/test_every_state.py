"""What opens, runs, fails or is empty on the pages: axe-core finds nothing there either, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.utils import timezone
from playwright.sync_api import Page, expect

from console.jobs.models import State
from console.models import Export, SavedView, User
from inventory.models import Tag
from registries.models import Registry, SyncRun
from scanning.models import Scan, ScanRun, ScanScope
from tests import factories
from tests.e2e.judge import LOADED_SCRIPT, AccessibilityChecker
from tests.people import person

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LISTS = (
    *("/images/", "/registries/", "/registries/syncs/", "/registries/tencent/", "/scans/runs/", "/scans/schedules/"),
    *("/scans/vulnerabilities/", "/scans/packages/", "/exports/", "/views/images/", "/audit/?q=nothing-like-it"),
)
MESSAGES = ("400.html", "403.html", "404.html", "429.html", "500.html", "console/csrf_failure.html")


@pytest.fixture
def judge(page: Page) -> AccessibilityChecker:
    page.emulate_media(reduced_motion="reduce")
    return AccessibilityChecker(page)


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    """Images in each state; the first has findings of every kind."""
    registry = factories.registry(name="lab", type="harbor", version="v2")
    states: list[dict[str, object]] = [
        factories.scanned(critical=1, high=2, medium=3, low=4, unknown=1500, viruses=1, sensitive=1, packages=2),
        factories.scanned(),
        {},
        {"scan_state": "failed", "scan_reason": "The layer is gone (404).", "scan_remedy": "Push it again."},
        {"scan_state": "queued", "scan_reason": "Waiting for the hourly limit."},
        {"scan_state": "running", "scan_stage": "pulling 12 of 340 MiB", "scan_percent": 40},
        {"scan_state": "cancelled"},
    ]
    made = [
        factories.tag(f"v{index}", of=factories.image(**values), path=f"team/app-{index}", in_=registry)
        for index, values in enumerate(states)
    ]
    of = made[0].image
    assert of is not None
    for _number in range(3):
        factories.vulnerability(of)
    factories.vulnerability(of, package="zlib1g", fixed_version="")
    factories.malware(of)
    factories.secret(of)
    return made


@pytest.fixture
def run(tags: list[Tag], administrator: User) -> ScanRun:
    """A run that goes on: a scan in each state, and images that were left out."""
    run = ScanRun.objects.create(
        scope=ScanScope.CHOSEN,
        state=State.SUCCEEDED,
        tags=5,
        images=5,
        skipped={"Already scanning": 2},
        categories=["malware"],
    )
    states = (State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED)
    for state, tag in zip(states, (tags[4], tags[5], tags[0], tags[3], tags[6]), strict=True):
        Scan.objects.create(
            run=run,
            image=tag.image,
            tag=tag,
            address=str(tag),
            manifest_digest=tag.digest,
            state=state,
            stage="pulling" if state == State.RUNNING else "",
            reason="The layer is gone (404)." if state == State.FAILED else "",
            started_at=timezone.now() - timedelta(minutes=3),
        )
    return run


def menus(page: Page, judge: AccessibilityChecker, where: str) -> None:
    """Open every menu that can be reached now, one after the other."""
    page.wait_for_function(LOADED_SCRIPT)
    names = page.evaluate(
        """() => {
            const within = document.querySelector("dialog[open]") ?? document;
            const reached = menu => within.querySelector(`[popovertarget="${menu.id}"]`)?.checkVisibility();
            return [...within.querySelectorAll(".menu[popover]")].filter(reached).map(menu => menu.id);
        }"""
    )
    for name in names:
        page.evaluate("id => document.getElementById(id).showPopover()", name)
        judge.look(f"{where}, menu {name}", f"[id='{name}']")
        page.evaluate("id => document.getElementById(id).hidePopover()", name)


def test_axe_finds_nothing_on_the_list_of_images_whatever_is_open(
    page: Page, judge: AccessibilityChecker, tags: list[Tag], run: ScanRun, administrator: User
) -> None:
    view = SavedView.objects.create(user=administrator, listing="images", name="At risk", query="security=at-risk")
    page.goto(f"/images/?view={view.pk}-at-risk&registry={tags[0].repository.registry_id}")
    page.goto("/images/?q=app&type=harbor")
    judge.look("running scans, chips, states")
    menus(page, judge, "images")
    page.get_by_role("button", name="Reason and remedy").first.click()
    page.locator("input[data-row]").nth(1).check()
    page.locator("input[data-row]").nth(2).check()
    judge.look("a selection and a reason")
    page.locator(".bulk").get_by_role("button", name="Scan now").click()
    expect(page.locator(".toast")).to_be_visible()
    judge.look("a toast with links", "#toasts")
    page.get_by_role("link", name="Custom list management").click()
    expect(page.locator("#dialog[open]")).to_be_visible()
    judge.look("Custom list management", "#dialog")
    page.get_by_role("button", name="Reset").click()
    expect(page.locator(".toast .undo:visible")).to_have_count(1)
    judge.look("a toast with undo", "#toasts")
    page.evaluate(
        "document.dispatchEvent(new CustomEvent('toasts', {detail: {toasts: [{level: 'error', text: 'No.'}]}}))"
    )
    judge.look("a toast of what went wrong", "#toasts")
    page.keyboard.press("?")
    judge.look("the help sheet", "#keys")
    page.keyboard.press("Escape")
    page.set_viewport_size({"width": 390, "height": 800})
    judge.look("cards on a phone")
    page.get_by_role("button", name="Menu").click()
    judge.look("the sidebar on a phone", "#nav")
    assert not judge.wrong, judge.verdict()


def test_axe_finds_nothing_in_the_drawer_of_an_image_whatever_tab_is_open(
    page: Page, judge: AccessibilityChecker, tags: list[Tag], run: ScanRun
) -> None:
    page.goto("/images/")
    for tag in tags:
        page.locator(f'a[data-drawer][href="/images/{tag.pk}/"]').click()
        page.wait_for_function(LOADED_SCRIPT)
        whole = tag in (tags[0], tags[2])  # all that there is, and nothing
        judge.look(f"drawer, image {tag.image and tag.image.scan_state}", "#drawer" if whole else "#image-summary")
        if tag == tags[0]:
            for name in ("Packages", "Image build history", "Viruses and trojans", "Sensitive data", "Vulnerabilities"):
                tab = page.locator("#drawer").get_by_role("tab", name=name)
                tab.click()
                expect(tab).to_have_attribute("aria-selected", "true")
                judge.look(f"drawer, {name}", "#findings")
                if (finding := page.locator("#drawer .finding > summary").first).count():
                    finding.click()
                    judge.look(f"drawer, {name}, a finding open", ".finding[open]")
                menus(page, judge, f"drawer, {name}")
        page.keyboard.press("Escape")
        expect(page.locator("#drawer[open]")).to_have_count(0)
    page.set_viewport_size({"width": 390, "height": 800})
    page.locator(f'a[data-drawer][href="/images/{tags[0].pk}/"]').click()
    page.wait_for_function(LOADED_SCRIPT)
    judge.look("drawer on a phone", "#drawer")
    assert not judge.wrong, judge.verdict()


def test_axe_finds_nothing_on_registries_runs_and_exports_in_any_state(
    page: Page, judge: AccessibilityChecker, tags: list[Tag], run: ScanRun, administrator: User
) -> None:
    registry = tags[0].repository.registry
    broken = factories.registry(name="broken")
    Registry.objects.filter(pk=broken.pk).update(
        connection="failed", connection_reason="The certificate has expired.", connection_remedy="Renew it."
    )
    SyncRun.objects.create(registry=broken, state=State.FAILED, reason="It said no.", remedy="Ask again.")
    SyncRun.objects.create(registry=registry, state=State.RUNNING, progress_done=30, progress_total=100, tags=41)
    for state in State:
        Export.objects.create(
            requested_by=administrator,
            listing="images",
            state=state,
            format="xlsx",
            time_zone="UTC",
            language="en",
            reason="The disk is full." if state == State.FAILED else "",
            remedy="Make room." if state == State.FAILED else "",
            progress_done=40,
            progress_total=100,
            rows=10_000,
            size=1_400_000,
            file="a.xlsx" if state == State.SUCCEEDED else "",
            expires_at=timezone.now() + timedelta(days=6),
        )
    page.goto("/registries/")
    judge.look("registries, one syncs and one is broken")
    menus(page, judge, "registries")
    page.locator("input[data-row]").first.check()
    judge.look("registries, a selection", ".bulk")
    page.get_by_role("link", name="Operation guide").click()
    expect(page.locator("#dialog[open]")).to_be_visible()
    judge.look("the operation guide", "#dialog")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="broken").click()
    expect(page.locator("#drawer[open]")).to_be_visible()
    judge.look("the drawer of a registry", "#drawer")
    page.goto("/registries/add/")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("form").get_by_role("alert")).to_be_visible()
    judge.look("a form with errors")
    page.goto("/registries/syncs/")
    page.get_by_role("button", name="Reason and remedy").first.click()
    judge.look("records of syncs, a reason")
    page.goto(f"/scans/runs/{run.pk}/")
    judge.look("a run that goes on")
    menus(page, judge, "a run")
    page.goto("/scans/runs/")
    judge.look("runs, one goes on")
    page.goto("/scans/settings/?scope=chosen")
    page.locator("#pick-left input[data-row]").first.check()
    judge.look("images to choose, one is marked")
    page.goto("/exports/")
    page.get_by_role("button", name="Reason and remedy").first.click()
    judge.look("exports in each state")
    page.goto("/audit/")
    menus(page, judge, "the audit trail")
    page.goto("/scans/vulnerabilities/")
    menus(page, judge, "vulnerabilities")
    assert not judge.wrong, judge.verdict()


def test_axe_finds_nothing_where_there_is_nothing_yet(
    page: Page, judge: AccessibilityChecker, administrator: User
) -> None:
    for path in LISTS:
        page.goto(path)
        judge.look(f"{path} without rows")
    assert not judge.wrong, judge.verdict()


def test_axe_finds_nothing_where_somebody_signs_in_or_is_turned_away(
    page: Page, judge: AccessibilityChecker, sign_in: Callable[[User], None]
) -> None:
    person("viewer")
    page.goto("/")
    judge.look("the sign-in")
    page.get_by_label("User").fill("viewer")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    judge.look("a wrong password")
    for name in MESSAGES:
        shown = render_to_string(name)
        page.route("**/shown/", lambda route: route.fulfill(body=shown, content_type="text/html"))  # noqa: B023
        page.goto("/shown/")
        page.unroute("**/shown/")
        judge.look(name)
    sign_in(User.objects.get())
    for path in ("/nothing/", "/audit/"):
        page.goto(path)
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        judge.look(f"a viewer at {path}")
    assert not judge.wrong, judge.verdict()

"""What is long or large stays within its panel, and lists show their rows where it is narrow."""

from __future__ import annotations

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from console.jobs.models import State
from console.models import User
from demo.inventory.make import make
from inventory.models import Image, Tag
from registries.models import PushAddress, PushEvent
from scanning.exposure import recount
from scanning.models import PackageVulnerability, Rematch
from tests import factories

WIDTHS = (1440, 1024, 390)
LONG = "release-2026.11.30-rc1-build-20261130190404-feature-payments-retry-queue-gitsha-0a1b2c3d"[:87]
# Elements of a panel that are wider than their place
OVERFLOWING = """selector => [...document.querySelectorAll(selector)]
    .filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1)
    .map(one => `${one.className}: ${one.scrollWidth} > ${one.clientWidth}`)"""


@pytest.fixture
def long(administrator: User) -> Tag:
    """A tag with a long name, of an image with many findings of one severity."""
    assert len(LONG) == 87
    image = factories.image(**factories.scanned(high=2, unknown=1500))
    factories.vulnerability(image)
    return factories.tag(LONG, of=image, path="payments/checkout-service-backend-for-frontend")


def overflowing(page: Page, selector: str) -> list[str]:
    found: list[str] = page.evaluate(OVERFLOWING, selector)
    return found + ([] if page.evaluate("innerWidth >= document.documentElement.scrollWidth") else ["the page"])


def test_a_long_tag_and_large_counts_stay_in_the_panel_of_an_image(page: Page, long: Tag) -> None:
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto(f"/images/{long.pk}/")
        expect(page.locator(".tag-list .tag")).to_have_text(LONG)
        assert overflowing(page, ".summary, .summary *:not(.icon, .copy), .tally .sev") == [], width


def test_the_list_of_images_fits_a_common_window_with_a_long_tag_and_a_reason(page: Page, long: Tag) -> None:
    image = factories.image(scan_state="failed", scan_reason="Timed out after 30 min.", scan_remedy="Scan again.")
    factories.tag(LONG, of=image, path="payments/checkout-service-backend-for-frontend-2")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto("/images/")
    expect(page.get_by_role("table").get_by_text("Scan exception")).to_be_visible()
    assert overflowing(page, "main .scroll") == []


def test_the_figures_of_the_overview_and_the_sidebar_stay_in_their_places(page: Page, administrator: User) -> None:
    make(tags=400, images=100, seed=1, now=timezone.now())
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        page.goto("/images/")
        expect(page.locator(".dial").nth(3)).to_contain_text("images scanned")
        assert overflowing(page, ".dial, .dial .end, .legend, .side li a") == [], width


def test_an_image_that_failed_again_says_so_once_and_of_when_its_results_are(page: Page, administrator: User) -> None:
    reason = "The registry no longer contains all layers of this image."
    coverage = dict.fromkeys(Image.COVERAGES, Image.Coverage.FAILED)
    values = factories.scanned(high=1) | coverage | {"scan_state": "failed", "scan_reason": reason}
    tag = factories.tag(of=factories.image(**values))
    assert tag.image is not None
    factories.vulnerability(tag.image)
    factories.result(tag.image, "vulnerabilities", "failed", reason=reason, looked_at=timezone.now())
    page.goto(f"/images/{tag.pk}/")
    expect(page.locator("#image-summary").get_by_text(reason).filter(visible=True)).to_have_count(1)
    expect(page.locator(".note.fault").last).to_contain_text("The results shown here are from")


def test_reports_of_pushes_are_read_without_scrolling_sideways(page: Page, long: Tag) -> None:
    registry = long.repository.registry
    address = PushAddress(registry=registry)
    address.new_secret()
    address.save()
    reason = "The registry took longer than 60 seconds to return what it had reported."
    PushEvent.objects.create(
        registry=registry, names=[], repository=long.repository.name, tag=LONG, state=State.FAILED, reason=reason
    )
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 2400})
        page.goto(f"/registries/{registry.pk}/events/")
        expect(page.get_by_text(reason)).to_be_in_viewport()
        assert overflowing(page, "main .panel, main .scroll") == [], width
        inset = "one => one.getBoundingClientRect().x - one.closest('.panel').getBoundingClientRect().x"
        assert page.get_by_text("Scan what is pushed").evaluate(inset) >= 16


def test_new_vulnerabilities_are_told_on_a_phone_with_what_could_not_be_matched(page: Page, long: Tag) -> None:
    recount.recount()
    reason = "17 packages of alpine 3.22.1 could not be matched: unexpected end of JSON input."
    rematch = Rematch.objects.create(state=State.FAILED, new_matches=1, new_in_images=1, unmatched=17, reason=reason)
    PackageVulnerability.objects.update(rematch=rematch)
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(f"/scans/rematches/{rematch.pk}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 new in 1 image")
    expect(page.get_by_role("alert").filter(has_text=reason)).to_be_visible()
    row = page.locator("tbody tr").first
    for text in ("CVE-2024-", "libexpat1", "High", "2.5.0-1+deb12u1"):
        expect(row.get_by_text(text).first).to_be_visible()

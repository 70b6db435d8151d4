"""The demo in a browser: what is planted is found, and the pictures of the README are taken of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.demo.running import RunningDemo, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[RunningDemo]:
    with running(tmp_path / "data") as start:
        yield start()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Where pictures go: beside this file when ``make screenshots`` asks for them."""
    return Path(__file__).with_name("screenshots") if "TALLYMAN_SCREENSHOTS" in os.environ else tmp_path


def signed_in(browser: Browser, demo: RunningDemo) -> Page:
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme="light", reduced_motion="reduce")
    page.goto(demo.said(r"^Address: (\S+)$")[1])
    page.get_by_label("User").fill(demo.said(r"^User: (\S+)$")[1])
    page.get_by_label("Password").fill(demo.said(r"^Password: (\S+)$")[1])
    page.keyboard.press("Enter")
    page.wait_for_url("**/images/")
    return page


def test_a_screenshot_shows_all_samples_scanned_and_the_virus_with_its_path_and_build_step(
    browser: Browser, demo: RunningDemo, pictures: Path
) -> None:
    page = signed_in(browser, demo)
    demo.said(r"^All sample images are scanned\.$")
    page.reload()
    while not page.get_by_role(
        "link", name="Unsupported operating system"
    ).is_visible():  # figures are kept for a moment
        page.wait_for_timeout(1000)
        page.reload()
    expect(page.locator('[data-state="scanned"]')).to_have_count(15)
    expect(page.get_by_text("The demo vulnerability database is in use")).to_be_visible()
    page.screenshot(path=pictures / "images.png")

    page.get_by_role("link", name=re.compile("gateway")).click()
    drawer = page.locator("#drawer")
    drawer.get_by_role("tab", name=re.compile("Viruses and trojans")).click()
    finding = drawer.get_by_text("opt/gateway/selftest/eicar.com").first
    expect(finding).to_be_visible()
    finding.click()
    expect(drawer.get_by_text(re.compile("COPY dir:9d1c0f")).first).to_be_visible()
    page.screenshot(path=pictures / "findings.png")
    page.close()

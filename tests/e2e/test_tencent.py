"""A key of Tencent Cloud from the form to the registries it finds."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from console.models import User
from registries import tasks
from registries.models import CloudDiscovery
from tests.fakes.tencent import SECRET_ID, SECRET_KEY, FakeInstance, FakeTencent


def test_a_key_is_added_and_its_registries_appear(page: Page, administrator: User) -> None:
    with FakeTencent(instances=(FakeInstance("tcr-acme", "acme", host="acme.tencentcloudcr.com"),)) as server:
        page.goto("/registries/")
        page.get_by_role("link", name="Tencent Cloud keys").click()
        page.get_by_role("link", name="Add key").first.click()
        page.get_by_label("Name", exact=True).fill("production")
        page.get_by_label("SecretId").fill("not a key")
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("only letters and digits")).to_be_visible()
        expect(page.get_by_label("Name", exact=True)).to_have_value("production")
        page.get_by_label("SecretId").fill(SECRET_ID)
        page.get_by_label("SecretKey").fill(SECRET_KEY)
        page.get_by_label("API endpoint").fill(server.url)
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_text("Discovering registries")).to_be_visible()
        tasks.discover(CloudDiscovery.objects.get().pk)
    page.reload()
    expect(page.get_by_text("1 TCR instance")).to_be_visible()
    page.goto("/registries/")
    expect(page.get_by_text("acme.tencentcloudcr.com").first).to_be_visible()

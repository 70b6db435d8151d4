"""The page "Image repository management", in a browser."""

from __future__ import annotations

import re

from django.utils import timezone
from playwright.sync_api import Page, expect

from console.jobs.models import State
from console.models import User
from registries.models import Registry, SyncRun


def lab() -> Registry:
    return Registry.objects.create(name="lab", address="https://registry.example.com")


def test_the_first_registry_is_added(page: Page, administrator: User) -> None:
    page.goto("/registries/")
    expect(page.get_by_role("heading", name="No registry yet")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Add image repository").last.click()
    page.get_by_label("Instance name").fill("lab")
    expect(page.get_by_text("This name is free")).to_be_visible()
    page.get_by_label("Address").fill("Registry.Example.com:5000/")
    page.get_by_label("Username").fill("robot")
    page.get_by_label("Password").fill("s3cret")
    page.get_by_label("Limit").select_option("20")
    page.get_by_label("Sync assets right after").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url("/registries/")
    expect(page.get_by_role("row").last).to_contain_text("https://registry.example.com:5000")
    expect(page.locator(".toast")).to_contain_text("“lab” was added.")
    registry = Registry.objects.get()
    assert (registry.limit, registry.reveal_password()) == (20, "s3cret")
    assert not SyncRun.objects.exists()


def test_wrong_input_is_told_beside_each_field_and_nothing_typed_is_lost(page: Page, administrator: User) -> None:
    lab()
    page.goto("/registries/add/")
    page.get_by_label("Instance name").fill("LAB")
    expect(page.get_by_text("“LAB” exists already.")).to_be_visible()
    page.get_by_label("Address").fill("http://robot:x@169.254.169.254")
    page.get_by_label("Password").fill("s3cret")
    page.get_by_label("Limit").select_option("50")
    page.get_by_label("Validate remote certificates").uncheck()
    page.get_by_label("Certificate bundle").fill("hello")
    page.get_by_label("Repositories").fill("Team/App:1")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("form").get_by_role("alert")).to_be_focused()
    expect(page.locator("form").get_by_role("alert")).to_contain_text("5 fields are not right yet")
    for label, message in [
        ("Instance name", "Another registry has this name."),
        ("Address", "Leave out user and password here"),
        ("Username", "A password needs the username"),
        ("Certificate bundle", "No certificate can be read."),
        ("Repositories", "“Team/App:1” is no repository."),
    ]:
        field = page.get_by_label(label)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(_containing(message))
    expect(page.get_by_label("Instance name")).to_have_value("LAB")
    expect(page.get_by_label("Address")).to_have_value("http://robot:x@169.254.169.254")
    expect(page.get_by_label("Password")).to_have_value("s3cret")
    expect(page.get_by_label("Limit")).to_have_value("50")
    expect(page.get_by_label("Validate remote certificates")).not_to_be_checked()
    expect(page.get_by_label("Repositories")).to_have_value("Team/App:1")

    page.get_by_label("Instance name").fill("other")
    page.get_by_label("Address").fill("https://other.example.com")
    page.get_by_label("Username").fill("robot")
    page.get_by_label("Certificate bundle").fill("")
    page.get_by_label("Repositories").fill("team/app")
    page.get_by_role("button", name="Save").click()
    expect(page).to_have_url("/registries/")
    assert Registry.objects.get(name="other").reveal_password() == "s3cret"


def _containing(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text))


def test_a_sync_is_seen_to_start_run_and_end_without_reloading(page: Page, administrator: User) -> None:
    registry = lab()
    page.goto("/registries/")
    page.evaluate("window.same = true")
    page.get_by_role("button", name="Sync assets: lab").click()
    cell = page.locator(f"#sync-{registry.pk}")
    expect(cell).to_contain_text("Waiting to sync")
    expect(page.locator(".toast")).to_contain_text("1 sync queued")
    SyncRun.objects.update(state=State.RUNNING, repositories=3, tags=41, progress_done=30, progress_total=100)
    expect(cell).to_contain_text("Syncing 30 %")
    expect(cell).to_contain_text("3 repositories, 41 tags")
    run = SyncRun.objects.get()
    SyncRun.objects.update(state=State.SUCCEEDED, tags_new=41, complete=True, ended_at=timezone.now())
    registry.record_sync(run)
    expect(cell).to_contain_text("41 new, 0 gone")
    expect(page.locator("[data-poll]")).to_have_count(0)
    expect(page.get_by_role("button", name="Sync assets: lab")).to_be_visible()
    assert page.evaluate("window.same") is True


def test_a_queued_sync_is_cancelled_from_its_row(page: Page, administrator: User) -> None:
    lab()
    page.goto("/registries/")
    page.get_by_role("button", name="Sync assets", exact=True).click()
    page.get_by_role("button", name="Cancel sync: lab").click()
    expect(page.get_by_role("button", name="Sync assets: lab")).to_be_visible()
    assert SyncRun.objects.get().state == State.CANCELLED


def test_polling_rests_while_nobody_looks(page: Page, administrator: User) -> None:
    SyncRun.objects.create(registry=lab(), state=State.RUNNING)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "progress" in request.url else None)
    page.clock.install()
    page.goto("/registries/")
    with page.expect_response("**/progress/"):
        page.clock.run_for(2500)
    page.evaluate(
        "Object.defineProperty(document, 'hidden', {value: true});document.dispatchEvent(new Event('visibilitychange'))"
    )
    before = len(asked)
    page.clock.run_for(60_000)
    assert len(asked) == before


def test_a_registry_is_deleted_only_with_its_name_typed(page: Page, administrator: User) -> None:
    registry = lab()
    page.goto("/registries/")
    page.get_by_role("button", name="More: lab").click()
    page.get_by_role("link", name="Delete").click()
    page.get_by_label("Type “lab” to confirm").fill("lob")
    page.get_by_role("button", name="Delete registry").click()
    expect(page.get_by_text("This is not the name. Nothing was deleted.")).to_be_visible()
    page.get_by_label("Type “lab” to confirm").fill("lab")
    page.get_by_role("button", name="Delete registry").click()
    expect(page.locator(".toast")).to_contain_text("“lab” was deleted.")
    assert not Registry.objects.filter(pk=registry.pk).exists()

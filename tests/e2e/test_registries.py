"""The page "Image repository management", in a browser."""

from __future__ import annotations

import json
import re

from django.test import Client
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from console.jobs.models import State
from console.models import User
from registries.models import Registry, SyncRun
from tests.fakes import images
from tests.fakes.registry import HTML, Challenge, DecoyServer, FakeRegistry, root


def lab() -> Registry:
    return Registry.objects.create(name="lab", address="https://registry.example.com")


def test_the_first_registry_is_added(page: Page, administrator: User) -> None:
    page.goto("/registries/")
    expect(page.get_by_role("heading", name="No registry yet")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="Add image repository").last.click()
    page.wait_for_url("**/add/")  # scripts have run: what is typed is heard
    page.get_by_label("Instance name").fill("lab")
    page.keyboard.press("Tab")
    expect(page.get_by_text("This name is free")).to_be_visible()
    page.get_by_label("Address").fill("Registry.Example.com:5000/")
    page.get_by_label("Username").fill("robot")
    page.get_by_label("Password").fill("s3cret")
    page.get_by_label("Limit").select_option("20")
    page.get_by_label("Sync assets right after").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page).to_have_url("/registries/")
    expect(page.get_by_role("row").last).to_contain_text("registry.example.com:5000")
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
    page.get_by_label(re.compile("^Repositories")).fill("team/app\nTeam App")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("form").get_by_role("alert")).to_be_focused()
    expect(page.locator("form").get_by_role("alert")).to_contain_text("5 fields are not right yet")
    for label, message in [
        ("Instance name", "Another registry has this name."),
        ("Address", "Leave out user and password here"),
        ("Username", "A password needs the username"),
        ("Certificate bundle", "No certificate can be read."),
        ("Repositories", "Line 2 of the repositories, “Team App”"),
    ]:
        field = page.get_by_label(re.compile(f"^{label}"))
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(_containing(message))
    expect(page.get_by_label("Instance name")).to_have_value("LAB")
    expect(page.get_by_label("Address")).to_have_value("http://robot:x@169.254.169.254")
    expect(page.get_by_label("Password")).to_have_value("s3cret")
    expect(page.get_by_label("Limit")).to_have_value("50")
    expect(page.get_by_label("Validate remote certificates")).not_to_be_checked()
    expect(page.get_by_label(re.compile("^Repositories"))).to_have_value("team/app\nTeam App")

    page.get_by_label("Instance name").fill("other")
    page.get_by_label("Address").fill("https://other.example.com")
    page.get_by_label("Username").fill("robot")
    page.get_by_label("Certificate bundle").fill("")
    page.get_by_label(re.compile("^Repositories")).fill("team/app")
    page.get_by_role("button", name="Save", exact=True).click()
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
    expect(cell).to_contain_text("41 tags in 3 repositories")
    expect(page.get_by_role("region", name="Running syncs")).to_contain_text("1 registry is syncing")
    expect(page.get_by_role("region", name="Running syncs")).to_contain_text("30 %")
    run = SyncRun.objects.get()
    SyncRun.objects.update(state=State.SUCCEEDED, tags_new=41, complete=True, ended_at=timezone.now())
    registry.record_sync(run)
    expect(cell).to_contain_text("41 new, 0 removed")
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
    with page.expect_response("**/progress/**"):
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
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("This is not “lab”. Nothing was deleted.")).to_be_visible()
    page.get_by_label("Type “lab” to confirm").fill("lab")
    page.get_by_role("button", name="Delete").click()
    expect(page.locator(".toast")).to_contain_text("“lab” is being deleted.")
    expect(page.get_by_role("status").filter(has_text="is being deleted").first).to_be_visible()
    assert not Registry.objects.present().filter(pk=registry.pk).exists()


def test_each_type_shows_its_own_fields_and_what_was_typed_stays(page: Page, administrator: User) -> None:
    page.goto("/registries/add/")
    page.get_by_label("Instance name").fill("cloud")
    page.get_by_label("Address").fill("https://hkccr.ccs.tencentyun.com")
    page.get_by_label("Password").fill("s3cret")
    page.get_by_label("Repository type").select_option("ccr")
    expect(page.get_by_label("SecretId")).to_be_visible()
    expect(page.get_by_label("SecretKey")).to_have_value("s3cret")  # typed before, and never sent back by the server
    expect(page.get_by_label("Registry password")).to_be_visible()
    expect(page.get_by_label("Instance name")).to_have_value("cloud")
    expect(page.get_by_role("region", name="Operation guide")).to_contain_text("TCR console → Personal edition")
    page.get_by_label("SecretId").fill("AKIDexample")
    page.get_by_label("Registry user").fill("100012345678")
    page.get_by_label("Registry password").fill("docker-s3cret")
    page.get_by_label("Repository type").select_option("harbor")
    expect(page.get_by_role("group", name="Version")).to_be_visible()
    expect(page.get_by_label("Registry password")).to_have_count(0)
    page.get_by_role("group", name="Version").get_by_text("V1").click()
    page.get_by_label("Repository type").select_option("ccr")
    page.get_by_label("Registry user").fill("100012345678")
    page.get_by_label("Registry password").fill("docker-s3cret")
    page.get_by_label("Sync assets right after").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page).to_have_url("/registries/")
    registry = Registry.objects.get()
    assert (registry.type, registry.version, registry.region) == ("ccr", "", "ap-hongkong")
    assert (registry.reveal_password(), registry.reveal_pull_password()) == ("s3cret", "docker-s3cret")


def test_without_scripts_a_type_is_chosen_by_a_button(browser: Browser, base_url: str, administrator: User) -> None:
    client = Client()
    client.force_login(administrator)
    with browser.new_context(java_script_enabled=False, base_url=base_url) as context:
        context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": base_url}])
        page = context.new_page()
        page.goto("/registries/add/")
        page.get_by_label("Instance name").fill("cloud")
        page.get_by_label("Repository type").select_option("aws")
        page.get_by_role("button", name="Show its fields").click()
        page.get_by_label("Address").fill("https://123456789012.dkr.ecr.eu-central-1.amazonaws.com")
        page.get_by_label("Access key ID").fill("AKIAEXAMPLE")
        page.get_by_label("Secret access key").fill("s3cret")
        page.get_by_label("Sync assets right after").uncheck()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.get_by_role("row").last).to_contain_text("eu-central-1")


def test_a_form_is_tested_live_before_it_is_saved(page: Page, administrator: User) -> None:
    with FakeRegistry(method="basic", users={"reader": "s3cret"}) as server:
        images.image({"a": b"1"}).put(server, "team/app", "1.0")
        page.goto("/registries/add/")
        page.get_by_role("button", name="Test connection").click()
        expect(page.get_by_label("Address")).to_have_accessible_description(_containing("Fill in “Address”."))
        page.get_by_label("Address").fill(server.url)
        page.get_by_label("Username").fill("reader")
        page.get_by_label("Password").fill("wrong")
        page.get_by_role("button", name="Test connection").click()
        steps = page.locator("#test li")
        expect(steps.filter(has_text="Credentials")).to_have_attribute("data-result", "failed")
        expect(steps.filter(has_text="Credentials")).to_contain_text("What to do")
        expect(steps.filter(has_text="One blob byte")).to_contain_text("not run")
        expect(page.locator("#test")).to_contain_text("Saving is possible")
        page.get_by_label("Password").fill("s3cret")
        page.get_by_role("button", name="Test connection").click()
        expect(steps.filter(has_text="One blob byte")).to_have_attribute("data-result", "passed")
        expect(steps.filter(has_text="Listing")).to_contain_text("team/app:1.0")
        expect(page.locator("#test[hx-get]")).to_have_count(0)
        expect(page.get_by_label("Password")).to_have_value("s3cret")
    assert not Registry.objects.exists()


def test_a_stored_registry_is_tested_in_its_drawer_and_the_list_shows_it(page: Page, administrator: User) -> None:
    with FakeRegistry() as server:
        registry = Registry.objects.create(name="lab", address=server.url)
        page.goto("/registries/")
        page.get_by_role("link", name="lab").click()
        drawer = page.get_by_role("dialog")
        expect(page).to_have_url(f"/registries/{registry.pk}/?list=/registries/")
        drawer.get_by_role("button", name="Test connection").click()
        expect(drawer.locator("#test li").filter(has_text="Listing")).to_contain_text("shows no repository")
        expect(drawer).to_contain_text("All steps are done.")
        page.keyboard.press("Escape")
        expect(page).to_have_url("/registries/")
        expect(page.locator(f"#connection-{registry.pk}")).to_contain_text("Connected")
        server.fail(root, HTML)
        page.goto(f"/registries/{registry.pk}/")
        page.get_by_role("button", name="Test again").click()
        expect(page.locator("#test li").filter(has_text="Registry API")).to_have_attribute("data-result", "failed")


def test_chosen_registries_are_synced_and_deleted_together(page: Page, administrator: User) -> None:
    for name in ("one", "two", "three"):
        Registry.objects.create(name=name, address="https://registry.example.com")
    page.goto("/registries/")
    page.get_by_role("checkbox", name="Select one").check()
    page.get_by_role("checkbox", name="Select two").check()
    bar = page.get_by_role("region", name="Selection")
    bar.get_by_role("button", name="Sync assets").click()
    expect(page.locator(".toast")).to_contain_text("2 syncs queued")
    assert {run.registry.name for run in SyncRun.objects.all()} == {"one", "two"}
    expect(page.get_by_role("region", name="Running syncs")).to_contain_text("2 queued")
    page.get_by_role("button", name="Cancel all syncs").click()
    expect(page.get_by_role("region", name="Running syncs")).to_have_count(0)
    bar.get_by_role("button", name="Delete").click()
    page.get_by_label("Type “2 registries” to confirm").fill("2 registries")
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("row")).to_have_count(2)
    assert [registry.name for registry in Registry.objects.present()] == ["three"]


def test_filters_and_columns_work_as_in_every_list(page: Page, administrator: User) -> None:
    Registry.objects.create(name="lab", address="https://registry.example.com")
    Registry.objects.create(name="harbor", type="harbor", version="v2", address="https://harbor.example.com")
    page.goto("/registries/")
    page.get_by_role("button", name="Repository type").click()
    page.get_by_role("checkbox", name="Harbor", exact=True).check()
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page).to_have_url("/registries/?type=harbor")
    page.reload()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="Custom list management").click()
    page.get_by_role("checkbox", name="Region").check()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("columnheader", name="Region")).to_be_visible()


def test_the_guide_of_each_type_opens_beside_the_list(page: Page, administrator: User) -> None:
    page.goto("/registries/")
    page.get_by_role("link", name="Operation guide").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Robot Accounts")
    dialog.get_by_role("link", name="AWS").click()
    expect(dialog).to_contain_text("ecr:GetAuthorizationToken")
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)


def test_records_say_why_a_sync_failed(page: Page, administrator: User) -> None:
    registry = lab()
    SyncRun.objects.create(registry=registry, state=State.FAILED, reason="It said no.", remedy="Ask again.")
    SyncRun.objects.create(registry=registry, state=State.SUCCEEDED, complete=True)
    page.goto(f"/registries/syncs/?registry={registry.pk}&result=failed")
    expect(page.get_by_text("It said no.")).not_to_be_visible()
    page.get_by_role("button", name="Reason and remedy").click()
    expect(page.get_by_text("It said no.")).to_be_visible()
    expect(page.get_by_text("Ask again.")).to_be_visible()


def test_a_token_service_on_another_host_is_offered_and_allowed_by_name(page: Page, administrator: User) -> None:
    with DecoyServer() as service, FakeRegistry(method="bearer", users={"ada": "right"}) as server:
        images.image({"a": b"1"}).put(server, "app", "1")
        token = server.sign_in.issue("ada", ["repository:app:pull", "registry:catalog:*"])
        service._answer = (200, json.dumps({"token": token}).encode())
        realm = service.url.replace("127.0.0.1", "localhost")
        server.fail(
            lambda request: root(request) and "Authorization" not in request.headers,
            Challenge(f'Bearer realm="{realm}/token",service="x"'),
        )
        page.goto("/registries/add/")
        page.get_by_label("Instance name").fill("lab")
        page.get_by_label("Address").fill(server.url)
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill("right")
        page.get_by_role("button", name="Test connection").click()
        expect(page.locator("#test")).to_contain_text("requests that the password be sent to another host, localhost")
        assert service.seen == []
        page.get_by_role("button", name="Allow localhost as its token service").click()
        expect(page.get_by_label("Token service")).to_have_value("localhost")
        expect(page.get_by_label("Password")).to_have_value("right")
        expect(page.get_by_label("Instance name")).to_have_value("lab")
        page.get_by_role("button", name="Test connection").click()
        expect(page.locator("#test")).to_contain_text("All steps are done.")
        page.get_by_label("Sync assets right after").uncheck()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page).to_have_url("/registries/")
        assert Registry.objects.get().token_service == "localhost"

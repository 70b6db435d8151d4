"""Scheduled scan settings in a browser: a schedule is made, switched off, edited, run now and deleted."""

from __future__ import annotations

import io
import itertools
import re
from datetime import date, time, timedelta

import pytest
from django.utils import timezone
from django_q.models import Schedule
from openpyxl import load_workbook
from playwright.sync_api import Page, expect

from console.models import User
from inventory.models import Tag
from scanning.models import Scan, ScanRun, ScanSchedule, ScanScope, ScheduleRun
from scanning.schedules import scheduler
from tests import factories
from tests.e2e.judge import LOADED_SCRIPT


@pytest.fixture
def tags(administrator: User) -> list[Tag]:
    registry = factories.registry(name="lab")
    return [factories.tag(f"v{index}", path="team/app", in_=registry) for index in range(6)]


@pytest.fixture
def nightly(tags: list[Tag]) -> ScanSchedule:
    made = ScanSchedule(
        name="Nightly", at=time(1), starts_on=date(2026, 1, 1), scope=ScanScope.ALL, categories=["malware"]
    )
    scheduler.save(made)
    return made


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_load_state()  # of what comes in its place: before, no script selects a range


def test_a_schedule_of_specified_images_in_a_time_range_is_made(page: Page, tags: list[Tag]) -> None:
    page.goto("/scans/schedules/")
    expect(page.locator("main")).to_contain_text("No schedule yet")
    page.get_by_role("main").get_by_role("link", name="Add schedule").first.click()
    save(page)
    expect(page.locator(".schedule-form [role=alert]").first).to_contain_text("One field is not right yet")
    page.get_by_label("Name").fill("Payments")
    page.locator(".seg").get_by_text("Every 7 days").click()
    expect(page.get_by_label("To", exact=True)).to_be_hidden()
    page.get_by_role("checkbox", name="Only in a time range of the day").check()
    page.get_by_label("From", exact=True).fill("22:00")
    page.get_by_label("To", exact=True).fill("04:30")
    page.get_by_role("checkbox", name="Sensitive data").uncheck()
    page.locator(".seg").get_by_text("Specified images").click()
    save(page)
    expect(page.locator("main")).to_contain_text("Choose at least one image")
    expect(page.get_by_label("Name")).to_have_value("Payments")
    boxes = page.locator("#pick-left input[data-row]")
    boxes.nth(1).check()
    boxes.nth(3).click(modifiers=["Shift"])
    page.get_by_role("button", name="Move marked images right").click()
    expect(page.locator("#pick-right header .n")).to_have_text("3")
    save(page)
    expect(page.locator(".toast")).to_contain_text("The schedule “Payments” is saved.")
    made = ScanSchedule.objects.get()
    assert (made.every_days, made.at, made.until) == (7, time(22), time(4, 30))
    assert (made.categories, set(made.chosen.all())) == (["vulnerabilities", "malware"], set(tags[1:4]))
    expect(page.locator(".schedules [aria-current]")).to_contain_text("Every 7 days, 22:00–04:30")
    expect(page.locator(".schedule-form footer time")).to_have_count(3)
    assert Schedule.objects.get(pk=made.queue_row).next_run == made.next_due_at


def test_a_schedule_is_edited_and_switched_off_and_on(page: Page, nightly: ScanSchedule) -> None:
    page.goto("/scans/schedules/")
    page.locator("#list tbody").get_by_role("link", name="Nightly").click()
    page.get_by_label("Name").fill("Every night")
    page.get_by_label("Timeout in minutes").fill("12")
    page.get_by_role("switch", name="On").uncheck()
    save(page)
    expect(page.locator(".schedules")).to_contain_text("Every night")
    expect(page.locator(".schedules")).to_contain_text("No next run")
    expect(page.locator(".schedules .tag")).to_have_text("Off")
    assert not Schedule.objects.filter(func=scheduler.FIRE_TASK).exists()
    assert ScanSchedule.objects.get().timeout == 720
    expect(page.locator(".toast")).to_contain_text("The schedule “Every night” is saved and off.")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator(".schedules .tag")).to_have_text("On")
    assert Schedule.objects.filter(func=scheduler.FIRE_TASK).count() == 1


def test_a_schedule_is_run_now_and_says_how_it_went(page: Page, nightly: ScanSchedule) -> None:
    now = timezone.now()
    ScheduleRun.objects.create(schedule=nightly, due_at=now - timedelta(days=1), outcome=ScheduleRun.Outcome.OVERLAP)
    page.goto("/scans/schedules/")
    page.locator("#list tbody").get_by_role("link", name="Nightly").click()
    expect(page.locator(".told")).to_contain_text("Skipped: the previous run was still in progress")
    page.get_by_role("button", name="Run now").click()
    expect(page.locator(".toast")).to_contain_text("The scan has started")
    run = ScanRun.objects.get()
    assert (run.schedule, run.scope, run.categories) == (nightly, ScanScope.ALL, ["malware"])
    page.get_by_role("main").get_by_role("link", name="Scan runs").click()
    page.get_by_role("link", name="Clear all").click()
    expect(page.locator("#list tbody")).to_contain_text("All images")


def test_a_schedule_is_deleted_after_a_question_and_its_runs_stay(page: Page, nightly: ScanSchedule) -> None:
    scheduler.run_due(nightly.pk, now=nightly.next_due_at)
    page.goto("/scans/schedules/")
    page.locator("#list tbody").get_by_role("link", name="Nightly").click()
    page.get_by_role("link", name="Delete schedule").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Delete “Nightly”?")
    page.get_by_role("link", name="Cancel").click()
    expect(page).to_have_url(re.compile(rf"/scans/schedules/{nightly.pk}/$"))
    page.get_by_role("link", name="Delete schedule").click()
    page.get_by_role("button", name="Delete schedule").click()
    expect(page.locator(".toast")).to_contain_text("The schedule “Nightly” is deleted.")
    expect(page.locator("main")).to_contain_text("No schedule yet")
    assert not Schedule.objects.filter(func=scheduler.FIRE_TASK).exists()
    assert ScanRun.objects.count() == 1
    page.locator(".toast").get_by_role("button", name="Undo").click()
    expect(page.locator("#list tbody")).to_contain_text("Nightly")
    assert ScanSchedule.objects.get().runs.count() == 1


def test_schedules_are_found_narrowed_and_exported(page: Page, nightly: ScanSchedule) -> None:
    other = ScanSchedule.objects.get(pk=nightly.pk)
    other.pk, other.name, other.is_on, other.every_days, other.next_due_at = None, "Weekly", False, 7, None
    other.save()
    page.goto("/scans/schedules/")
    expect(page.locator("#list tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Frequency").click()
    page.get_by_label("Every 7 days").check()
    expect(page.locator("#list tbody tr")).to_have_count(1)
    expect(page).to_have_url(re.compile(r"every=7"))
    expect(page.locator("#list tbody")).to_contain_text("Off")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").first.click()
    sheet = load_workbook(io.BytesIO(download.value.path().read_bytes())).worksheets[0]
    rows = list(sheet.iter_rows(values_only=True))
    assert rows[0][:3] == ("Name", "On/Off", "Frequency")
    assert [row[:3] for row in rows[1:]] == [("Weekly", "Off", f"Every 7 days, {nightly.at:%H:%M}")]


def test_pages_about_scans_do_not_scroll_sideways_on_a_phone(page: Page, nightly: ScanSchedule) -> None:
    scheduler.run_due(nightly.pk, now=nightly.next_due_at)
    Scan.objects.all().delete()
    run = ScanRun.objects.get()
    ScanRun.objects.update(
        skipped={"The image behind this tag could not be read; sync its registry first": 3},
        failures=[{"reason": "A long reason " * 9, "remedy": "a-word-without-any-space" * 4, "scans": 1200}],
        finished_at=timezone.now(),
        failed=1200,
        state="succeeded",
    )
    paths = ("settings/", "settings/?scope=chosen", "settings/quota/", "runs/", f"runs/{run.pk}/")
    for path in (*paths, f"schedules/{nightly.pk}/", "schedules/add/", f"schedules/{nightly.pk}/delete/"):
        page.goto(f"/scans/{path}")
        page.wait_for_function(LOADED_SCRIPT)
        for scheme, width in itertools.product(("light", "dark"), (320, 390)):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_viewport_size({"width": width, "height": 760})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, scheme)

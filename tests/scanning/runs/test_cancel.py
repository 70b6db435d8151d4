"""A scan that two runs want: cancelling one run leaves it to the other, cancelling the scan ends it for both."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.db.models import F
from django.test import Client
from django.urls import reverse

from console import visibility
from console.jobs import broker
from console.jobs.models import Priority, State
from console.jobs.state import advance
from console.models import AuditEvent
from inventory.models import Tag
from scanning import tasks
from scanning.models import Scan, ScanRun, ScanScope, ScanSubscription
from scanning.runs import cancel as runs_cancel
from scanning.runs import enqueue
from scanning.runs import start as runs_start
from scanning.runs.cancel import cancel_run
from scanning.runs.shared_scans import CancelResult
from scanning.runs.start import start_run
from scanning.runs.tables import result_of
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)
SKIPPED, PASSED_ON = "Already scanning", "Cancelled here; the scan continues for another run"


def run_of(*tags: Tag, **values: Any) -> ScanRun:
    return start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags], **values)


def counted(run: ScanRun) -> tuple[int, int, dict[str, int], bool]:
    run.refresh_from_db()
    return run.images, run.tags, run.skipped, run.is_over


def test_a_waiting_scan_goes_on_for_the_run_that_has_joined_it_and_for_what_that_wants() -> None:
    shared, own = factories.tag("shared"), factories.tag("own")
    twin = factories.tag("twin", of=shared.image)
    first = run_of(shared, twin, own, categories=["malware"])
    scan = Scan.objects.get(image=shared.image)
    second = run_of(
        shared, categories=["sensitive"], trigger=ScanRun.Trigger.SCHEDULE, timeout=77, requested_by=person("operator")
    )
    scan.refresh_from_db()
    assert (scan.run, scan.categories, scan.priority) == (first, ["sensitive", "malware"], Priority.MANUAL)
    assert counted(second) == (0, 0, {SKIPPED: 1}, True)
    assert cancel_run(first) == CancelResult(cancelled=1, passed_on=1)
    scan.refresh_from_db()
    assert (scan.state, scan.run, scan.requested_by) == (State.QUEUED, second, second.requested_by)
    assert (scan.categories, scan.priority, scan.timeout) == (["sensitive"], Priority.SCHEDULE, 77)
    assert counted(first) == (1, 1, {PASSED_ON: 2}, True)
    assert (first.cancelled, result_of(first)) == (1, "cancelled")
    assert counted(second) == (1, 1, {}, False)
    assert (advance(scan, State.RUNNING), advance(scan, State.SUCCEEDED)) == (True, True)
    assert counted(second) == (1, 1, {}, True)
    assert (second.succeeded, result_of(second)) == (1, "done")


def test_a_scan_that_goes_on_keeps_its_place_among_those_of_the_runs_that_are_left() -> None:
    """A manual run of many images scans the first of them before those of others, and the rest behind."""
    tags = [factories.tag(f"v{index}") for index in range(enqueue.PROMPT_IMAGES + 1)]
    first, last = tags[0], tags[-1]
    start_run(scope=ScanScope.ALL, categories=["malware"])
    large = ScanRun.objects.latest("pk")
    tasks.run(large.pk)
    scans = {tag: Scan.objects.get(image=tag.image) for tag in (first, last)}
    assert {tag.name: scan.priority for tag, scan in scans.items()} == {
        first.name: Priority.MANUAL,
        last.name: Priority.BULK,
    }
    for trigger in (ScanRun.Trigger.SCHEDULE, ScanRun.Trigger.EVENT, ScanRun.Trigger.MANUAL):
        run_of(first, last, trigger=trigger)

    def lanes() -> list[int]:
        for scan in scans.values():
            scan.refresh_from_db()
        return [scan.priority for scan in scans.values()]

    by_schedule, by_event, by_hand = ScanRun.objects.order_by("pk")[1:]
    assert lanes() == [Priority.MANUAL, Priority.MANUAL], "the small run by hand has pulled the other one forward"
    assert cancel_run(large).passed_on == 2
    assert lanes() == [Priority.MANUAL, Priority.MANUAL], "it is wanted by hand still"
    assert cancel_run(by_hand).passed_on == 0
    assert lanes() == [Priority.EVENT, Priority.EVENT], "the earliest of those that are left"
    assert cancel_run(by_event).passed_on == 0
    assert lanes() == [Priority.SCHEDULE, Priority.SCHEDULE]
    assert by_schedule.scans.filter(state=State.QUEUED).count() == 2


def test_a_scan_behind_the_first_of_two_large_runs_stays_there_when_one_is_cancelled() -> None:
    own = [[factories.tag(f"{name}{index}") for index in range(enqueue.PROMPT_IMAGES)] for name in "ab"]
    shared = factories.tag("shared")
    first, second = (run_of(*tags, shared) for tags in own)
    scan = Scan.objects.get(image=shared.image)
    assert (scan.run, scan.priority) == (first, Priority.BULK)
    assert cancel_run(first) == CancelResult(cancelled=enqueue.PROMPT_IMAGES, passed_on=1)
    scan.refresh_from_db()
    assert (scan.run, scan.priority) == (second, Priority.BULK)


def test_a_running_scan_goes_on_as_it_is_until_no_run_wants_it() -> None:
    tag = factories.tag()
    first = run_of(tag)
    scan = first.scans.get()
    advance(scan, State.RUNNING)
    second, third = run_of(tag, categories=["malware"]), run_of(tag)
    assert cancel_run(first) == CancelResult(passed_on=1)
    first.refresh_from_db()
    assert (first.is_over, result_of(first), first.images) == (True, "cancelled", 0)
    assert cancel_run(second) == CancelResult(passed_on=1)
    scan.refresh_from_db()
    assert (scan.run, scan.cancel_requested_at, len(scan.categories)) == (third, None, 3)
    assert cancel_run(third) == CancelResult(cancelled=1)
    scan.refresh_from_db()
    assert scan.cancel_requested_at is not None
    assert run_of(tag).skipped == {"Its scan is being cancelled; scan it again afterwards": 1}
    assert not ScanSubscription.objects.exists()


def test_a_run_that_leaves_a_scan_of_another_takes_its_wishes_with_it() -> None:
    shared, own = factories.tag("shared"), factories.tag("own")
    first = run_of(shared, categories=["malware"], trigger=ScanRun.Trigger.SCHEDULE)
    second = run_of(shared, own, categories=["sensitive"])
    assert cancel_run(second) == CancelResult(cancelled=1)
    scan = first.scans.get()
    assert (scan.state, scan.categories, scan.priority) == (State.QUEUED, ["malware"], Priority.SCHEDULE)
    assert cancel_run(first) == CancelResult(cancelled=1)
    scan.refresh_from_db()
    assert scan.state == State.CANCELLED


def test_a_scan_that_is_wanted_by_a_run_that_still_queues_is_counted_by_that_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs_start, "BATCH_TAGS", 1)
    tags = [factories.tag(f"v{index}") for index in range(3)]
    first = run_of(tags[0])
    second, real = start_run(scope=ScanScope.ALL), runs_start._queue_batch

    def meanwhile(job: Any, ids: Sequence[int]) -> None:
        real(job, ids)
        if list(ids) == [tags[0].pk]:
            assert cancel_run(first) == CancelResult(passed_on=1)

    monkeypatch.setattr(runs_start, "_queue_batch", meanwhile)
    tasks.run(second.pk)
    assert counted(second) == (3, 3, {}, False)
    assert second.scans.count() == 3
    assert cancel_run(second) == CancelResult(cancelled=3)
    assert counted(second) == (3, 3, {}, True)


def test_two_runs_that_join_each_other_and_are_cancelled_at_the_same_moment_leave_nothing() -> None:
    a, b = factories.tag("a"), factories.tag("b")
    first, second = run_of(a, categories=["malware"]), run_of(b, categories=["malware"])
    third = run_of(a, b)
    Scan.objects.filter(run=first).update(run=third)  # as if a fourth had been there before
    for run, more in ((first, -1), (third, 1)):
        ScanRun.objects.filter(pk=run.pk).update(images=F("images") + more)
        run.refresh_from_db()
    ScanSubscription.objects.create(run=second, scan=third.scans.get())
    left: list[CancelResult] = []

    failed: list[Exception] = []

    def cancel(run: ScanRun) -> None:
        try:
            left.append(cancel_run(run))
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=visibility.carried(cancel), args=(run,)) for run in (second, third)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(left) == 2
    assert set(Scan.objects.values_list("state", flat=True)) == {State.CANCELLED}
    assert all(run.is_over for run in ScanRun.objects.filter(pk__in=[second.pk, third.pk]))


def test_what_is_kept_of_joining_goes_when_the_scan_has_ended() -> None:
    tag = factories.tag()
    first, _second = run_of(tag), run_of(tag)
    broker.request_cancel(first.scans.get())
    runs_cancel.tick()
    assert not ScanSubscription.objects.exists()


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    return client


def told(response: Any) -> str:
    return str([str(message) for message in get_messages(response.wsgi_request)][-1])


def test_the_answer_to_a_cancelled_run_says_what_goes_on_and_that_to_a_cancelled_scan_who_wanted_it(
    operator: Client,
) -> None:
    tag, other = factories.tag(), factories.tag()
    first, second, third = run_of(tag, other), run_of(tag), run_of(tag)
    response = operator.post(reverse("scanning:run-cancel", args=[first.pk]))
    assert told(response) == "1 scan is being cancelled, 1 continues for another run"
    assert AuditEvent.objects.get(action="run.cancel").detail == {"scans": 1, "passed_on": 1}
    page = operator.get(reverse("scanning:run", args=[first.pk])).content.decode()
    assert PASSED_ON in page
    response = operator.post(reverse("scanning:cancel"), {"ids": [tag.pk]})
    assert told(response) == "1 scan is being cancelled; 2 runs share it"
    assert [row.counts()["cancelled"] for row in ScanRun.objects.order_by("pk")] == [1, 1, 0]
    assert {run.is_over for run in ScanRun.objects.all()} == {True}
    assert ScanRun.objects.get(pk=third.pk).skipped == {SKIPPED: 1}
    assert ScanRun.objects.get(pk=second.pk).images == 1

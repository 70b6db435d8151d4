"""Scan runs: what is queued, at once or by the job, what is skipped and why, cancel, and when a run is over."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.jobs import broker
from console.jobs.models import Priority, State
from console.jobs.state import advance, cancel_queued
from console.models import JobEvent
from inventory.models import Image, Manifest, Tag
from scanning import tasks
from scanning.models import Scan, ScanRun, ScanScope
from scanning.runs import cancel as runs_cancel
from scanning.runs import monthly_quota
from scanning.runs import start as runs_start
from scanning.runs.shared_scans import CancelResult
from scanning.runs.start import scan_now, start_run
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two tags count as few, and a batch of the job has two."""
    monkeypatch.setattr(runs_start, "MAX_TAGS_IN_REQUEST", 2)
    monkeypatch.setattr(runs_start, "BATCH_TAGS", 2)
    monkeypatch.setattr(runs_start, "CHUNK_TAGS", 3)


def end(scan: Scan, to: State = State.SUCCEEDED, **values: str) -> None:
    """Let ``scan`` run and end."""
    assert advance(scan, State.RUNNING, expect=State.QUEUED)
    assert advance(scan, to, **values)


def work_off(run: ScanRun) -> ScanRun:
    tasks.run(run.pk)
    run.refresh_from_db()
    return run


def test_few_chosen_images_are_queued_at_once() -> None:
    tags = [factories.tag(), factories.tag()]
    run = start_run(
        scope=ScanScope.CHOSEN, tag_ids=[*(tag.pk for tag in tags), 10**9], categories=["malware"], timeout=60
    )
    run.refresh_from_db()
    assert (run.state, run.tags, run.images, run.skipped) == (State.SUCCEEDED, 2, 2, {})
    assert {scan.tag for scan in run.scans.all()} == set(tags)
    assert {(scan.timeout, tuple(scan.categories), scan.priority) for scan in run.scans.all()} == {
        (60, ("malware",), Priority.MANUAL)
    }
    assert set(run.chosen.all()) == set(tags)
    assert not run.is_over


def test_the_lane_is_that_of_the_trigger() -> None:
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[factories.tag().pk], trigger=ScanRun.Trigger.SCHEDULE)
    assert run.scans.get().priority == Priority.SCHEDULE


def test_a_run_without_a_category_is_refused() -> None:
    with pytest.raises(ValueError, match="category"):
        start_run(scope=ScanScope.ALL, categories=["nonsense"])
    assert not ScanRun.objects.exists()


def test_many_chosen_images_are_queued_by_the_job_in_batches(few_at_once: None) -> None:
    shared = factories.image()
    tags = [factories.tag(f"v{index}") for index in range(5)]
    tags += [factories.tag("a", of=shared), factories.tag("b", of=shared)]
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=(tag.pk for tag in tags))
    assert run.state == State.QUEUED
    assert not Scan.objects.exists()
    work_off(run)
    assert (run.state, run.tags, run.images) == (State.SUCCEEDED, 7, 6)
    assert Scan.objects.count() == 6


def test_all_images_means_every_tag(few_at_once: None) -> None:
    for index in range(5):
        factories.tag(f"v{index}")
    assert work_off(start_run(scope=ScanScope.ALL)).images == 5


def test_recommended_images_count_all_tags_of_an_image_that_is_no_more_recommended_once_queued(
    few_at_once: None,
) -> None:
    failed = factories.image(scan_state="failed", last_scanned_at=timezone.now())
    for index in range(7):
        factories.tag(f"v{index}", of=failed)
    factories.tag("fine", of=factories.image(**factories.scanned()))
    run = work_off(start_run(scope=ScanScope.RECOMMENDED))
    assert (run.tags, run.images, run.skipped) == (7, 1, {})


def test_an_interrupted_job_goes_on_where_it_was(few_at_once: None, monkeypatch: pytest.MonkeyPatch) -> None:
    tags = [factories.tag(f"v{index}") for index in range(6)]
    run = start_run(scope=ScanScope.ALL)
    calls = []

    def stop_at_the_second(run: ScanRun, tag_ids: list[int]) -> object:
        calls.append(tag_ids)
        if len(calls) == 2:
            raise MemoryError
        return queue_scans(run, tag_ids)

    from scanning.runs.enqueue import queue_scans

    with monkeypatch.context() as patch:
        patch.setattr(runs_start, "queue_scans", stop_at_the_second)
        tasks.run(run.pk)
    run.refresh_from_db()
    assert (run.state, run.images, run.cursor) == (State.FAILED, 2, tags[1].pk)
    ScanRun.objects.filter(pk=run.pk).update(state=State.QUEUED, finished_at=None)  # as the reaper would
    end(Scan.objects.first())  # an image scanned meanwhile is not scanned again
    work_off(run)
    assert (run.state, run.tags, run.images, run.skipped) == (State.SUCCEEDED, 6, 6, {})
    assert Scan.objects.count() == 6


def test_what_is_skipped_is_counted_by_reason() -> None:
    busy, fine, unreadable = factories.tag("busy"), factories.tag("fine"), factories.tag("unreadable")
    Manifest.objects.filter(pk=unreadable.manifest_id).update(kind=Manifest.Kind.UNREADABLE)
    start_run(scope=ScanScope.CHOSEN, tag_ids=[busy.pk])
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[busy.pk, fine.pk, unreadable.pk])
    assert run.images == 1
    assert run.skipped == {
        "Already scanning": 1,
        "The image behind this tag could not be read; sync its registry first": 1,
    }


def test_what_waits_for_another_run_is_looked_at_for_this_one_too_and_no_later() -> None:
    tag = factories.tag()
    first = start_run(
        scope=ScanScope.CHOSEN, tag_ids=[tag.pk], categories=["malware"], trigger=ScanRun.Trigger.SCHEDULE
    )
    later = timezone.now() + timedelta(hours=1)
    Scan.objects.update(not_before=later, reason="Waiting for the time range of Nightly.")
    again = start_run(
        scope=ScanScope.CHOSEN, tag_ids=[tag.pk], categories=["malware"], trigger=ScanRun.Trigger.SCHEDULE
    )
    assert (again.images, Scan.objects.get().not_before) == (0, later)
    by_hand = start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk], categories=["vulnerabilities"])
    assert by_hand.skipped == {"Already scanning": 1}
    scan = Scan.objects.get()
    assert (scan.run, scan.priority, scan.categories) == (first, Priority.MANUAL, ["vulnerabilities", "malware"])
    assert (scan.not_before, scan.reason, scan.image.scan_reason) == (None, "", "")


def test_what_is_being_scanned_for_something_else_is_told() -> None:
    tag = factories.tag()
    start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk], categories=["malware"])
    assert advance(Scan.objects.get(), State.RUNNING)
    assert start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk], categories=["malware"]).skipped == {
        "Already scanning": 1
    }
    other = start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk], categories=["malware", "sensitive"])
    assert other.skipped == {"Being scanned for other risk categories; scan it again afterwards": 1}
    assert Scan.objects.get().categories == ["malware"]


def test_a_run_is_over_when_its_last_scan_has_ended_and_keeps_what_came_of_it() -> None:
    tags = [factories.tag(f"v{index}") for index in range(4)]
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags])
    first, second, third, last = run.scans.order_by("pk")
    end(first)
    end(second, State.FAILED, reason="The registry is gone.", remedy="Wait.")
    end(third, State.FAILED, reason="The registry is gone.", remedy="Wait.")
    run.refresh_from_db()
    assert not run.is_over
    assert run.counts()["queued"] == 1
    assert run.current_failures() == [{"reason": "The registry is gone.", "remedy": "Wait.", "scans": 2}]
    broker.request_cancel(last)
    run.refresh_from_db()
    assert run.is_over
    assert (run.succeeded, run.failed, run.cancelled) == (1, 2, 1)
    Image.objects.filter(pk=first.image_id).update(scan_state="not-scanned")
    Scan.objects.all().delete()
    assert run.counts()["succeeded"] == 1
    assert run.current_failures()[0]["scans"] == 2


def test_a_run_that_queued_nothing_is_over_at_once() -> None:
    assert ScanRun.objects.get(pk=start_run(scope=ScanScope.CHOSEN).pk).is_over


def test_the_tick_closes_a_run_whose_last_scans_missed_each_other() -> None:
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[factories.tag().pk])
    Scan.objects.update(state=State.SUCCEEDED, ended_at=timezone.now())
    runs_cancel.tick()
    run.refresh_from_db()
    assert (run.is_over, run.succeeded) == (True, 1)


def test_cancelling_a_run_ends_its_queued_scans_at_once_and_asks_the_running_ones() -> None:
    tags = [factories.tag(f"v{index}") for index in range(3)]
    other = start_run(scope=ScanScope.CHOSEN, tag_ids=[factories.tag("other").pk])
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags])
    running = run.scans.order_by("pk").first()
    advance(running, State.RUNNING)
    assert runs_cancel.cancel_run(run) == CancelResult(cancelled=3)
    running.refresh_from_db()
    assert running.cancel_requested_at is not None
    assert run.scans.filter(state=State.CANCELLED).count() == 2
    assert set(Image.objects.filter(scan_state="cancelled")) == {tag.image for tag in tags[1:]}
    assert other.scans.get().state == State.QUEUED
    assert JobEvent.objects.filter(kind="scan", to_state=State.CANCELLED).count() == 2


def test_a_run_cancelled_while_it_queues_leaves_no_scan_behind(
    few_at_once: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(6):
        factories.tag(f"v{index}")
    run = start_run(scope=ScanScope.ALL)
    real = runs_start._queue_batch

    def cancelled_after_the_first(job: object, ids: list[int]) -> None:
        real(job, ids)  # type: ignore[arg-type]
        job.lease.cancelled = True  # type: ignore[attr-defined]

    monkeypatch.setattr(runs_start, "_queue_batch", cancelled_after_the_first)
    work_off(run)
    assert run.state == State.CANCELLED
    assert run.is_over
    assert set(run.scans.values_list("state", flat=True)) == {State.CANCELLED}


def test_thousands_of_queued_scans_are_cancelled_in_a_handful_of_queries_a_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = []
    for number in (3, 30):
        tags = [factories.tag(f"v{index}") for index in range(number)]
        start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags])
        with CaptureQueriesContext(connection) as queries:
            assert cancel_queued(Scan.objects.all()) == number
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_scan_that_is_put_back_while_all_are_cancelled_is_cancelled_too(monkeypatch: pytest.MonkeyPatch) -> None:
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[factories.tag("a").pk, factories.tag("b").pk])
    back, taken = run.scans.order_by("pk")
    assert advance(back, State.RUNNING)

    def meanwhile(scans: QuerySet[Scan]) -> int:
        assert advance(taken, State.RUNNING)  # before its look …
        count = cancel_queued(scans)
        assert advance(back, State.QUEUED)  # … and after it
        return count

    monkeypatch.setattr(runs_cancel, "cancel_queued", meanwhile)
    assert runs_cancel.cancel_scans(run.scans.all()) == 2
    back.refresh_from_db()
    taken.refresh_from_db()
    assert (back.state, taken.cancel_requested_at is not None) == (State.CANCELLED, True)


def test_row_actions_go_through_a_run() -> None:
    tag = factories.tag()
    result = scan_now(tag_ids=[tag.pk], requested_by=None)
    assert [scan.run for scan in result.queued] == [result.run]


# --- quota -----------------------------------------------------------------------------------------------------------


def scanned_at(at: object, state: State = State.SUCCEEDED) -> Scan:
    tag = factories.tag()
    assert tag.image
    return Scan.objects.create(
        image=tag.image, tag=tag, manifest_digest=tag.digest, address=str(tag), state=state, started_at=at
    )


def test_the_quota_counts_what_started_in_this_month_of_the_console_and_what_waits(settings: object) -> None:
    settings.TIME_ZONE = "Europe/Berlin"  # type: ignore[attr-defined]
    now = timezone.datetime.fromisoformat("2026-03-31T22:30:00+00:00")  # 00:30 on 1 April in Berlin
    monthly_quota.set_limit(10)
    scanned_at(now - timedelta(minutes=40))  # still March there
    scanned_at(now - timedelta(minutes=10))
    scanned_at(None, State.CANCELLED)
    scanned_at(None, State.QUEUED)
    found = monthly_quota.read_quota(now=now)
    assert found == monthly_quota.ScanQuota(limit=10, used=2)
    assert found.left == 8


def test_a_scan_that_has_begun_and_waits_again_counts_once_for_the_quota() -> None:
    monthly_quota.set_limit(10)
    scanned_at(timezone.now(), State.QUEUED)  # its worker was lost, or its registry asked for a pause
    found = monthly_quota.read_quota()
    assert found is not None
    assert (found.used, found.left) == (1, 9)


def test_over_the_quota_nothing_is_queued_and_the_reason_says_so() -> None:
    monthly_quota.set_limit(2)
    shared = factories.image()
    tags = [factories.tag("a", of=shared), factories.tag("b", of=shared), factories.tag("c"), factories.tag("d")]
    run = start_run(scope=ScanScope.CHOSEN, tag_ids=[tag.pk for tag in tags])
    assert (run.images, run.tags) == (2, 3)
    assert run.skipped == {"The quota of 2 scans this month is used up": 1}
    runs_cancel.cancel_run(run)  # what never started gives its units back
    assert start_run(scope=ScanScope.CHOSEN, tag_ids=[tags[3].pk]).images == 1
    monthly_quota.set_limit(None)
    assert monthly_quota.read_quota() is None


def test_the_job_stops_at_the_quota_too(few_at_once: None) -> None:
    monthly_quota.set_limit(3)
    for index in range(5):
        factories.tag(f"v{index}")
    run = work_off(start_run(scope=ScanScope.ALL))
    assert (run.images, run.skipped_tags) == (3, 2)
    assert Tag.objects.filter(image__scan_state="queued").count() == 3

"""Which scan is taken next, and how many may be at work."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.jobs.job_run import JobRun
from console.jobs.models import Priority, State
from console.jobs.runner import eligible, run_queued_jobs
from console.jobs.slots import job_slot
from inventory.models import Image
from registries.models import PullUnit, Registry
from scanning import tasks
from scanning.models import Scan, ScanStage
from scanning.runs.enqueue import PROMPT_IMAGES
from scanning.runs.start import scan_now
from tests import factories
from tests.fakes.registry import FakeRegistry
from tests.scanning.conftest import sync
from tests.scanning.execution.test_pipeline import put

pytestmark = pytest.mark.django_db(transaction=True)


def queued(registry: Registry, priority: Priority = Priority.SCHEDULE, **values: Any) -> Scan:
    tag = factories.tag(in_=registry)
    defaults = {"image": tag.image, "tag": tag, "registry": registry, "priority": priority, "categories": ["malware"]}
    return Scan.objects.create(**defaults | values)


def taken() -> Scan | None:
    """The scan that a worker would take now."""
    return Scan.next_to_claim(eligible(Scan), priority=None)


def test_scans_by_hand_go_before_push_events_and_those_before_schedules() -> None:
    registry = factories.registry()
    scans = [
        queued(registry, priority) for priority in (Priority.SCHEDULE, Priority.EVENT, Priority.BULK, Priority.MANUAL)
    ]
    order = []
    while scan := taken():
        order.append(scan)
        Scan.objects.filter(pk=scan.pk).update(state=State.SUCCEEDED)
    assert order == scans[::-1]


def test_a_registry_with_scans_at_work_lets_others_go_first() -> None:
    slow, quick = factories.registry(), factories.registry()
    queued(slow, state=State.RUNNING)
    waits, goes = queued(slow), queued(quick)
    assert taken() == goes
    Scan.objects.filter(pk=goes.pk).update(state=State.RUNNING)
    assert taken() == waits  # as many at work: by age again
    assert queued(slow, Priority.MANUAL) == taken()  # a lane goes before fairness


@pytest.fixture
def slow() -> Registry:
    """A registry that did not answer a while ago."""
    registry = factories.registry()
    registry.mark_slow()
    return registry


HERE = {"state": State.RUNNING, "worker": f"{socket.gethostname()}:1"}


def test_a_registry_that_does_not_answer_gets_half_of_the_places_even_while_nobody_waits(slow: Registry) -> None:
    queued(slow, state=State.RUNNING, worker="elsewhere:1")
    waits = queued(slow)
    assert taken() == waits  # each machine is judged for itself
    queued(slow, **HERE)
    assert taken() is None
    queued(slow, **HERE)  # had from before it stood still
    by_hand = queued(slow, Priority.MANUAL)
    assert taken() == by_hand  # those have a worker more, …
    Scan.objects.filter(pk=by_hand.pk).update(**HERE)
    queued(slow, Priority.MANUAL)
    assert taken() is None  # … of which one registry does not get more either
    other = queued(factories.registry())
    assert taken() == other
    Scan.objects.filter(pk=other.pk).delete()
    Registry.objects.update(slow_until=timezone.now() - timedelta(seconds=1))
    assert taken() is not None


def test_registries_that_do_not_answer_share_their_half_of_the_places(slow: Registry) -> None:
    another = factories.registry()
    another.mark_slow()
    queued(slow, **HERE)
    queued(another)
    assert taken() is None
    waits = queued(factories.registry(), Priority.SCHEDULE)
    assert taken() == waits
    queued(another, **HERE)
    assert Scan.slow_scans_block_others()


def test_where_there_is_one_place_a_registry_that_does_not_answer_comes_last(slow: Registry, settings: Any) -> None:
    settings.SCAN_WORKERS = 1
    first, second = queued(slow), queued(factories.registry())
    assert taken() == second
    Scan.objects.filter(pk=second.pk).delete()
    assert taken() == first


def test_it_gives_up_what_it_has_beyond_its_share_only_for_scans_that_can_go_on(slow: Registry) -> None:
    queued(slow, **HERE)
    other = factories.registry()
    waits = queued(other)
    assert not Scan.slow_scans_block_others()  # it has its share and no more
    queued(slow, **HERE)
    assert Scan.slow_scans_block_others()
    Scan.objects.filter(pk=waits.pk).update(not_before=timezone.now() + timedelta(hours=1))
    assert not Scan.slow_scans_block_others()
    Scan.objects.filter(pk=waits.pk).update(not_before=timezone.now() - timedelta(seconds=1))
    assert Scan.slow_scans_block_others()
    other.mark_slow()
    assert not Scan.slow_scans_block_others()


PULLS = HERE | {"stage": ScanStage.PULLING, "started_at": timezone.now()}


@pytest.fixture
def held() -> list[Scan]:
    """Scans of one registry at work in three places; the last but one has started last."""
    registry, later = factories.registry(), PULLS["started_at"] + timedelta(seconds=9)
    return [queued(registry, **PULLS), queued(registry, **PULLS | {"started_at": later}), queued(registry, **PULLS)]


def leaving(scans: list[Scan]) -> list[Scan]:
    return [scan for scan in scans if scan.should_yield()]


def test_the_last_pull_that_was_started_leaves_its_place_to_a_registry_that_has_none(held: list[Scan]) -> None:
    queued(held[0].registry)  # type: ignore[arg-type]
    assert leaving(held) == []
    queued(factories.registry())
    assert leaving(held) == [held[1]]
    Scan.objects.filter(pk=held[1].pk).update(stage=ScanStage.ANALYSING)  # soon done
    assert leaving(held) == [held[2]]


def test_it_leaves_its_place_only_where_the_other_registry_gets_no_more_than_its_own(held: list[Scan]) -> None:
    other = factories.registry()
    queued(other)
    queued(other, state=State.RUNNING, worker="elsewhere:1")
    assert leaving(held) == [held[1]]  # each machine is judged for itself
    queued(other, **PULLS)
    assert leaving(held) == [held[1]]
    queued(other, **PULLS)
    assert leaving(held) == []


def test_it_leaves_its_place_to_nobody_who_comes_later_in_line_or_cannot_go_on(held: list[Scan]) -> None:
    waits = queued(factories.registry(), not_before=timezone.now() + timedelta(hours=1))
    assert leaving(held) == []
    Scan.objects.filter(pk=waits.pk).update(not_before=None)
    assert leaving(held)
    Scan.objects.filter(state=State.RUNNING).update(priority=Priority.EVENT)
    assert leaving([Scan.objects.get(pk=scan.pk) for scan in held]) == []
    queued(held[0].registry, Priority.EVENT)  # type: ignore[arg-type]
    Scan.objects.filter(pk=waits.pk).update(priority=Priority.BULK)
    assert leaving([Scan.objects.get(pk=scan.pk) for scan in held]) == [held[1]]


def test_of_the_pulls_of_a_registry_those_of_the_last_lane_leave_first(held: list[Scan]) -> None:
    Scan.objects.exclude(pk=held[0].pk).update(priority=Priority.EVENT)
    queued(factories.registry(), Priority.MANUAL)
    assert leaving([Scan.objects.get(pk=scan.pk) for scan in held]) == [held[0]]


def test_one_place_is_not_passed_to_and_fro() -> None:
    (scan,) = [queued(factories.registry(), **PULLS)]
    queued(factories.registry())
    assert not scan.should_yield()


def test_nobody_is_woken_for_a_scan_that_may_not_be_taken(slow: Registry) -> None:
    queued(slow, **HERE)
    waits = queued(slow)
    run_queued_jobs(Scan, waits.pk, lambda run: None)
    waits.refresh_from_db()
    assert (waits.state, waits.hinted_at) == (State.QUEUED, None)


def test_a_scan_that_waits_holds_up_nobody_and_goes_on_when_its_time_has_come() -> None:
    registry, now = factories.registry(), timezone.now()
    first = queued(registry, not_before=now + timedelta(hours=1))
    second = queued(registry)
    assert taken() == second
    Scan.objects.filter(pk=first.pk).update(not_before=now - timedelta(seconds=1))
    assert taken() == first


def test_a_scan_whose_registry_is_gone_is_taken_all_the_same() -> None:
    scan = queued(factories.registry())
    Scan.objects.filter(pk=scan.pk).update(registry=None)
    assert taken() == scan


def test_nobody_reads_the_whole_queue_to_find_the_next() -> None:
    for _ in range(3):
        queued(factories.registry())
    with CaptureQueriesContext(connection) as seen:
        taken()
    assert len(seen) == 5
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            plans = [cursor.execute(f"EXPLAIN QUERY PLAN {each['sql']}").fetchall() for each in seen.captured_queries]
        steps = [row[3] for plan in plans for row in plan]
        assert not [step for step in steps if step.startswith("SCAN") and "registries_registry" not in step], steps
        lines = [step for step in steps if "scan_line" in step]
        assert len([step for step in lines if "registry_id=? AND not_before=?" in step]) == 2, steps
        assert len([step for step in lines if "registry_id=? AND not_before<?" in step]) == 2, steps
        assert "SEARCH scanning_scan USING INDEX scan_queue (state=?)" not in steps


@pytest.fixture
def all_places() -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(settings.SCAN_WORKERS):
            assert stack.enter_context(job_slot("scan"))
        yield


def test_a_place_is_kept_for_scans_by_hand(all_places: None) -> None:
    registry = factories.registry()
    queued(registry, Priority.BULK)
    done: list[int] = []

    def note(run: JobRun[Scan]) -> None:
        done.append(run.job.pk)

    run_queued_jobs(Scan, 0, note)
    assert done == []
    by_hand = queued(registry, Priority.MANUAL)
    run_queued_jobs(Scan, 0, note)
    assert done == [by_hand.pk]


def test_a_place_is_free_again_after_a_scan() -> None:
    for _ in range(settings.SCAN_WORKERS + 2):
        queued(factories.registry())
        run_queued_jobs(Scan, 0, lambda run: None)
    assert set(Scan.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


def test_of_a_large_start_by_hand_the_first_go_first_and_the_rest_holds_up_nobody() -> None:
    registry = factories.registry()
    tags = [factories.tag(in_=registry).pk for _ in range(PROMPT_IMAGES + 3)]
    scan_now(tag_ids=tags, requested_by=None)
    lanes = list(Scan.objects.order_by("pk").values_list("priority", flat=True))
    assert lanes == [Priority.MANUAL] * PROMPT_IMAGES + [Priority.BULK] * 3
    later = scan_now(tag_ids=[factories.tag(in_=registry).pk], requested_by=None).queued[0]
    assert list(eligible(Scan).values_list("pk", flat=True))[PROMPT_IMAGES] == later.pk


@pytest.mark.usefixtures("vulnerability_database")
def test_a_registry_at_its_limit_takes_one_worker_for_a_moment_and_not_one_for_each_image() -> None:
    with FakeRegistry() as fake:
        for number in range(5):
            put(fake, {"number": str(number).encode()}, tag=str(number))
        registry = Registry.objects.create(name="fake", address=fake.url, limit=1)
        sync(registry)
        PullUnit.objects.create(registry=registry, image_id="sha256:0", taken_at=timezone.now())
        scans = scan_now(tag_ids=[tag.pk for tag in factories.Tag.objects.all()], requested_by=None).queued
        tasks.scan(scans[0].pk)
    held = Scan.objects.order_by("not_before")
    assert all(scan.state == State.QUEUED and "hourly limit" in scan.reason for scan in held)
    times = [scan.not_before for scan in held]
    assert len(set(times)) == 5  # one for each unit that becomes free
    assert taken() is None
    assert sum(scan.attempt for scan in held) == 1
    assert set(Image.objects.values_list("scan_reason", flat=True)) == {"Waiting for the hourly limit of fake."}

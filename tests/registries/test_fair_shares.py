"""Who is next in line: registries and people get their shares, and what one reports is bounded."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from console.jobs.models import Priority, State
from console.jobs.runner import eligible
from console.jobs.slots import LOCAL_WORKER_PREFIX, job_capacity
from console.models import AuditEvent, Export
from registries.connection_test import background_test
from registries.models import ConnectionTest, PushEvent, Registry, SyncRun
from registries.models.push_event import ALL_TAGS
from registries.sync_requests.start import start_sync
from registries.webhooks.ingest import MAX_WAITING_EVENTS, MAX_WAITING_TAGS, ingest_changes
from registries.webhooks.payloads import MAX_CHANGES, Change
from tests.people import person
from tests.registries.connection_test.test_background_test import ended

pytestmark = pytest.mark.django_db(transaction=True)

HANDS = job_capacity("sync")


def registry(name: str, **fields: object) -> Registry:
    """One at whose address nothing listens."""
    return Registry.objects.create(name=name, address="http://127.0.0.1:9", **fields)


def running(priority: Priority = Priority.SCHEDULE, *, minutes: float = 0, number: int = 0) -> SyncRun:
    """A sync that has been at work on this machine for so long."""
    return SyncRun.objects.create(
        registry=registry(f"busy{number}"),
        state=State.RUNNING,
        priority=priority,
        worker=f"{LOCAL_WORKER_PREFIX}1",
        started_at=timezone.now() - timedelta(minutes=minutes),
    )


def waiting(priority: Priority = Priority.SCHEDULE, name: str = "waiting") -> SyncRun:
    return SyncRun.objects.create(registry=registry(name), priority=priority, queued_at=timezone.now())


def event(of: Registry, name: str = "a", tag: str = "1", **fields: object) -> PushEvent:
    return PushEvent.objects.create(
        registry=of,
        names=[name],
        repository=name,
        tag=tag,
        priority=Priority.EVENT,
        **({"queued_at": timezone.now()} | fields),
    )


def next_event() -> PushEvent | None:
    return PushEvent.next_to_claim(eligible(PushEvent), priority=None)


# --- syncs -----------------------------------------------------------------------------------------------------------
def test_a_sync_that_has_left_its_place_is_behind_those_that_waited_meanwhile() -> None:
    left, other = waiting(name="left"), waiting(name="other")
    SyncRun.objects.filter(pk=left.pk).update(queued_at=timezone.now() + timedelta(seconds=1))
    assert SyncRun.next_to_claim(eligible(SyncRun), priority=None) == other
    by_hand = waiting(Priority.MANUAL, "by hand")
    assert SyncRun.next_to_claim(eligible(SyncRun), priority=None) == by_hand
    assert SyncRun.next_to_claim(eligible(SyncRun), priority=Priority.SCHEDULE) == other


def test_the_last_of_too_many_long_syncs_leaves_its_place_to_one_that_waits() -> None:
    runs = [running(minutes=HANDS - number, number=number) for number in range(HANDS)]
    assert not [run for run in runs if run.should_yield()], "nobody waits"
    waiting()
    assert [run for run in runs if run.should_yield()] == [runs[-1]]


def test_half_of_the_places_are_kept_by_long_syncs() -> None:
    for number in range(HANDS):
        running(minutes=5 if number < HANDS // 2 else 0, number=number)
    waiting()
    assert not [run for run in SyncRun.objects.all() if run.state == State.RUNNING and run.should_yield()]


def test_no_sync_leaves_while_a_place_is_free() -> None:
    runs = [running(minutes=5, number=number) for number in range(HANDS - 1)]
    waiting()
    assert not [run for run in runs if run.should_yield()]


def test_syncs_that_nobody_has_started_by_hand_leave_at_once_to_one_that_a_person_waits_for() -> None:
    by_hand = running(Priority.MANUAL, number=99)
    runs = [running(number=number) for number in range(HANDS - 1)]
    waiting()
    assert not [run for run in runs if run.should_yield()]
    waiting(Priority.MANUAL, "by hand")
    assert [run for run in (by_hand, *runs) if run.should_yield()] == [runs[-1]]


def test_syncs_of_other_machines_take_no_places_of_this_one() -> None:
    runs = [running(minutes=5, number=number) for number in range(HANDS)]
    SyncRun.objects.filter(pk=runs[0].pk).update(worker="elsewhere:1")
    waiting()
    assert not [run for run in runs if run.should_yield()]


# --- push events -----------------------------------------------------------------------------------------------------
def test_the_event_of_a_registry_that_had_few_goes_before_those_of_one_that_had_many() -> None:
    noisy, quiet = registry("noisy"), registry("quiet")
    for number in range(3):
        event(noisy, f"done{number}", state=State.SUCCEEDED, started_at=timezone.now())
    for number in range(5):
        event(noisy, f"more{number}")
    mine = event(quiet)
    assert next_event() == mine
    PushEvent.objects.filter(started_at__isnull=False).update(started_at=timezone.now() - timedelta(minutes=2))
    found = next_event()
    assert found is not None
    assert found.registry == noisy, "by age, where both had as few"


def test_a_registry_has_one_event_at_work_at_a_time() -> None:
    noisy = registry("noisy")
    event(noisy, "running", state=State.RUNNING)
    event(noisy, "waiting")
    assert next_event() is None
    other = event(registry("quiet"))
    assert next_event() == other


@pytest.mark.parametrize("slow", [True, False])
def test_registries_that_do_not_answer_and_whole_repositories_have_half_of_the_places(slow: bool) -> None:
    until = {"slow_until": timezone.now() + timedelta(minutes=1)} if slow else {}
    tag = "1" if slow else ALL_TAGS
    for number in range(job_capacity("event") // 2):
        event(registry(f"at work{number}", **until), tag=tag, state=State.RUNNING)
    event(registry("one more", **until), tag=tag)
    assert next_event() is None
    other = event(registry("quick"))
    assert next_event() == other


def test_tags_of_a_repository_become_one_event_for_all_of_them() -> None:
    one = registry("one")
    ingest_changes(registry=one, found=[Change(("a",), f"t{number}") for number in range(100)])
    assert set(PushEvent.objects.values_list("tag", flat=True)) == {f"t{n}" for n in range(MAX_WAITING_TAGS)} | {
        ALL_TAGS
    }
    assert ingest_changes(registry=one, found=[Change(("a",), "t200")]) == 0
    assert ingest_changes(registry=one, found=[Change(("b",), "t200")]) == 1
    assert OrmQ.objects.count() <= 2 * job_capacity("event"), "and a few hints"


def test_what_a_registry_has_waiting_is_bounded_and_the_rest_is_one_sync() -> None:
    one, other = registry("one"), registry("other")
    for start in range(0, 6200, 200):
        ingest_changes(registry=one, found=[Change((f"r{number}",), "1") for number in range(start, start + 200)])
    assert PushEvent.objects.count() == MAX_WAITING_EVENTS
    assert [(run.trigger, run.priority) for run in SyncRun.objects.all()] == [("event", Priority.EVENT)]
    assert ingest_changes(registry=other, found=[Change(("a",), "1")]) == 1
    assert AuditEvent.objects.filter(action="push-address.event").count() == 2


def test_events_of_a_registry_whose_sync_is_at_work_wait_for_one_more() -> None:
    one = registry("one")
    (run,) = start_sync(registries=[one]).runs
    SyncRun.objects.filter(pk=run.pk).update(state=State.RUNNING, attempt=1)
    flood = [Change((f"r{number}",), "1") for number in range(MAX_CHANGES + 1)]
    assert (ingest_changes(registry=one, found=flood), ingest_changes(registry=one, found=flood)) == (1, 0)
    assert [(each.repository, each.tag) for each in PushEvent.objects.all()] == [("", "")]
    assert ingest_changes(registry=one, found=[Change(("a",), "1")]) == 0, "that is part of it"


def test_an_event_that_comes_back_does_not_collide_with_the_same_one_that_was_reported_meanwhile() -> None:
    one = registry("one")
    first = event(one, state=State.RUNNING, attempt=1)
    event(one)
    PushEvent.objects.filter(pk=first.pk).update(state=State.QUEUED)
    assert PushEvent.objects.filter(state=State.QUEUED).count() == 2


# --- people ----------------------------------------------------------------------------------------------------------
def export(name: str, **fields: object) -> Export:
    return Export.objects.create(requested_by=person("operator", username=name), listing="images", **fields)


def test_the_exports_of_one_person_leave_places_to_others() -> None:
    one = export("one", state=State.RUNNING)
    for _ in range(job_capacity("export") // 2 - 1):
        Export.objects.create(requested_by=one.requested_by, listing="images", state=State.RUNNING)
    Export.objects.create(requested_by=one.requested_by, listing="images")
    assert Export.next_to_claim(eligible(Export), priority=None) is None
    other = export("other")
    assert Export.next_to_claim(eligible(Export), priority=None) == other


def test_one_person_has_a_few_connection_tests_at_a_time() -> None:
    user, lab = person("operator"), registry("lab")
    for _ in range(background_test.MAX_TESTS_PER_USER):
        ConnectionTest.objects.create(user=user, registry=lab, saved=True)
    with pytest.raises(background_test.TooManyTestsError, match="of your tests are already running"):
        background_test.start_connection_test(registry=lab, user=user, saved=True)
    ConnectionTest.objects.update(ended_at=timezone.now())
    assert ended(background_test.start_connection_test(registry=lab, user=user, saved=True)).steps

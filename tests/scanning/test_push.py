"""A push that a registry reports: the tag is in the inventory, and scanned where that is wanted."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError
from django.db.models import Count

from console.jobs.configuration import JobTimes
from console.jobs.models import Priority, State
from inventory.models import Repository, Tag
from inventory.sync import webhook_events
from registries.clients import RegistryClient
from registries.models import PushAddress, PushEvent, Registry, SyncRun
from registries.models.push_event import ALL_TAGS
from registries.oci.errors import Unreachable
from registries.sync_requests.start import start_sync
from registries.webhooks.ingest import ingest_changes
from registries.webhooks.payloads import MAX_CHANGES, Change
from scanning import tasks
from scanning.models import Scan, ScanRun
from scanning.runs.start import scan_now
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, Status, manifests, silence, tags
from tests.scanning.conftest import sync

pytestmark = pytest.mark.django_db(transaction=True)


def report(registry: Registry, name: str, tag: str = "", *others: str) -> PushEvent:
    """Let ``registry`` report a change, and work on it as a worker would."""
    ingest_changes(registry=registry, found=[Change((name, *others), tag)])
    PushEvent.objects.update(not_before=None)
    event = PushEvent.objects.latest("pk")
    tasks.push_event(event.pk)
    event.refresh_from_db()
    return event


def test_a_pushed_tag_is_there_at_once_by_one_head_and_one_manifest(fake: FakeRegistry, registry: Registry) -> None:
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    event = report(registry, "team/app", "1.0")
    assert (event.state, event.images) == (State.SUCCEEDED, 1)
    tag = Tag.objects.get()
    assert (str(tag), tag.image.config_known) == (f"{registry.host}/team/app:1.0", True)
    assert len(fake.requests(manifests, method="GET")) == 1
    assert not Scan.objects.exists()


def test_it_is_scanned_before_scheduled_ones_where_that_is_wanted(fake: FakeRegistry, registry: Registry) -> None:
    address = PushAddress(registry=registry, scans=True)
    address.new_secret()
    address.save()
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    report(registry, "team/app", "1.0")
    assert Scan.objects.get().priority == Priority.EVENT
    assert report(registry, "team/app", "1.0").images == 0
    assert Scan.objects.count() == 1


def test_a_push_that_changes_nothing_leaves_no_empty_run_behind(fake: FakeRegistry, registry: Registry) -> None:
    address = PushAddress(registry=registry, scans=True)
    address.new_secret()
    address.save()
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    sync(registry)
    report(registry, "team/app", "1.0")  # known already
    fake.store.remove_tag("team/app", "1.0")
    report(registry, "team/app")  # a deletion
    assert not ScanRun.objects.exists()


def test_a_moved_tag_points_to_the_new_image(fake: FakeRegistry, registry: Registry) -> None:
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    report(registry, "team/app", "1.0")
    before = Tag.objects.get().image_id
    images.image({"app": b"2"}).put(fake, "team/app", "1.0")
    report(registry, "team/app", "1.0")
    assert Tag.objects.get().image_id != before


def test_the_name_of_the_path_method_is_tried_before_that_of_the_subdomain(
    fake: FakeRegistry, registry: Registry
) -> None:
    images.image({"app": b"1"}).put(fake, "app", "1.0")
    report(registry, "docker-local/app", "1.0", "app")
    assert Repository.objects.get().name == "app"


def test_a_signature_is_no_image(fake: FakeRegistry, registry: Registry) -> None:
    image = images.image({"app": b"1"})
    image.put(fake, "team/app", "1.0")
    tag, signature = images.cosign_signature(image.digest)
    signature.put(fake, "team/app", tag)
    assert report(registry, "team/app", tag).state == State.SUCCEEDED
    images.helm_chart().put(fake, "team/app", "chart")
    assert report(registry, "team/app", "chart").state == State.SUCCEEDED
    assert not Tag.objects.exists()


def test_a_reported_deletion_is_looked_up_and_not_believed(fake: FakeRegistry, registry: Registry) -> None:
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    images.image({"app": b"2"}).put(fake, "team/app", "2.0")
    sync(registry)
    report(registry, "team/app")
    assert Tag.objects.count() == 2
    fake.store.remove_tag("team/app", "1.0")
    report(registry, "team/app")
    assert Tag.objects.get().name == "2.0"


@pytest.mark.parametrize("is_gone", [False, True], ids=["no tags", "no such repository"])
def test_one_empty_listing_never_removes_tags(fake: FakeRegistry, registry: Registry, is_gone: bool) -> None:
    image = images.image({"app": b"1"})
    for repository, number in (("team/many", 50), ("team/few", 49)):
        for name in range(number):
            image.put(fake, repository, f"v{name}")
    sync(registry)
    listed = Status(404, code="NAME_UNKNOWN") if is_gone else Status(200, body=b'{"tags": []}')
    fake.fail(tags, listed, times=100)
    for repository in ("team/many", "team/few"):
        assert report(registry, repository).state == State.SUCCEEDED
    counts = Repository.objects.annotate(number=Count("tags")).values_list("name", "number")
    assert dict(counts) == {"team/many": 50, "team/few": 49}
    assert Tag.objects.exclude(missing_since=None).count() == 99, "kept until a later listing confirms it"


def test_what_was_deleted_since_says_so(fake: FakeRegistry, registry: Registry) -> None:
    event = report(registry, "team/app", "1.0")
    PushEvent.objects.update(not_before=None)
    tasks.push_event(event.pk)
    event.refresh_from_db()
    assert event.state == State.FAILED
    assert "does not contain team/app:1.0" in event.reason
    assert event.remedy


def test_a_push_to_a_repository_outside_the_fixed_list_is_left_alone(fake: FakeRegistry, registry: Registry) -> None:
    Registry.objects.filter(pk=registry.pk).update(repositories="team/other")
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    assert report(registry, "team/app", "1.0").state == State.SUCCEEDED
    assert not Tag.objects.exists()


# --- several at once -------------------------------------------------------------------------------------------------
def waiting(registry: Registry, *changes: tuple[str, str]) -> list[PushEvent]:
    ingest_changes(registry=registry, found=[Change((name,), tag) for name, tag in changes])
    PushEvent.objects.update(not_before=None)
    return list(PushEvent.objects.order_by("pk"))


def states() -> list[str]:
    return list(PushEvent.objects.order_by("pk").values_list("state", flat=True))


def test_one_look_at_a_repository_serves_all_events_that_wait_for_it(fake: FakeRegistry, registry: Registry) -> None:
    for tag in ("1.0", "2.0"):
        images.image({"app": tag.encode()}).put(fake, "team/app", tag)
    images.image({"app": b"3"}).put(fake, "team/other", "1.0")
    first, *_others = waiting(
        registry, ("team/app", "1.0"), ("team/app", "2.0"), ("team/app", "gone"), ("team/other", "1.0")
    )
    tasks.push_event(first.pk)
    assert states() == [State.SUCCEEDED, State.SUCCEEDED, State.QUEUED, State.QUEUED]
    assert set(Tag.objects.values_list("name", flat=True)) == {"1.0", "2.0"}
    first.refresh_from_db()
    assert first.images == 2


def test_an_event_that_fails_takes_none_of_those_along_that_wait_for_the_same_repository(
    fake: FakeRegistry, registry: Registry
) -> None:
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    gone, _other = waiting(registry, ("team/app", "gone"), ("team/app", "1.0"))
    tasks.push_event(gone.pk)
    gone.refresh_from_db()
    assert (gone.state, gone.retried) == (State.QUEUED, True)
    tasks.push_event(gone.pk)
    assert states() == [State.QUEUED, State.SUCCEEDED]


def test_more_tags_than_are_looked_at_one_by_one_are_one_look_at_the_repository(
    fake: FakeRegistry, registry: Registry
) -> None:
    for number in range(20):
        images.image({"app": b"%d" % number}).put(fake, "team/app", f"v{number}")
    images.image({"app": b"old"}).put(fake, "team/app", "v21")
    sync(registry)
    fake.store.remove_tag("team/app", "v21")
    for number in range(20):
        images.image({"app": b"new %d" % number}).put(fake, "team/app", f"v{number}")
    address = PushAddress(registry=registry, scans=True)
    address.new_secret()
    address.save()
    events = waiting(registry, *(("team/app", f"v{number}") for number in range(20)))
    for event in events:
        tasks.push_event(event.pk)
    assert set(states()) == {State.SUCCEEDED}
    assert sum(PushEvent.objects.values_list("images", flat=True)) == 20
    assert Tag.objects.count() == 20
    assert Scan.objects.count() == 20, "those that were looked at with the repository are scanned, too"


def test_the_whole_registry_is_synced_once_the_sync_at_work_has_ended(fake: FakeRegistry, registry: Registry) -> None:
    (run,) = start_sync(registries=[registry]).runs
    SyncRun.objects.filter(pk=run.pk).update(state=State.RUNNING, attempt=1)
    ingest_changes(registry=registry, found=[Change((f"r{number}",), "1") for number in range(MAX_CHANGES + 1)])
    PushEvent.objects.update(not_before=None)
    event = PushEvent.objects.get()
    tasks.push_event(event.pk)
    event.refresh_from_db()
    assert (event.state, event.not_before is None) == (State.QUEUED, False)
    assert "is running" in event.reason
    SyncRun.objects.filter(pk=run.pk).update(state=State.SUCCEEDED)
    PushEvent.objects.update(not_before=None)
    tasks.push_event(event.pk)
    event.refresh_from_db()
    assert event.state == State.SUCCEEDED
    assert SyncRun.objects.latest("pk").trigger == SyncRun.Trigger.EVENT


def test_a_registry_that_takes_long_for_an_event_counts_as_slow_and_the_event_ends(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inventory.sync.webhook_events.TAG_DEADLINE_SECONDS", 1.0)
    monkeypatch.setattr("inventory.sync.webhook_events.SLOW_AFTER_SECONDS", 0.5)
    fake.fail(manifests, silence)
    event = report(registry, "team/app", "1.0")
    registry.refresh_from_db()
    assert event.state == State.FAILED
    assert "took longer" in event.reason
    assert registry.slow_until is not None


# --- what keeps an event from its end ---------------------------------------------------------------------------------
def scanned_on_push(registry: Registry) -> None:
    address = PushAddress(registry=registry, scans=True)
    address.new_secret()
    address.save()


def test_a_database_that_does_not_answer_while_joined_events_are_written_costs_none_of_them(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned_on_push(registry)
    for tag in ("1.0", "2.0"):
        images.image({"app": tag.encode()}).put(fake, "team/app", tag)
    first, _second = waiting(registry, ("team/app", "1.0"), ("team/app", "2.0"))
    answers = iter([OperationalError("the server closed the connection")])

    def away_once(**asked: Any) -> Any:
        for error in answers:
            raise error
        return scan_now(**asked)

    monkeypatch.setattr(tasks, "scan_now", away_once)
    tasks.push_event(first.pk)
    assert states() == [State.SUCCEEDED, State.SUCCEEDED]
    assert Scan.objects.count() == 2


def test_an_event_that_begins_again_scans_what_its_first_attempt_had_written(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned_on_push(registry)
    images.image({"app": b"1"}).put(fake, "team/app", "1.0")
    images.image({"app": b"2"}).put(fake, "team/all", "1.0")
    events = [*waiting(registry, ("team/app", "1.0")), PushEvent(registry=registry, names=["team/all"])]
    events[1].repository, events[1].tag = "team/all", ALL_TAGS
    events[1].save()

    def away(**_asked: Any) -> Any:
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patched:
        patched.setattr(tasks, "scan_now", away)
        patched.setattr(settings, "JOB_TIMES", JobTimes(settle=0, soon=0))
        tasks.push_event(events[0].pk)
    assert Tag.objects.count() == 2
    PushEvent.objects.update(not_before=None)
    for event in events:
        tasks.push_event(event.pk)
    assert states() == [State.SUCCEEDED, State.SUCCEEDED]
    assert Scan.objects.count() == 2


def test_a_registry_that_fails_at_a_joined_event_keeps_none_from_the_scan_of_what_was_found(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned_on_push(registry)
    for tag in ("1.0", "2.0"):
        images.image({"app": tag.encode()}).put(fake, "team/app", tag)
    first, _second = waiting(registry, ("team/app", "1.0"), ("team/app", "2.0"))
    real = webhook_events._process_one

    def fails_at_the_second(event: PushEvent, client: RegistryClient) -> list[Tag]:
        if event.tag == "2.0":
            raise Unreachable("It broke.", "Try again.")
        return real(event, client)

    monkeypatch.setattr(webhook_events, "_process_one", fails_at_the_second)
    monkeypatch.setattr(settings, "JOB_TIMES", JobTimes(chain=0, soon=0))
    tasks.push_event(first.pk)
    assert states() == [State.SUCCEEDED, State.QUEUED]
    assert Scan.objects.count() == 1

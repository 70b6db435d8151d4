"""A registry that suddenly shows less: what is believed at once, what is kept, and what confirms it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from console.models import AuditEvent
from inventory import tasks
from inventory.models import Repository, Tag
from registries.models import Registry, SyncRun
from tests.fakes.registry import FakeRegistry, Status, catalog, json_body, rate_limited
from tests.fakes.registry import manifests as manifest_requests
from tests.fakes.registry import tags as tag_lists
from tests.inventory.sync.test_sync_registry import image, later, names, sync
from tests.people import signed_in_client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def registry(server: FakeRegistry) -> Registry:
    """A registry with 20 tags in each of two repositories, and one tag in a third."""
    made = image("one")
    for name in ("team/a", "team/b"):
        for number in range(20):
            made.put(server, name, f"v{number:02}")
    made.put(server, "team/small", "only")
    registry = Registry.objects.create(name="fake", address=server.url)
    assert sync(registry).tags == 41
    return registry


def missing() -> int:
    return Tag.objects.exclude(missing_since=None).count()


@pytest.mark.parametrize("gone", [1, 4])
def test_a_tenth_of_the_tags_may_go_at_once(server: FakeRegistry, registry: Registry, gone: int) -> None:
    for number in range(gone):
        server.store.remove_tag("team/a", f"v{number:02}")
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags_missing, missing()) == (True, gone, 0, 0)


def test_more_than_a_tenth_is_kept_marked_counted_and_said_once(server: FakeRegistry, registry: Registry) -> None:
    before = {tag.pk: tag.first_seen for tag in Tag.objects.all()}
    for number in range(5):
        server.store.remove_tag("team/a", f"v{number:02}")
    run = sync(registry)
    assert (run.state, run.complete) == (State.SUCCEEDED, False)
    assert (run.tags_gone, run.tags_missing, missing(), run.tags) == (0, 5, 5, 41)
    assert run.reason.count("does not list 5 tags") == 1
    assert run.errors == 0
    assert "an hour" in run.remedy
    assert {tag.pk: tag.first_seen for tag in Tag.objects.all()} == before


@pytest.mark.parametrize("hours", [0.5, 2])
def test_a_second_sync_after_an_hour_confirms_it(server: FakeRegistry, registry: Registry, hours: float) -> None:
    for number in range(5):
        server.store.remove_tag("team/a", f"v{number:02}")
    sync(registry)
    later(hours)
    run = sync(registry)
    gone = 5 if hours > 1 else 0
    assert (run.tags_gone, run.tags_missing, run.complete) == (gone, 5 - gone, bool(gone))


def test_a_person_confirms_it_at_once(server: FakeRegistry, registry: Registry) -> None:
    for number in range(5):
        server.store.remove_tag("team/a", f"v{number:02}")
    sync(registry)
    client = signed_in_client("operator")
    assert "confirm_missing" in client.get(reverse("registries:registry-detail", args=[registry.pk])).text
    client.post(reverse("registries:sync", args=[registry.pk]), {"confirm_missing": "on"})
    run = SyncRun.objects.latest("pk")
    assert run.confirm_missing
    assert AuditEvent.objects.filter(action="sync.start").latest("pk").detail["missing"] == "confirmed"
    tasks.sync(run.pk)
    run.refresh_from_db()
    assert (run.tags_gone, run.tags_missing, run.complete, missing()) == (5, 0, True, 0)
    assert "confirm_missing" not in client.get(reverse("registries:registry-detail", args=[registry.pk])).text


def test_what_is_listed_again_is_as_it_was(server: FakeRegistry, registry: Registry) -> None:
    server.fail(catalog, json_body({"repositories": []}))
    server.fail(tag_lists, Status(404, code="NAME_UNKNOWN"))
    server.fail(manifest_requests, Status(404, code="MANIFEST_UNKNOWN"))
    before = set(Tag.objects.values_list("pk", "first_seen"))
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags_missing) == (False, 0, 41), "its storage is not mounted"
    assert Repository.objects.count() == 3
    server.heal()
    later(5)
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags_missing, missing()) == (True, 0, 0, 0)
    assert set(Tag.objects.values_list("pk", "first_seen")) == before


def test_a_registry_that_stays_empty_is_believed_after_an_hour(server: FakeRegistry, registry: Registry) -> None:
    for name in ("team/a", "team/b", "team/small"):
        server.store.remove_repository(name)
    sync(registry)
    later(2)
    run = sync(registry)
    assert (run.complete, run.tags_gone, Tag.objects.count(), Repository.objects.count()) == (True, 41, 0, 0)


@pytest.mark.parametrize("answer", [{"tags": []}, {"tags": None}, {}, None])
def test_a_list_of_tags_that_turns_empty_is_not_believed_at_any_size(
    server: FakeRegistry, registry: Registry, answer: object
) -> None:
    server.fail(lambda request: request.path == "/v2/team/small/tags/list", json_body(answer))
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags_missing) == (False, 0, 1)
    later(2)
    run = sync(registry)
    assert (run.complete, run.tags_gone) == (True, 1)


def test_a_small_repository_that_is_gone_altogether_is_believed(server: FakeRegistry, registry: Registry) -> None:
    server.store.remove_repository("team/small")
    run = sync(registry)
    assert (run.complete, run.tags_gone, Repository.objects.count()) == (True, 1, 2)


def test_one_that_is_broken_off_lets_go_of_nothing(server: FakeRegistry, registry: Registry) -> None:
    server.store.remove_tag("team/a", "v00")
    server.fail(lambda request: request.path == "/v2/team/b/tags/list", Status(500))
    run = sync(registry)
    assert (run.complete, run.tags_gone) == (False, 1), "the repository that was read is settled"
    server.heal()
    server.store.remove_tag("team/a", "v01")
    page = b'{"repositories":["team/a","team/b"]}'
    server.fail(catalog, Status(200, {"Link": '</v2/_catalog?last=x&n=2>; rel="next"'}, body=page), times=1)
    server.fail(catalog, Status(500))
    assert sync(registry).state == State.QUEUED
    assert (missing(), "team/a:v01" in names()) == (1, True)


def test_where_a_person_narrows_the_list_what_is_left_out_goes_at_once(
    server: FakeRegistry, registry: Registry
) -> None:
    registry.repositories = "team/a:v0*"
    registry.save()
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags_missing, run.tags) == (True, 31, 0, 10)


# --- counted once, and what a later try makes good ----------------------------------------------------------------
def test_a_rate_limited_registry_ends_complete_once_all_was_read(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registries.oci.transport.MAX_TRIES", 1)
    for number in range(3):
        server.put_manifest("team/a", f"sha256-{'0' * 63}{number}.sig", b"{}", "application/json")
        server.put_manifest("team/b", f"sha256-{'0' * 63}{number}.sig", b"{}", "application/json")
    server.fail(lambda request: request.path.startswith("/v2/team/b/manifests/v1"), rate_limited("300"), times=3)
    run = sync(registry)
    turns = 1
    while not run.is_final:
        assert run.errors == 0, "nothing that is tried again is an error"
        SyncRun.objects.update(not_before=None)
        tasks.sync(run.pk)
        run.refresh_from_db()
        turns += 1
    assert turns > 1
    assert (run.state, run.complete, run.errors, run.reason) == (State.SUCCEEDED, True, 0, "")
    assert (run.tags, run.not_images) == (41, 6), "each once, however often its repository was read"


def test_the_time_since_when_it_is_missing_is_that_of_the_first_sync(server: FakeRegistry, registry: Registry) -> None:
    server.fail(tag_lists, json_body({}))
    run = sync(registry)
    first = set(Tag.objects.values_list("missing_since", flat=True))
    assert first == {run.created_at}
    sync(registry)
    assert set(Tag.objects.values_list("missing_since", flat=True)) == first
    assert timezone.now() - run.created_at < timedelta(minutes=5)

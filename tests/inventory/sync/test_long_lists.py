"""Lists that are long or never end: read in parts, bounded, and nothing is retired by them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from console.jobs.broker import request_cancel
from console.jobs.models import State
from demo.registry_server import ServerRequest, ServerResponse, json_response
from inventory import tasks
from inventory.models import Repository, Tag
from inventory.sync.name_hashes import NameHashes
from inventory.sync.prune import unlisted_tags
from registries.models import Registry, SyncRun
from registries.oci import listing_bounds
from registries.sync_requests.start import start_sync
from tests import factories
from tests.console.jobs.conftest import wait_for
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, RealAnswer, catalog, manifests, silence
from tests.fakes.registry import tags as tag_lists
from tests.inventory.sync.test_sync_registry import image, names, sync

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def registry(server: FakeRegistry) -> Registry:
    return Registry.objects.create(name="fake", address=server.url)


def endless(server: FakeRegistry, repository: str, *, size: int = 100) -> None:
    """Let the list of a repository go on for ever, all its tags being one image."""
    made = image(repository)
    made.put(server, repository, "0")
    stored = server.store.manifest(repository, "0")
    assert stored is not None
    head = {"Content-Type": stored.media_type, "Docker-Content-Digest": stored.digest}

    def listed(request: ServerRequest, real: RealAnswer) -> ServerResponse:
        first = int((request.first("last") or "t0")[1:]) + 1
        answer = json_response({"name": repository, "tags": [f"t{number}" for number in range(first, first + size)]})
        answer.headers["Link"] = f'</v2/{repository}/tags/list?last=t{first + size - 1}>; rel="next"'
        return answer

    server.fail(lambda request: request.path == f"/v2/{repository}/tags/list", listed)
    heads = f"/v2/{repository}/manifests/t"

    def one_for_all(request: ServerRequest, real: RealAnswer) -> ServerResponse:
        return ServerResponse(200, dict(head), stored.content)

    server.fail(lambda request: request.path.startswith(heads), one_for_all)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists of tags are read for five pages."""
    monkeypatch.setattr(listing_bounds, "TAG_BOUNDS", replace(listing_bounds.TAG_BOUNDS, pages=5))


@pytest.mark.usefixtures("few")
def test_a_tag_list_without_end_makes_the_sync_partial_and_retires_nothing(
    server: FakeRegistry, registry: Registry
) -> None:
    image("old").put(server, "team/long", "old")
    image("other").put(server, "team/other", "1.0")
    sync(registry)
    endless(server, "team/long")
    server.store.remove_tag("team/long", "old")
    server.store.remove_tag("team/other", "1.0")
    image("new").put(server, "team/other", "2.0")
    run = sync(registry)
    assert (run.state, run.complete, run.errors) == (State.SUCCEEDED, False, 1)
    assert "team/long: The list continues after 5 pages" in run.reason
    assert "fixed list" in run.remedy
    assert "team/long:old" in names(), "it may have come later in the list"
    assert {"team/long:t1", "team/long:t500"} <= names(), "what was read is kept"
    assert {name for name in names() if "other" in name} == {"team/other:1.0", "team/other:2.0"}
    assert [tag.name for tag in Tag.objects.exclude(missing_since=None)] == ["1.0"], "one of two is too many at once"
    assert registry.last_sync_id == run.pk


@pytest.mark.usefixtures("few")
def test_after_a_few_lists_without_end_the_rest_of_the_registry_is_left_for_the_next_sync(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inventory.sync.lister.MAX_LONG_LISTS", 2)
    for number in range(120):  # more than repositories are read at a time
        image("one").put(server, f"team/z{number:03}", "1.0")
    for number in range(3):
        endless(server, f"team/a{number}", size=1)
    run = sync(registry)
    assert (run.state, run.complete) == (State.SUCCEEDED, False)
    assert Repository.objects.filter(synced_at=None).exists() or Repository.objects.count() < 123


def test_a_catalog_without_end_makes_the_sync_partial_and_retires_nothing(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image("old").put(server, "old/app", "1.0")
    sync(registry)
    server.store.remove_tag("old/app", "1.0")
    image("a").put(server, "team/a", "1.0")

    def listed(request: ServerRequest, real: RealAnswer) -> ServerResponse:
        number = int((request.first("last") or "n0")[1:]) + 1
        answer = json_response({"repositories": ["team/a" if number == 1 else f"team/none{number}"]})
        answer.headers["Link"] = f'</v2/_catalog?last=n{number}>; rel="next"'
        return answer

    server.fail(catalog, listed)
    monkeypatch.setattr(listing_bounds, "REPOSITORY_BOUNDS", replace(listing_bounds.REPOSITORY_BOUNDS, pages=10))
    run = sync(registry)
    assert (run.state, run.complete) == (State.SUCCEEDED, False)
    assert "The list of repositories: The list continues after 10 pages" in run.reason
    assert names() == {"old/app:1.0", "team/a:1.0"}


def test_a_long_list_is_read_no_faster_than_its_tags_are_looked_at(server: FakeRegistry, registry: Registry) -> None:
    server.fail(manifests, silence)
    endless(server, "team/long", size=1000)
    (run,) = start_sync(registries=[registry]).runs
    worker = threading.Thread(target=tasks.sync, args=(run.pk,))
    worker.start()
    try:
        wait_for(lambda: server.requests(manifests), what="a tag that is looked at")
        for _ in range(20):
            server.stopping.wait(0.1)
        assert 1 <= len(server.requests(tag_lists)) <= 3
    finally:
        request_cancel(SyncRun.objects.get(pk=run.pk))
        worker.join(60)
    assert not worker.is_alive()


def test_a_sync_makes_way_also_in_the_middle_of_a_list_that_brings_nothing(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    image("a").put(server, "team/app", "1.0")

    def signatures(request: ServerRequest, real: RealAnswer) -> ServerResponse:
        number = int(request.first("last") or 0) + 1
        answer = json_response({"name": "team/app", "tags": [f"sha256-{number:064x}.sig"]})
        answer.headers["Link"] = f'</v2/team/app/tags/list?last={number}>; rel="next"'
        return answer

    server.fail(tag_lists, signatures)
    monkeypatch.setattr("inventory.sync.sync_registry.YIELD_AFTER_SECONDS", 0)
    monkeypatch.setattr("inventory.sync.sync_registry.YIELD_GRACE_SECONDS", 1.0)
    run = sync(registry)
    assert (run.state, run.reason[:21]) == (State.QUEUED, "The registry is large")
    SyncRun.objects.update(created_at=timezone.now() - timedelta(hours=25), not_before=None)
    tasks.sync(run.pk)
    run.refresh_from_db()
    assert (run.state, run.reason) == (State.FAILED, "The sync did not finish within 24 hours.")


def test_names_take_eight_bytes_each_and_tell_what_they_do_not_hold() -> None:
    held = NameHashes(f"t{number}" for number in range(10_000))
    assert len(held) == 10_000
    assert held._hashes.itemsize == 8
    asked = {NameHashes.key(name): name for name in ("t0", "t9999", "t10000", "")}
    held.discard_from(asked)  # type: ignore[arg-type]
    assert set(asked.values()) == {"t10000", ""}


def test_tags_that_are_gone_are_found_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inventory.sync.prune.MAX_TAGS_IN_MEMORY", 3)
    lab = factories.registry(name="lab")
    for path in ("team/a", "team/b"):
        for number in range(10):
            factories.tag(f"v{number}", of=factories.image(), in_=lab, path=path)
    first, second = Repository.objects.order_by("name")
    kept = NameHashes(f"v{number}" for number in range(0, 10, 2))
    found = [(tag.repository_id, tag.name) for tag in unlisted_tags({first.pk: kept, second.pk: NameHashes(["v3"])})]
    assert len(found) == 5 + 9
    assert {name for repository, name in found if repository == first.pk} == {"v1", "v3", "v5", "v7", "v9"}
    assert ("v3" in {name for repository, name in found if repository == second.pk}) is False


def test_a_list_of_many_parts_is_complete_and_retires_what_is_gone(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inventory.sync.lister.TAGS_PER_PART", 7)
    made = images.image({"etc/os-release": b"ID=debian\n"})
    for number in range(60):
        made.put(server, "team/app", f"v{number:02}")
    assert sync(registry).complete
    for number in range(0, 60, 10):
        server.store.remove_tag("team/app", f"v{number:02}")
    run = sync(registry)
    assert (run.complete, run.tags_gone, run.tags) == (True, 6, 54)
    assert names() == {f"team/app:v{number:02}" for number in range(60) if number % 10}

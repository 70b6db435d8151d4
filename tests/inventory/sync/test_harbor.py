"""A Harbor becomes rows: from its listing alone where that tells enough, and never emptied by what it does not tell."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.jobs.models import State
from inventory import tasks
from inventory.models import Manifest, Tag
from registries.connection_test.diagnose import ConnectionStage, StepResult, diagnose
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync
from tests.fakes import images
from tests.fakes.harbor import FakeHarbor, artifacts, user, v1_tags
from tests.fakes.registry import Status, blobs, manifests

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["1.10.19", "2.5.0"])
def server(request: pytest.FixtureRequest) -> Iterator[FakeHarbor]:
    with FakeHarbor(version=request.param, accounts={"ann": user("secret")}, poison_cookies=True) as server:
        server.project("library", public=True)
        image("public").put(server, "library/app", "1")
        for number in range(4):
            image(str(number)).put(server, f"team/deep/app{number}", "1.0")
            image(str(number)).put(server, f"team/deep/app{number}", "latest")
        yield server


@pytest.fixture
def registry(server: FakeHarbor) -> Registry:
    version = "v1" if server.version.startswith("1.") else "v2"
    registry = Registry(name="harbor", type="harbor", version=version, address=server.url, username="ann")
    registry.set_password("secret")
    registry.save()
    return registry


def image(text: str) -> images.Image:
    return images.image({"etc/os-release": b"ID=debian\n"}, {"app": text.encode()})


def sync(registry: Registry, **options: bool) -> SyncRun:
    (run,) = start_sync(registries=[registry], **options).runs
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


def names() -> set[str]:
    return {str(tag).split("/", 1)[1] for tag in Tag.objects.all()}


ALL = {"library/app:1"} | {f"team/deep/app{number}:{tag}" for number in range(4) for tag in ("1.0", "latest")}


def test_a_first_sync_reads_each_manifest_once_and_a_second_one_lists_only(
    server: FakeHarbor, registry: Registry
) -> None:
    images.helm_chart().put(server, "team/chart", "1")
    run = sync(registry)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.tags_new) == (6, 9, 9)
    assert names() == ALL
    tag = Tag.objects.get(name="1.0", repository__name="team/deep/app0")
    assert tag.address == f"{registry.host}/team/deep/app0"
    assert tag.image is not None
    assert (tag.image.image_id, tag.image.config_known) == (image("0").image_id, True)
    assert tag.pushed_at is not None
    assert tag.pushed_at.year == 2026
    assert registry.connection == Registry.Connection.CONNECTED
    server.seen.clear()
    pulled = list(server.pulled)
    run = sync(registry)
    assert (run.complete, run.tags, run.tags_new, run.tags_changed, run.tags_gone) == (True, 9, 0, 0, 0)
    assert server.pulled == pulled  # no pull time has moved
    assert not server.requests(blobs)
    # Harbor 1 says nothing of what a tag is: a chart is met once.
    assert not server.requests(manifests)
    assert Manifest.objects.filter(kind=Manifest.Kind.IMAGE).count() == 5


def test_what_is_pushed_and_deleted_is_seen(server: FakeHarbor, registry: Registry) -> None:
    sync(registry)
    image("new").put(server, "team/deep/app0", "latest")
    server.remove_tag("team/deep/app1", "latest")
    run = sync(registry, confirm_missing=True)
    assert (run.tags_new, run.tags_changed, run.tags_gone) == (0, 1, 1)
    assert names() == ALL - {"team/deep/app1:latest"}


def test_a_wrong_password_keeps_the_inventory_and_is_tried_once(server: FakeHarbor, registry: Registry) -> None:
    sync(registry)
    registry.set_password("wrong")
    registry.save()
    run = sync(registry)
    assert run.state == State.FAILED
    assert run.remedy
    assert registry.connection == Registry.Connection.REFUSED
    assert names() == ALL
    sync(registry)
    assert server.failed_logins == ["ann"]


def test_a_lost_right_keeps_what_was_known(server: FakeHarbor, registry: Registry) -> None:
    sync(registry)
    server.accounts = {"ann": user("secret", projects=["library"])}
    run = sync(registry)
    assert not run.complete
    assert (run.tags_gone, names()) == (0, ALL)
    assert registry.connection == Registry.Connection.CONNECTED


def test_a_project_that_is_gone_is_no_reason_to_forget_it(server: FakeHarbor, registry: Registry) -> None:
    """Harbor gives the same answer for a project that one must not see. A person who knows better says so."""
    sync(registry)
    server.remove_project("team")
    assert (sync(registry).tags_gone, names()) == (0, ALL)
    (run,) = start_sync(registries=[registry], forget_unlisted=True).runs
    tasks.sync(run.pk)
    assert names() == {"library/app:1"}


def test_a_failure_in_the_middle_loses_nothing_and_retires_nothing(server: FakeHarbor, registry: Registry) -> None:
    sync(registry)
    server.remove_tag("team/deep/app3", "latest")
    for route in (artifacts, v1_tags, manifests, lambda request: request.path.endswith("/tags/list")):
        server.fail(route, Status(500))
    run = sync(registry)
    assert run.reason
    assert not run.complete
    assert (run.tags_gone, names()) == (0, ALL)
    assert run.state == State.QUEUED  # tried again by itself
    server.heal()
    SyncRun.objects.update(not_before=None, confirm_missing=True)
    tasks.sync(run.pk)
    run.refresh_from_db()
    assert (run.state, run.complete, run.tags_gone) == (State.SUCCEEDED, True, 1)
    assert names() == ALL - {"team/deep/app3:latest"}


def test_the_connection_test_passes_and_offers_the_right_version(server: FakeHarbor, registry: Registry) -> None:
    steps = diagnose(registry)
    assert {step.result for step in steps} <= {StepResult.PASSED, StepResult.SKIPPED}
    assert steps[-1].stage is ConnectionStage.BLOB
    registry.version = "v2" if registry.version == "v1" else "v1"
    *_passed, last = diagnose(registry)
    assert (last.stage, last.result) == (ConnectionStage.API, StepResult.FAILED)
    assert ("V1" if registry.version == "v2" else "V2") in last.remedy

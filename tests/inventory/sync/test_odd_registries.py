"""What odd registries and images come to in a sync: said where something is amiss, and read where it can be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from django.urls import reverse
from django.utils import timezone

from console.jobs.models import State
from inventory.models import Image, ImageLayer, ManifestLayer, Tag
from registries.connection_test.diagnose import ConnectionStage, StepResult, diagnose
from registries.models import ConnectionTest, Registry
from tests.fakes import images
from tests.fakes.harbor import FakeHarbor, robot
from tests.fakes.registry import FakeRegistry, Status, catalog, json_body
from tests.fakes.registry import manifests as manifest_requests
from tests.fakes.registry import tags as tag_lists
from tests.inventory.sync.test_sync_registry import image, names, sync
from tests.people import person, signed_in_client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def registry(server: FakeRegistry) -> Registry:
    return Registry.objects.create(name="fake", address=server.url)


# --- an account that sees nothing ---------------------------------------------------------------------------------
def test_an_account_that_sees_nothing_is_told_so_in_test_list_and_record(
    server: FakeRegistry, registry: Registry
) -> None:
    image("one").put(server, "team/app", "1")
    server.fail(catalog, json_body({"repositories": []}))
    step = next(each for each in diagnose(registry) if each.stage is ConnectionStage.LISTING)
    assert (step.result, "shows no repository" in step.reason) == (StepResult.WARNED, True)
    assert "read" in step.remedy
    run = sync(registry)
    assert (run.state, run.complete, run.repositories) == (State.SUCCEEDED, True, 0)
    assert "shows no repository" in run.reason
    assert "zot" in run.remedy
    assert registry.connection == Registry.Connection.CONNECTED
    client = signed_in_client("viewer")
    for page in ("registries:registry-list", "registries:sync-list"):
        assert "shows no repository" in client.get(reverse(page)).text
    server.heal()
    run = sync(registry)
    registry.refresh_from_db()
    assert (run.reason, registry.connection_reason) == ("", "")


@pytest.mark.parametrize("tags", [0, 1])
def test_the_page_shows_a_test_that_has_ended_with_or_without_tags(
    server: FakeRegistry, registry: Registry, tags: int
) -> None:
    if tags:
        image("one").put(server, "team/app", "1")
    sync(registry)
    steps = [asdict(step) for step in diagnose(registry)]
    now, user = timezone.now(), person("operator")
    ConnectionTest.objects.create(user=user, registry=registry, saved=True, steps=steps, ended_at=now)
    page = signed_in_client("viewer").get(reverse("registries:registry-detail", args=[registry.pk]))
    assert page.status_code == 200
    assert ("shows no repository" in page.text) is not bool(tags)


def test_an_empty_repository_is_no_warning(server: FakeRegistry, registry: Registry) -> None:
    server.fail(catalog, json_body({"repositories": ["empty"]}))
    server.fail(tag_lists, json_body({"tags": []}))
    step = next(each for each in diagnose(registry) if each.stage is ConnectionStage.LISTING)
    assert (step.result, step.detail) == (StepResult.PASSED, "No images yet.")


# --- the fixed list -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("typed", ["team/nope", "team/app:9", "team/app:x*"])
def test_a_name_of_the_fixed_list_that_does_not_exist_is_said(
    server: FakeRegistry, registry: Registry, typed: str
) -> None:
    image("one").put(server, "team/app", "1")
    registry.repositories = f"team/app:1\n{typed}" if typed == "team/nope" else typed
    registry.save()
    run = sync(registry)
    assert (run.state, run.errors) == (State.SUCCEEDED, 1)
    assert run.reason.count("The registry does not hold what the fixed list names") == 1
    assert typed.partition(":")[0] in run.reason
    assert names() == ({"team/app:1"} if typed == "team/nope" else set())


# --- what can be read after all -----------------------------------------------------------------------------------
@pytest.mark.parametrize("status", [400, 403, 404, 405, 500, 501])
def test_head_that_a_proxy_refuses_is_tried_by_get(server: FakeRegistry, registry: Registry, status: int) -> None:
    image("one").put(server, "team/app", "1")
    server.fail(lambda request: request.method == "HEAD" and manifest_requests(request), Status(status))
    run = sync(registry)
    assert (run.complete, run.tags, run.errors) == (True, 1, 0)


def test_a_schema_1_image_has_sizes_layers_and_steps(server: FakeRegistry, registry: Registry) -> None:
    layers = [images.layer({"a": b"1" * 100}), images.layer({"b": b"2" * 200})]
    for each in layers:
        server.put_blob(each.content)
    content, _payload_digest = images.schema1(*layers)
    server.put_manifest("old/app", "1", content, images.SCHEMA1_SIGNED)
    for each in layers:
        server.put_manifest("old/app", f"blob-{len(each.content)}", each.content, "x")
    server.store.remove_tag("old/app", f"blob-{len(layers[0].content)}")
    server.store.remove_tag("old/app", f"blob-{len(layers[1].content)}")
    run = sync(registry)
    assert (run.tags, run.errors) == (1, 0), run.reason
    found = Image.objects.get()
    assert (found.layer_count, list(ImageLayer.objects.values_list("step", flat=True))) == (2, [0, 1])
    assert list(ManifestLayer.objects.order_by("position").values_list("size", flat=True)) == [
        len(each.content) for each in layers
    ]
    assert Tag.objects.get().size == sum(len(each.content) for each in layers)


def test_an_index_whose_only_child_has_an_unknown_platform_is_an_image(
    server: FakeRegistry, registry: Registry
) -> None:
    made = image("one")
    made.put(server, "team/app", "by-itself")
    server.store.remove_tag("team/app", "by-itself")
    child = {
        "mediaType": images.OCI_MANIFEST,
        "digest": made.digest,
        "size": len(made.manifest),
        "platform": {"os": "unknown", "architecture": "unknown"},
    }
    index = {"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": [child]}
    server.put_manifest("team/app", "1", json.dumps(index).encode(), images.OCI_INDEX)
    run = sync(registry)
    assert (run.tags, run.not_images) == (1, 0)
    assert Image.objects.get().image_id == made.image_id


# --- Harbor by a robot that may only pull -------------------------------------------------------------------------
def test_a_proxy_cache_is_not_read_by_way_of_its_upstream() -> None:
    account = {"robot$ci": robot("secret", projects=["hub", "team", "empty"], may_list=False)}
    with FakeHarbor(accounts=account) as server:
        image("held").put(server, "hub/library/nginx", "1")
        server.project("hub", registry_id=7)
        server.project("empty")
        image("own").put(server, "team/app", "1")
        registry = Registry(name="harbor", type="harbor", version="v2", address=server.url, username="robot$ci")
        registry.set_password("secret")
        registry.save()
        server.seen.clear()
        run = sync(registry)
        assert not [seen for seen in server.seen if seen.path.startswith("/v2/hub/")], "Harbor would fetch it"
    assert (run.state, run.complete, names()) == (State.SUCCEEDED, False, {"team/app:1"})
    assert "project hub caches another registry" in run.reason
    assert "List Artifact" in run.remedy


def test_an_empty_private_project_is_no_failure() -> None:
    account = {"robot$ci": robot("secret", projects=["team", "empty"], may_list=False)}
    with FakeHarbor(accounts=account) as server:
        server.project("empty")
        image("own").put(server, "team/app", "1")
        registry = Registry(name="harbor", type="harbor", version="v2", address=server.url, username="robot$ci")
        registry.set_password("secret")
        registry.save()
        run = sync(registry)
    assert (run.state, run.complete, run.reason, names()) == (State.SUCCEEDED, True, "", {"team/app:1"})

"""A sync of a real distribution server that misbehaves on command."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from console.jobs.broker import request_cancel
from console.jobs.models import State
from inventory import tasks
from inventory.models import Image, ImageLayer, Layer, Manifest, PlatformManifest, Repository, Tag
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, Status, catalog, manifests, rate_limited, silence
from tests.fakes.registry import tags as tag_lists

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def registry(server: FakeRegistry) -> Registry:
    return Registry.objects.create(name="fake", address=server.url)


def sync(registry: Registry, **options: bool) -> SyncRun:
    (run,) = start_sync(registries=[registry], **options).runs
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    return run


def image(text: str) -> images.Image:
    return images.image({"etc/os-release": b"ID=debian\n"}, {"app": text.encode()})


def later(hours: float) -> None:
    """Have that time pass since tags were first missed."""
    for tag in Tag.objects.exclude(missing_since=None):
        Tag.objects.filter(pk=tag.pk).update(missing_since=tag.missing_since - timedelta(hours=hours))


def names() -> set[str]:
    return {str(tag).split("/", 1)[1] for tag in Tag.objects.all()}


def test_what_a_registry_holds_becomes_rows(server: FakeRegistry, registry: Registry) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    run = sync(registry)
    assert (run.state, run.complete, run.reason) == (State.SUCCEEDED, True, "")
    assert (run.repositories, run.tags, run.tags_new, run.errors) == (1, 1, 1, 0)
    tag = Tag.objects.select_related("image", "manifest").get()
    assert tag.address == f"{registry.host}/team/app"
    assert (tag.name, tag.digest) == ("1.0", made.digest)
    assert tag.image is not None
    assert (tag.image.image_id, tag.image.platform) == (made.image_id, "linux/amd64")
    assert tag.size == len(made.config) + sum(len(layer.content) for layer in made.layers)
    assert registry.connection == Registry.Connection.CONNECTED
    assert registry.last_sync == run


def test_an_unchanged_registry_costs_listing_calls_and_heads_only(server: FakeRegistry, registry: Registry) -> None:
    for number in range(5):
        image(f"{number}").put(server, "team/app", f"1.{number}")
    images.helm_chart().put(server, "team/chart", "1.0")
    images.index(image("amd"), image("arm"), attest=True).put(server, "team/multi", "1")
    sync(registry)
    server.seen.clear()
    run = sync(registry)
    assert run.complete
    assert (run.tags, run.tags_new, run.tags_changed, run.tags_gone) == (6, 0, 0, 0)
    assert not server.requests(manifests, method="GET")
    assert len(server.requests(manifests, method="HEAD")) == 7


def test_twenty_tags_of_one_image_ask_for_its_manifest_once(server: FakeRegistry, registry: Registry) -> None:
    made = image("shared")
    for number in range(20):
        made.put(server, "team/app", f"1.{number}")
    sync(registry)
    assert Image.objects.count() == Manifest.objects.count() == 1
    assert Tag.objects.filter(image__image_id=made.image_id).count() == 20
    assert len(server.requests(manifests, method="GET")) == 1


def test_each_registry_is_asked_once_for_what_it_names(registry: Registry, server: FakeRegistry) -> None:
    made = image("shared")
    made.put(server, "team/app", "1.0")
    sync(registry)
    with FakeRegistry() as other_server:
        made.put(other_server, "copy/app", "1.0")
        other = Registry.objects.create(name="other", address=other_server.url)
        sync(other)
        assert len(other_server.requests(manifests, method="GET")) == 1
        made.put(other_server, "copy/app", "also")
        sync(other)
        assert len(other_server.requests(manifests, method="GET")) == 1
    assert Manifest.objects.count() == 1
    assert set(Image.objects.values_list("image_id", "registry")) == {
        (made.image_id, each.pk) for each in (registry, other)
    }
    assert [tag.image.registry_id for tag in Tag.objects.select_related("image") if tag.image] == [
        registry.pk,
        other.pk,
        other.pk,
    ]


def test_what_is_no_image_gets_no_row_and_is_asked_for_once(server: FakeRegistry, registry: Registry) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    images.helm_chart().put(server, "team/chart", "1.0")
    tag, signature = images.cosign_signature(made.digest)
    signature.put(server, "team/app", tag)
    run = sync(registry)
    assert names() == {"team/app:1.0"}
    assert (run.tags, run.not_images) == (1, 2)
    assert Manifest.objects.get(kind=Manifest.Kind.OTHER).artifact_type == images.HELM_CONFIG
    assert not server.requests(lambda request: request.path.endswith(".sig"))
    server.seen.clear()
    assert sync(registry).not_images == 2
    assert not server.requests(manifests, method="GET")


def test_what_is_no_image_is_not_asked_for_again_as_long_as_it_is_there(
    server: FakeRegistry, registry: Registry
) -> None:
    images.helm_chart().put(server, "team/chart", "1.0")
    sync(registry)
    server.seen.clear()
    for _month in range(3):
        Manifest.objects.update(last_seen_at=timezone.now() - timedelta(days=31))
        sync(registry)
    assert not server.requests(manifests, method="GET")


def test_an_index_is_one_tag_with_its_platforms_and_amd64_as_default(server: FakeRegistry, registry: Registry) -> None:
    arm = images.image({"a": b"arm"}, architecture="arm64", variant="v8")
    amd = images.image({"a": b"amd"})
    made = images.index(arm, amd, attest=True)
    made.put(server, "team/multi", "1")
    run = sync(registry)
    assert (run.tags, run.errors) == (1, 0)
    tag = Tag.objects.select_related("image", "manifest").get()
    assert (tag.digest, tag.manifest.kind) == (made.digest, Manifest.Kind.INDEX)
    assert tag.image is not None
    assert tag.image.image_id == amd.image_id
    assert [each.platform for each in PlatformManifest.objects.all()] == ["linux/arm64/v8", "linux/amd64"]
    assert tag.size == len(amd.config) + len(amd.layers[0].content)


def test_an_index_whose_amd64_image_is_absent_shows_the_first_that_is_there(
    server: FakeRegistry, registry: Registry
) -> None:
    amd, arm = image("amd"), images.image({"a": b"arm"}, architecture="arm64")
    images.index(amd, arm, absent=[0]).put(server, "team/sparse", "1")
    run = sync(registry)
    assert (run.state, run.errors) == (State.SUCCEEDED, 0)
    tag = Tag.objects.select_related("image").get()
    assert tag.image is not None
    assert tag.image.image_id == arm.image_id
    assert [(each.platform, each.absent) for each in PlatformManifest.objects.all()] == [
        ("linux/amd64", True),
        ("linux/arm64", False),
    ]


def test_an_index_of_attestations_alone_is_no_image(server: FakeRegistry, registry: Registry) -> None:
    made = images.index(images.attestation(image("x")))
    made.put(server, "team/app", "att")
    run = sync(registry)
    assert (run.tags, run.not_images, run.errors, Tag.objects.count()) == (0, 1, 0, 0)


def test_an_old_schema_1_image_is_an_image_named_by_its_manifest(server: FakeRegistry, registry: Registry) -> None:
    layers = [images.layer({"a": b"1"}), images.layer({"b": b"2"})]
    for each in layers:
        server.put_blob(each.content)
    content, _payload_digest = images.schema1(*layers)
    digest = server.put_manifest("old/app", "1", content, images.SCHEMA1_SIGNED)
    run = sync(registry)
    assert (run.tags, run.errors) == (1, 0), run.reason
    made = Image.objects.get()
    assert (made.image_id, made.platform, len(made.history)) == (digest, "linux/amd64", 2)


def test_the_config_tells_history_layers_and_steps_where_pulls_are_not_limited(
    server: FakeRegistry, registry: Registry
) -> None:
    base, top = images.layer({"base": b"1"}), images.layer({"top": b"2"})
    history = [
        {"created": "2026-01-02T03:04:05Z", "created_by": "ADD base"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "COPY\u0000 top"},
    ]
    images.image(base, top, history=history).put(server, "team/app", "1.0")
    sync(registry)
    made = Image.objects.get()
    assert made.config_known
    assert made.created is not None
    assert [step["empty_layer"] for step in made.history] == [False, True, False]
    assert list(ImageLayer.objects.values_list("diff_id", "step")) == [(base.diff_id, 0), (top.diff_id, 2)]
    assert set(Layer.objects.values_list("diff_id", "verified")) == {("", False)}  # that the config only claims


def test_no_transaction_lasts_while_secrets_are_masked(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    within: list[bool] = []

    def slow(text: str) -> str:
        within.append(connection.in_atomic_block)
        return text

    monkeypatch.setattr("inventory.content.secret_redaction.mask", slow)
    images.image(images.layer({"a": b"1"}), history=[{"created_by": "COPY a"}]).put(server, "team/app", "1.0")
    sync(registry)
    assert Image.objects.get().history
    assert within
    assert not any(within), "on SQLite nobody else could write meanwhile"


def test_under_an_hourly_limit_no_config_is_pulled_by_a_sync(server: FakeRegistry, registry: Registry) -> None:
    Registry.objects.update(limit=5)
    image("one").put(server, "team/app", "1.0")
    sync(registry)
    assert not server.requests(lambda request: "/blobs/" in request.path)
    assert not Image.objects.get().config_known


def test_a_tag_that_moves_gets_the_new_image_and_the_old_one_goes(server: FakeRegistry, registry: Registry) -> None:
    image("old").put(server, "team/app", "latest")
    sync(registry)
    first_seen = Tag.objects.get().first_seen
    new = image("new")
    new.put(server, "team/app", "latest")
    run = sync(registry)
    assert (run.tags_new, run.tags_changed) == (0, 1)
    tag = Tag.objects.select_related("image").get()
    assert (tag.digest, tag.first_seen) == (new.digest, first_seen)
    assert tag.changed_at is not None
    assert Image.objects.get().image_id == new.image_id
    assert Layer.objects.count() == 2


def test_a_tag_that_moves_between_listing_and_reading_is_not_mixed_of_two_images(
    server: FakeRegistry, registry: Registry
) -> None:
    old, new = image("old"), image("new")
    old.put(server, "team/app", "latest")

    def move(request: object, real: object) -> object:
        answer = real()  # type: ignore[operator]
        new.put(server, "team/app", "latest")
        return answer

    server.fail(lambda request: request.method == "HEAD", move, times=1)  # type: ignore[arg-type]
    sync(registry)
    tag = Tag.objects.select_related("image").get()
    assert tag.image is not None
    assert (tag.digest, tag.image.image_id) == (old.digest, old.image_id)
    sync(registry)
    assert Tag.objects.get().digest == new.digest


def test_a_tag_that_becomes_a_chart_is_gone(server: FakeRegistry, registry: Registry) -> None:
    image("one").put(server, "team/app", "1.0")
    sync(registry)
    images.helm_chart().put(server, "team/app", "1.0")
    run = sync(registry)
    assert (run.tags, run.tags_gone, run.not_images, Tag.objects.count()) == (0, 1, 1, 0)


# --- gone, and not gone ------------------------------------------------------------------------------------------
def test_deleted_tags_go_with_their_images_and_what_others_hold_stays(server: FakeRegistry, registry: Registry) -> None:
    gone, kept = image("gone"), image("kept")
    gone.put(server, "team/app", "1.0")
    kept.put(server, "team/app", "2.0")
    kept.put(server, "team/copy", "2.0")
    sync(registry)
    server.store.remove_tag("team/app", "1.0")
    server.store.remove_tag("team/app", "2.0")
    run = sync(registry, confirm_missing=True)
    assert (run.tags_gone, run.complete) == (2, True)
    assert names() == {"team/copy:2.0"}
    assert Image.objects.get().image_id == kept.image_id


def test_an_image_that_is_being_scanned_outlives_its_tags(server: FakeRegistry, registry: Registry) -> None:
    image("one").put(server, "team/app", "1.0")
    sync(registry)
    Image.objects.update(scan_state=Image.ScanState.RUNNING)
    server.store.remove_tag("team/app", "1.0")
    sync(registry, confirm_missing=True)
    assert Image.objects.count() == 1
    Image.objects.update(scan_state=Image.ScanState.SCANNED)
    sync(registry)
    assert Image.objects.count() == 0


def test_a_catalog_that_breaks_off_loses_nothing_and_keeps_what_was_found(
    server: FakeRegistry, registry: Registry
) -> None:
    for number in range(6):
        image(f"{number}").put(server, f"team/app{number}", "1.0")
    sync(registry)
    image("new").put(server, "team/app0", "2.0")
    for number in range(6):
        server.store.remove_tag(f"team/app{number}", "1.0")
    first_page = b'{"repositories":["team/app0","team/app1"]}'
    server.fail(
        catalog, Status(200, {"Link": '</v2/_catalog?last=team/app1&n=2>; rel="next"'}, body=first_page), times=1
    )
    server.fail(catalog, Status(500))
    run = sync(registry)
    assert (run.state, run.complete) == (State.QUEUED, False)  # to be tried once more
    assert "500" in run.reason
    assert names() == {"team/app0:2.0"} | {f"team/app{number}:1.0" for number in range(6)}
    assert set(Tag.objects.exclude(missing_since=None).values_list("repository__name", flat=True)) == {
        "team/app0",
        "team/app1",
    }


def test_one_repository_that_fails_is_named_and_kept_and_the_rest_is_synced(
    server: FakeRegistry, registry: Registry
) -> None:
    for name in ("a", "b", "c"):
        image(name).put(server, name, "1.0")
    sync(registry)
    server.store.remove_tag("b", "1.0")
    server.store.remove_tag("c", "1.0")
    server.fail(lambda request: request.path == "/v2/b/tags/list", Status(500))
    run = sync(registry)
    assert (run.state, run.complete, run.errors) == (State.SUCCEEDED, False, 1)
    assert run.reason.count("b:") == 1
    assert run.remedy
    assert names() == {"a:1.0", "b:1.0", "c:1.0"}
    assert [tag.repository.name for tag in Tag.objects.exclude(missing_since=None)] == ["c"]


def test_a_repository_that_may_not_be_read_any_more_is_kept(server: FakeRegistry, registry: Registry) -> None:
    image("a").put(server, "a", "1.0")
    sync(registry)
    server.fail(lambda request: request.path == "/v2/a/tags/list", Status(403, code="DENIED"))
    run = sync(registry)
    assert (run.complete, names()) == (False, {"a:1.0"})


def test_a_repository_that_is_missing_from_the_catalog_is_asked_before_it_goes(
    server: FakeRegistry, registry: Registry
) -> None:
    for name in ("deleted", "hidden", "closed"):
        image(name).put(server, name, "1.0")
    sync(registry)
    server.fail(catalog, Status(200, body=b'{"repositories":[]}'))
    server.fail(lambda request: request.path == "/v2/closed/tags/list", Status(403, code="DENIED"))
    server.fail(lambda request: request.path == "/v2/deleted/tags/list", Status(404, code="NAME_UNKNOWN"))
    run = sync(registry, confirm_missing=True)
    assert names() == {"hidden:1.0", "closed:1.0"}
    assert (run.tags_gone, run.complete) == (1, False)
    assert not Repository.objects.filter(name="deleted").exists()
    run = sync(registry, forget_unlisted=True)
    assert names() == set()
    assert run.complete


def test_an_empty_list_where_there_were_many_tags_is_not_believed_at_once(
    server: FakeRegistry, registry: Registry
) -> None:
    made = image("many")
    for number in range(60):
        made.put(server, "team/app", f"1.{number}")
    sync(registry)
    server.fail(tag_lists, Status(200, body=b'{"name":"team/app","tags":null}'))
    run = sync(registry)
    assert (run.complete, Tag.objects.count()) == (False, 60)
    assert "suddenly" in run.reason
    server.fail(lambda request: request.method == "HEAD", Status(404))
    server.fail(manifests, Status(404, code="MANIFEST_UNKNOWN"))
    run = sync(registry)
    assert (run.complete, run.tags_missing, Tag.objects.count()) == (False, 60, 60), "an hour has not passed"
    later(2)
    run = sync(registry)
    assert (run.complete, run.tags_gone, Tag.objects.count()) == (True, 60, 0)


def test_some_tags_that_fail_among_others_cost_none_of_those(server: FakeRegistry, registry: Registry) -> None:
    made = image("one")
    for number in range(300):
        made.put(server, "team/app", f"t{number:03}")
    broken = tuple(f"/manifests/t{number:03}" for number in range(0, 20, 2))
    server.fail(lambda request: request.path.endswith(broken), Status(500))
    run = sync(registry)
    assert (run.state, run.complete, run.errors) == (State.SUCCEEDED, False, 10)
    assert Tag.objects.count() == 290


def test_a_registry_that_dies_in_the_middle_stops_the_sync_soon_and_loses_nothing(
    server: FakeRegistry, registry: Registry
) -> None:
    for number in range(40):
        image(f"{number}").put(server, f"team/app{number:02}", "1.0")
    sync(registry)
    server.fail(tag_lists, Status(500))
    server.seen.clear()
    run = sync(registry)
    assert run.state in {State.FAILED, State.QUEUED}
    assert "500" in run.reason
    assert Tag.objects.count() == 40
    assert len(server.requests(tag_lists)) < 20


# --- credentials -------------------------------------------------------------------------------------------------
def test_wrong_credentials_stop_everything_and_are_not_tried_again() -> None:
    with FakeRegistry(method="basic", users={"reader": "secret"}) as server:
        image("a").put(server, "a", "1.0")
        registry = Registry(name="closed", address=server.url, username="reader")
        registry.set_password("secret")
        registry.save()
        assert sync(registry).state == State.SUCCEEDED
        registry.set_password("wrong")
        registry.save()
        run = sync(registry)
        assert run.state == State.FAILED
        assert registry.connection == Registry.Connection.REFUSED
        assert names() == {"a:1.0"}
        server.seen.clear()
        run = sync(registry)
        assert (run.state, len(server.seen)) == (State.FAILED, 0)
        assert "lock" in run.reason
        registry.set_password("secret")
        registry.save()
        assert sync(registry).state == State.SUCCEEDED


# --- what cannot be read -----------------------------------------------------------------------------------------
def test_a_manifest_that_makes_no_sense_is_shown_with_its_reason_and_asked_for_again(
    server: FakeRegistry, registry: Registry
) -> None:
    image("good").put(server, "team/app", "good")
    server.put_manifest("team/app", "bad", b'{"schemaVersion": 2, "layers": 7}', images.OCI_MANIFEST)
    run = sync(registry)
    assert (run.state, run.tags, run.errors) == (State.SUCCEEDED, 2, 1)
    assert "team/app:bad" in run.reason
    tag = Tag.objects.select_related("image").get(name="bad")
    assert tag.image is not None
    assert tag.image.scan_state == Image.ScanState.FAILED
    assert tag.image.scan_reason
    assert tag.image.scan_remedy
    server.seen.clear()
    sync(registry)
    assert len(server.requests(manifests, method="GET")) == 1


def test_an_image_that_becomes_readable_takes_the_place_of_its_stand_in(
    server: FakeRegistry, registry: Registry
) -> None:
    made = image("one")
    made.put(server, "team/app", "1.0")
    server.fail(lambda request: manifests(request) and request.method == "GET", Status(403, code="DENIED"))
    sync(registry)
    assert Image.objects.get().scan_state == Image.ScanState.FAILED
    server.heal()
    assert sync(registry).errors == 0
    assert Image.objects.get().image_id == made.image_id
    assert Tag.objects.get().image == Image.objects.get()


def test_a_repository_that_denies_a_manifest_hides_it_in_no_other(server: FakeRegistry, registry: Registry) -> None:
    made = image("shared")
    for name in ("a", "b"):
        made.put(server, name, "1.0")
    server.fail(lambda request: request.method == "GET" and request.path.startswith("/v2/a/manifests/"), Status(403))
    assert sync(registry).errors == 0
    assert {tag.manifest.kind for tag in Tag.objects.select_related("manifest")} == {Manifest.Kind.IMAGE}
    assert Image.objects.get().config_known


def test_five_megabytes_of_nonsense_end_in_a_row_that_says_so(server: FakeRegistry, registry: Registry) -> None:
    server.put_manifest("team/app", "huge", b"{" + b" " * 5_000_000 + b"}", images.OCI_MANIFEST)
    run = sync(registry)
    assert run.state == State.SUCCEEDED
    made = Image.objects.get()
    assert (made.scan_state, "larger" in made.scan_reason) == (Image.ScanState.FAILED, True)


def test_names_that_no_row_can_hold_are_left_out_and_counted(server: FakeRegistry, registry: Registry) -> None:
    image("a").put(server, "a", "1.0")
    image("gone").put(server, "gone", "1.0")
    sync(registry)
    server.store.remove_repository("gone")
    listed = json.dumps({"repositories": ["a", "x" * 301, "b\0", "\ud800", "y" * 2000]})
    server.fail(catalog, Status(200, body=listed.encode()))
    listed = json.dumps({"name": "a", "tags": ["1.0", "x" * 400, "../x"]})
    server.fail(lambda request: request.path == "/v2/a/tags/list", Status(200, body=listed.encode()))
    run = sync(registry, confirm_missing=True)
    assert (run.state, run.complete, names()) == (State.SUCCEEDED, True, {"a:1.0"})
    assert run.errors >= 2
    assert run.reason
    assert run.remedy


def test_a_password_changed_in_the_middle_stops_the_sync_and_retires_nothing() -> None:
    with FakeRegistry(method="basic", users={"reader": "secret"}) as server:
        for number in range(30):
            image(f"{number}").put(server, f"team/app{number:02}", "1.0")
        registry = Registry(name="closed", address=server.url, username="reader")
        registry.set_password("secret")
        registry.save()
        sync(registry)
        server.seen.clear()

        def change(request: object, real: object) -> object:
            server.sign_in.users = {"reader": "changed"}
            return real()  # type: ignore[operator]

        server.fail(lambda request: request.path == "/v2/team/app10/tags/list", change, times=1)  # type: ignore[arg-type]
        run = sync(registry)
        assert run.state == State.FAILED
        assert registry.connection == Registry.Connection.REFUSED
        assert (run.tags_gone, Tag.objects.count()) == (0, 30)
        refusals = [seen for seen in server.requests(tag_lists) if seen.path > "/v2/team/app10"]
        assert len(refusals) < 15


def test_an_address_where_nothing_listens_is_recorded_as_failed(registry: Registry, server: FakeRegistry) -> None:
    image("a").put(server, "a", "1.0")
    sync(registry)
    server.fail(lambda request: request.path == "/v2/", Status(500))
    run = sync(registry)
    assert run.state in {State.QUEUED, State.FAILED}
    assert (run.tags_gone, names()) == (0, {"a:1.0"})
    assert registry.connection == Registry.Connection.FAILED
    assert registry.connection_reason
    assert registry.connection_remedy


# --- cancelled, broken off, resumed ------------------------------------------------------------------------------
def test_a_cancel_is_heard_while_the_registry_says_nothing(server: FakeRegistry, registry: Registry) -> None:
    image("a").put(server, "a", "1.0")
    server.fail(lambda request: request.method == "HEAD", silence)
    (run,) = start_sync(registries=[registry]).runs
    worker = threading.Thread(target=work_and_close, args=(run.pk,))
    worker.start()
    wait_until(lambda: bool(server.requests(manifests)))
    run.refresh_from_db()
    request_cancel(run)
    worker.join(timeout=10)
    run.refresh_from_db()
    assert (run.state, worker.is_alive()) == (State.CANCELLED, False)
    assert registry.connection == "unknown"  # this object is old: the run itself has written "connected"
    assert Registry.objects.get().connection == Registry.Connection.CONNECTED


def test_a_sync_that_was_broken_off_does_not_read_again_what_it_has_read(
    server: FakeRegistry, registry: Registry
) -> None:
    for number in range(6):
        image(f"{number}").put(server, f"team/app{number}", "1.0")
    server.fail(lambda request: request.path == "/v2/team/app1/manifests/1.0", Status(500))
    first_page = b'{"repositories":["team/app0","team/app1","team/app2"]}'
    next_page = {"Link": '</v2/_catalog?last=team/app2&n=3>; rel="next"'}
    server.fail(catalog, Status(200, next_page, body=first_page), times=1)
    server.fail(catalog, Status(500))
    run = sync(registry)
    assert (run.state, run.complete) == (State.QUEUED, False)
    read = set(Repository.objects.exclude(synced_at=None).values_list("name", flat=True))
    assert read == {"team/app0", "team/app2"}
    server.heal()
    server.seen.clear()
    SyncRun.objects.update(not_before=None)
    tasks.sync(run.pk)
    run.refresh_from_db()
    assert (run.state, run.complete, run.tags, Tag.objects.count()) == (State.SUCCEEDED, True, 6, 6)
    again = {seen.path.removeprefix("/v2/").removesuffix("/tags/list") for seen in server.requests(tag_lists)}
    assert not again & read
    assert "team/app1" in again


def test_a_large_sync_makes_way_for_others_and_goes_on(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        image(f"{number}").put(server, f"team/app{number}", "1.0")
    monkeypatch.setattr("inventory.sync.sync_registry.BATCH_TAGS", 2)
    monkeypatch.setattr("inventory.sync.sync_registry.YIELD_AFTER_SECONDS", -1)
    (run,) = start_sync(registries=[registry]).runs
    turns = 0
    while not run.is_final:
        tasks.sync(run.pk)
        run.refresh_from_db()
        turns += 1
    assert turns > 2
    assert (run.state, run.complete, run.repositories, run.tags, Tag.objects.count()) == ("succeeded", True, 4, 4, 4)


def test_a_rate_limit_puts_the_sync_off_until_the_registry_listens_again(
    server: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("registries.oci.transport.MAX_TRIES", 1)  # as after all of its tries
    image("a").put(server, "a", "1.0")
    server.fail(manifests, rate_limited("300"))
    run = sync(registry)
    assert (run.state, run.complete) == (State.QUEUED, False)
    assert run.reason
    assert run.not_before is not None
    assert timedelta(minutes=4) < run.not_before - timezone.now() < timedelta(minutes=6)


# --- many at a time ----------------------------------------------------------------------------------------------
def test_a_registry_whose_sync_waits_gets_no_second_one(registry: Registry) -> None:
    (run,) = start_sync(registries=[registry]).runs
    assert start_sync(registries=[registry]).already_active == [registry]
    tasks.sync(run.pk)
    assert len(start_sync(registries=[registry]).runs) == 1


def test_a_delivery_that_comes_twice_does_the_sync_once(server: FakeRegistry, registry: Registry) -> None:
    run = sync(registry)
    server.seen.clear()
    tasks.sync(run.pk)
    assert not server.seen


def test_repositories_come_in_pages_and_names_of_many_segments_stay(server: FakeRegistry, registry: Registry) -> None:
    wanted = {f"deep/{number}/er/name" for number in range(25)} | {"one"}
    made = image("x")
    for name in wanted:
        made.put(server, name, "sha256")  # a tag named like an algorithm
    run = sync(registry)
    assert (run.repositories, run.tags) == (26, 26)
    assert names() == {f"{name}:sha256" for name in wanted}


def test_a_fixed_list_asks_no_catalog_and_what_is_taken_off_it_goes(server: FakeRegistry, registry: Registry) -> None:
    for name, tag in (("a", "1.0"), ("a", "2.0"), ("a", "1.1"), ("b", "1.0"), ("c", "1.0")):
        image(name + tag).put(server, name, tag)
    registry.repositories = f"a:1.*\n{registry.host}/b\n# c\n"
    registry.save()
    run = sync(registry)
    assert names() == {"a:1.0", "a:1.1", "b:1.0"}
    assert not server.requests(catalog)
    registry.repositories = "b"
    registry.save()
    run = sync(registry)
    assert (run.tags_gone, names()) == (2, {"b:1.0"})


def test_a_closed_catalog_says_what_to_do(server: FakeRegistry, registry: Registry) -> None:
    server.fail(catalog, Status(403, code="DENIED"))
    run = sync(registry)
    assert run.state == State.FAILED
    assert "fixed list" in run.remedy


def work_and_close(pk: int) -> None:
    try:
        tasks.sync(pk)
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


# --- from the command line ---------------------------------------------------------------------------------------
def test_the_command_syncs_here_and_now_and_says_what_it_has_brought(
    server: FakeRegistry, registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    image("a").put(server, "a", "1.0")
    call_command("sync_registries", "FAKE", "--now")
    assert "fake: Succeeded, 1 repositories, 1 tags (1 new" in capsys.readouterr().out
    server.fail(catalog, Status(403, code="DENIED"))
    with pytest.raises(CommandError):
        call_command("sync_registries", "--now")
    assert "fixed list" in capsys.readouterr().out
    with pytest.raises(CommandError, match="nobody"):
        call_command("sync_registries", "nobody")


def test_the_command_leaves_the_work_to_the_workers_unless_told(server: FakeRegistry, registry: Registry) -> None:
    call_command("sync_registries")
    assert SyncRun.objects.get().state == State.QUEUED
    assert not server.seen


def test_a_registry_that_does_not_take_its_own_tokens_locks_nobody_out(server: FakeRegistry) -> None:
    server.sign_in.method, server.sign_in.users = "bearer", {"ada": "right"}
    image("one").put(server, "team/app", "1.0")
    registry = Registry(name="fake", address=server.url, username="ada")
    registry.set_password("right")
    registry.save()
    server.fail(lambda request: request.path == "/v2/" and "Authorization" in request.headers, Status(401))
    run = sync(registry)
    assert run.state == State.QUEUED, "it is tried again in a moment"
    assert run.reason == "The registry refuses the tokens of its token service."
    assert run.remedy
    assert registry.connection == Registry.Connection.FAILED
    assert not registry.credentials_refused
    server.heal()
    SyncRun.objects.filter(pk=run.pk).update(not_before=None)
    tasks.sync(run.pk)
    run.refresh_from_db()
    registry.refresh_from_db()
    assert (run.state, registry.connection) == (State.SUCCEEDED, Registry.Connection.CONNECTED)

"""Whoever owns one registry and one image tries to change, blank, read or delay what others hold."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from dataclasses import replace
from html import unescape
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from console import visibility
from console.jobs.models import State
from console.models import Team
from demo.registry_server import ServerResponse
from inventory import tasks as inventory_tasks
from inventory.content.store import LayerFact, ManifestFact, store_manifests
from inventory.models import Image, Layer, Manifest, RegistryLayer, Tag
from registries.models import PushEvent, Registry
from registries.oci.manifests import MAX_DESCRIPTOR_BYTES
from registries.oci.transport import Transport
from registries.removal import request_removal
from registries.webhooks.ingest import ingest_changes
from registries.webhooks.payloads import Change
from scanning import tasks
from scanning.engines.base import ImageReport, MatchFact, PackageFact, Severity, VulnerabilityFact
from scanning.findings.store import store_packages
from scanning.models import CategoryResult, Scan
from scanning.runs import refused_credentials
from scanning.runs.scan_now import cancel, scan_now
from tests import factories
from tests.fakes import images
from tests.fakes.registry import Body, Redirect, Status, blob, rate_limited
from tests.isolation import test_copies
from tests.isolation.test_copies import (
    BASE,
    FINDINGS,
    FOREIGN,
    LAST,
    MARKS,
    OTHER,
    TOP,
    VICTIM,
    Attack,
    World,
    named,
    put,
    shown,
    typed,
)
from tests.scanning.conftest import image_of, run_until_final, scan, sync, vulnerability_database  # noqa: F401
from tests.scanning.execution.test_pipeline import EICAR, TOKEN

world = test_copies.world
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]


def theirs_of(world: World, name: str = "1.0") -> Tag:
    return Tag.objects.get(registry=world.theirs, name=name)


def old_form(*layers: images.Layer) -> dict[str, Any]:
    """What a manifest of schema 1 says."""
    return {
        "schemaVersion": 1,
        "name": "evil/app",
        "tag": "1.0",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": each.digest} for each in reversed(layers)],
        "history": [{"v1Compatibility": json.dumps({"os": "linux"})} for _each in layers],
    }


# --- proofs that can be guessed -----------------------------------------------------------------------------------
def test_ranges_of_zeros_prove_nothing_of_a_layer_that_is_mostly_zeros(world: World) -> None:
    hollow = images.layer(
        {"swap": bytes(2_000_000), "app/victim.env": b"GITHUB_TOKEN=" + TOKEN + b"\n", "tail": bytes(1_000_000)}, "none"
    )
    victim = images.image(BASE, hollow)
    victim.put(world.ours_server, "team/hollow", "1.0")
    sync(world.ours)
    ours = Tag.objects.get(registry=world.ours, repository__name="team/hollow")
    assert scan(ours).state == State.SUCCEEDED
    victim.put(world.theirs_server, "evil/hollow", "1.0")
    total = len(hollow.content)

    def zeros(request: Any, real: Any) -> Any:
        asked = request.headers.get("Range", "")
        if not asked:
            return Status(404, code="BLOB_UNKNOWN")(request, real)
        first, _dash, last = asked.removeprefix("bytes=").partition("-")
        found = {"Content-Range": f"bytes {first}-{last}/{total}"}
        return ServerResponse(206, found, bytes(int(last) - int(first) + 1))

    world.theirs_server.fail(blob(hollow.digest), zeros)
    sync(world.theirs)
    (queued,) = scan_now(tag_ids=[theirs_of(world).pk], requested_by=None).queued
    run_until_final(queued)
    assert not image_of(theirs_of(world)).is_shared
    assert "victim.env" not in shown(world.them, [theirs_of(world)])


def test_a_layer_that_another_registry_is_made_to_deliver_proves_nothing(world: World) -> None:
    ours = f"{world.ours_server.url}/v2/team/app/blobs/{TOP.digest}"
    put(world.theirs_server, "evil/relay", Attack(config=VICTIM.config, top=Redirect(ours)))
    sync(world.theirs)
    before = world.state()
    (queued,) = scan_now(tag_ids=[theirs_of(world).pk], requested_by=None).queued
    ended = run_until_final(queued)
    assert ended.state == State.FAILED
    assert "another registry of this console" in ended.reason
    assert not image_of(theirs_of(world)).is_shared
    assert "victim.env" not in shown(world.them, [theirs_of(world)])
    assert world.state() == before


# --- manifests that name what is ours -----------------------------------------------------------------------------
EMPTY = images.layer({})
DOCKER_OF_OURS = images.to_json(
    {
        "schemaVersion": 2,
        "mediaType": images.DOCKER_MANIFEST,
        "config": images.descriptor(VICTIM.config, images.DOCKER_CONFIG),
        "layers": [typed(each, images.DOCKER_LAYER) for each in VICTIM.layers],
    }
)
BODY = json.loads(VICTIM.manifest)


def of_ours(**more: Any) -> bytes:
    """Our manifest with something more in it, or other, and so of another digest."""
    return images.to_json(BODY | more)


def middle(**more: Any) -> bytes:
    """A manifest of our config in which the middle layer is described otherwise."""
    return named(BASE.descriptor, {**TOP.descriptor, **more}, LAST.descriptor)


def both_platforms(of: bytes) -> bytes:
    """An index of an image of theirs, and of the manifest ``of`` for another platform."""
    entries = [
        {**images.descriptor(content, images.OCI_MANIFEST), "platform": {"os": "linux", "architecture": architecture}}
        for content, architecture in ((OTHER.manifest, "amd64"), (of, "arm64"))
    ]
    return images.to_json({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": entries})


def nested(of: bytes, media_type: str) -> bytes:
    entries = [{**images.descriptor(of, media_type), "platform": {"os": "linux", "architecture": "amd64"}}]
    return images.to_json({"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": entries})


INNER = nested(VICTIM.manifest, images.OCI_MANIFEST)
KNOWN: dict[str, Any] = {"config": VICTIM.config}
THEIRS: dict[str, Any] = {"own": (OTHER.config, OTHER.layers[0].content, OTHER.manifest)}
URL = "https://ours.example/v2/team/app/blobs/" + TOP.digest
WHOLE = ServerResponse(
    206, {"Content-Range": f"bytes 0-{len(TOP.content) - 1}/{len(TOP.content)}"}, bytes(len(TOP.content))
)
PACKED = ServerResponse(206, {"Content-Range": "bytes 0-63/100", "Content-Encoding": "gzip"}, gzip.compress(bytes(64)))
NAMING: dict[str, Attack] = {
    "an index in an index that names our manifest": Attack(nested(INNER, images.OCI_INDEX), images.OCI_INDEX, **KNOWN),
    "an index with ours for another platform": Attack(both_platforms(VICTIM.manifest), images.OCI_INDEX, **THEIRS),
    "a space more": Attack(VICTIM.manifest + b" ", **KNOWN),
    "our manifest as a subject": Attack(of_ours(subject=images.descriptor(VICTIM.manifest, images.OCI_MANIFEST))),
    "an annotation more": Attack(of_ours(annotations={"a": "b"}), **KNOWN),
    "of Docker's types": Attack(DOCKER_OF_OURS, images.DOCKER_MANIFEST, **KNOWN),
    "the middle layer smaller": Attack(middle(size=100), **KNOWN),
    "the middle layer empty": Attack(middle(size=0), **KNOWN),
    "the middle layer larger": Attack(middle(size=1 << 40), **KNOWN),
    "the middle layer by an address": Attack(middle(urls=[URL]), **KNOWN),
    "the middle layer foreign, by an address": Attack(middle(urls=[URL], mediaType=FOREIGN), **KNOWN),
    "the middle layer not to be distributed": Attack(
        middle(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"), **KNOWN
    ),
    "the middle layer foreign and encrypted": Attack(middle(mediaType=FOREIGN + "+encrypted"), **KNOWN),
    "the middle layer of another packing": Attack(middle(mediaType=images.OCI_LAYER + "+zstd"), **KNOWN),
    "the middle layer not packed": Attack(middle(mediaType=images.OCI_LAYER), **KNOWN),
    "the middle layer with content of theirs in the manifest": Attack(
        middle(data=base64.b64encode(bytes(len(TOP.content))).decode()), **KNOWN
    ),
    "an empty layer for the middle one": Attack(
        named(BASE.descriptor, EMPTY.descriptor, LAST.descriptor), own=(EMPTY.content,), **KNOWN
    ),
    "a layer more": Attack(
        named(*(each.descriptor for each in VICTIM.layers), EMPTY.descriptor), own=(EMPTY.content,), **KNOWN
    ),
    "the middle layer thrice": Attack(named(*([TOP.descriptor] * 3)), **KNOWN),
    "our config for a chart": Attack(of_ours(config=images.descriptor(VICTIM.config, images.HELM_CONFIG)), **KNOWN),
    "our config of a wrong size": Attack(of_ours(config={**BODY["config"], "size": 1}), **KNOWN),
    "the old form that names our layers": Attack(
        images.to_json(old_form(*VICTIM.layers)), "application/vnd.docker.distribution.manifest.v1+json"
    ),
    "a part that is the whole": Attack(top=lambda request, real: WHOLE, **KNOWN),
    "a part that is packed": Attack(top=lambda request, real: PACKED, **KNOWN),
    "the layer cut off": Attack(top=Body(TOP.content[:1000]), **KNOWN),
    "a redirect in circles": Attack(top=Redirect("{path}"), **KNOWN),
    "an error for parts": Attack(top=Status(403, code="DENIED"), **KNOWN),
}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_who_names_our_content_gets_to_it(world: World) -> None:
    before, theirs = world.state(), dict[str, Tag]()
    for number, (name, attack) in enumerate(NAMING.items()):
        repository = f"evil/{number}"
        put(world.theirs_server, repository, attack)
        world.theirs_server.put_manifest(repository, images.sha256(INNER), INNER, images.OCI_INDEX)
        world.theirs_server.put_manifest(repository, OTHER.digest, OTHER.manifest, OTHER.media_type)
        registry = Registry.objects.create(name=f"evil {number}", address=world.theirs_server.url)
        Registry.objects.filter(pk=registry.pk).update(repositories=repository)
        registry.refresh_from_db()
        registry.teams.add(Team.objects.get(name="theirs"))
        sync(registry)
        for tag in Tag.objects.filter(registry=registry, name="1.0"):
            theirs[name] = tag
    for tag in theirs.values():
        with visibility.set_to(visibility.of(world.them)):
            queued = scan_now(tag_ids=[tag.pk], requested_by=world.them).queued
        for each in queued:
            run_until_final(each)
    got_through: dict[str, Any] = {}
    for name, tag in theirs.items():
        tag.refresh_from_db()
        read = shown(world.them, [tag])
        if found := [mark for mark in MARKS if mark in read and mark not in NAMING[name].knows]:
            got_through[name] = found
        image = tag.image
        if image is not None and (image.is_shared and image.image_id == VICTIM.image_id):
            got_through[f"{name}, hangs on"] = image.image_id
        if image is not None and image.image_id == VICTIM.image_id and image.security == Image.Security.SAFE:
            got_through[f"{name}, safe"] = image.image_id
    assert got_through == {}
    assert world.state() == before
    assert set(NAMING) - set(theirs) == {"our config for a chart", "our manifest as a subject"}
    top = Layer.objects.get(digest=TOP.digest)
    assert list(RegistryLayer.objects.filter(layer=top).values_list("registry", flat=True)) == [world.ours.pk]
    assert (top.diff_id, top.size) == (TOP.diff_id, len(TOP.content))


def test_events_with_our_names_and_digests_change_nothing_of_ours(world: World) -> None:
    before = world.state()
    world.theirs_server.put_manifest("team/app", "1.0", VICTIM.manifest, VICTIM.media_type)
    for name, tag in (("team/app", "1.0"), ("team/app", VICTIM.digest), ("team/app", ""), ("../team/app", "1.0")):
        ingest_changes(registry=world.theirs, found=[Change((name,), tag)])
        PushEvent.objects.update(not_before=None)
        for event in PushEvent.objects.filter(state=State.QUEUED):
            tasks.push_event(event.pk)
    assert world.state() == before
    assert not Tag.objects.filter(registry=world.theirs, image__registry=None).exists()
    world.theirs_server.store.remove_tag("team/app", "1.0")
    ingest_changes(registry=world.theirs, found=[Change(("team/app",), "")])
    PushEvent.objects.update(not_before=None)
    tasks.push_event(PushEvent.objects.latest("pk").pk)
    assert world.state() == before


# --- one content with two meanings --------------------------------------------------------------------------------
def test_a_config_that_is_a_manifest_of_the_old_form_too(world: World) -> None:
    bad = images.layer({"bad/eicar.com": EICAR})
    plain = images.image(BASE, bad)
    good = images.layer({"good": b"good"})
    body = json.loads(plain.config) | old_form(BASE, good)
    del body["config"]
    config = images.to_json(body)
    ours_manifest = named(BASE.descriptor, bad.descriptor, config=config)
    for server in (world.ours_server, world.theirs_server):
        server.put_blob(config)
        for layer in (BASE, bad, good):
            server.put_blob(layer.content)
    world.ours_server.put_manifest("team/polyglot", "poly", ours_manifest, images.OCI_MANIFEST)
    sync(world.ours)
    ours = Tag.objects.get(registry=world.ours, name="poly")
    assert scan(ours).state == State.SUCCEEDED
    assert image_of(ours).malware == 1
    world.theirs_server.put_manifest(
        "evil/polyglot", "1.0", config, "application/vnd.docker.distribution.manifest.v1+json"
    )
    sync(world.theirs)
    theirs = theirs_of(world)
    ended = scan(theirs)
    assert image_of(theirs).image_id == image_of(ours).image_id
    scan(theirs)
    assert ended.state == State.SUCCEEDED
    assert image_of(ours).malware == 1
    assert image_of(theirs) != image_of(ours)


def test_a_manifest_of_two_forms(world: World) -> None:
    good = images.image({"good": b"good"})
    body = json.loads(good.manifest) | old_form(*good.layers)
    del body["mediaType"]
    body["schemaVersion"] = 1
    both = images.to_json(body)
    for server in (world.ours_server, world.theirs_server):
        server.put_blob(good.config)
        server.put_blob(good.layers[0].content)
    world.theirs_server.put_manifest("evil/both", "1.0", both, "application/vnd.docker.distribution.manifest.v1+json")
    sync(world.theirs)
    world.ours_server.put_manifest("team/both", "both", both, images.OCI_MANIFEST)
    sync(world.ours)
    tags = Tag.objects.filter(repository__name__endswith="/both")
    assert {tag.manifest.kind for tag in tags} == {Manifest.Kind.UNREADABLE}


def test_a_diff_id_of_another_algorithm(world: World) -> None:
    config = images.to_json(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {
                "type": "layers",
                "diff_ids": ["sha512:" + hashlib.sha512(each.tar).hexdigest() for each in (BASE, LAST)],
            },
        }
    )
    for content in (config, BASE.content, LAST.content):
        world.theirs_server.put_blob(content)
    world.theirs_server.put_manifest(
        "evil/app", "1.0", named(BASE.descriptor, LAST.descriptor, config=config), images.OCI_MANIFEST
    )
    sync(world.theirs)
    assert scan(theirs_of(world)).state == State.FAILED  # Trivy reads SHA-256 alone
    assert scan(world.tag).layers_pulled == 0


# --- packages of one image alone ----------------------------------------------------------------------------------
def test_an_image_of_the_same_config_speaks_for_no_packages_of_ours() -> None:
    ours = factories.image()
    tag = factories.tag(of=ours)
    registry = factories.registry()
    theirs = factories.image(image_id=ours.image_id, registry=registry, manifest=tag.manifest)
    fact = PackageFact("pkg:deb/debian/a@1", "deb", "a", "1")
    known = VulnerabilityFact("CVE-2024-1")
    match = MatchFact(fact.purl, "CVE-2024-1", Severity.CRITICAL, package=fact.identity)
    first = ImageReport("debian 12", False, (fact,), (known,), (match,), (), matched_with="1")
    store_packages(image=ours, report=first)
    store_packages(image=theirs, report=replace(first, matches=()))
    assert ours.image_packages.filter(variant__matches__vulnerability__name="CVE-2024-1").exists()


# --- what is said of others ---------------------------------------------------------------------------------------
@pytest.fixture
def mirrored(world: World) -> Tag:
    VICTIM.put(world.theirs_server, "mirror/app", "1.0")
    sync(world.theirs)
    assert scan(theirs_of(world)).state == State.SUCCEEDED
    tag = theirs_of(world)
    assert image_of(tag) == image_of(world.tag)
    return tag


def _launched(user: Any, tag: Tag) -> Scan:
    with visibility.set_to(visibility.of(user)):
        (queued,) = scan_now(tag_ids=[tag.pk], requested_by=user).queued
    return queued


def test_why_a_scan_through_another_registry_waits_is_not_said_to_us(world: World, mirrored: Tag) -> None:
    _launched(world.them, mirrored)
    _launched(world.us, world.tag)
    refused_credentials.postpone_queued(
        world.theirs, until=timezone.now(), reason="theirs.example has locked the account"
    )
    assert "theirs.example" not in unescape(shown(world.us, [world.tag]))


def test_a_cancel_does_not_show_why_a_scan_through_another_registry_failed(world: World, mirrored: Tag) -> None:
    image = image_of(world.tag)
    last = Scan.objects.filter(registry=world.ours).latest("pk")
    CategoryResult.objects.filter(image=image, category="malware").update(
        outcome="failed", reason="ours.example broke", scan=last
    )
    _launched(world.them, mirrored)
    with visibility.set_to(visibility.of(world.them)):
        assert cancel(tag_ids=[mirrored.pk]) == 1
    assert "ours.example" not in unescape(shown(world.them, [mirrored]))


def test_a_registry_that_asks_for_a_long_pause_does_not_delay_others(
    world: World, mirrored: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Transport, "wait", lambda transport, seconds: None)
    world.theirs_server.fail(lambda request: "/manifests/" in request.path, rate_limited("80000"))
    (queued,) = scan_now(tag_ids=[mirrored.pk, world.tag.pk], requested_by=None).queued
    Scan.objects.filter(pk=queued.pk).update(tag=mirrored, registry=world.theirs)
    ended = run_until_final(queued)
    assert (ended.state, ended.registry) == (State.SUCCEEDED, world.ours)
    assert image_of(mirrored) == image_of(world.tag)  # nothing has failed


def test_who_tells_something_else_of_a_package_twice_changes_nothing_of_ours() -> None:
    ours, theirs = factories.image(), factories.image()
    fact = PackageFact("pkg:deb/debian/a@1", "deb", "a", "1", record={"Name": "a"})
    match = MatchFact(fact.purl, "CVE-2024-1", Severity.CRITICAL, package=fact.identity)
    known = VulnerabilityFact("CVE-2024-1")
    told = ImageReport("debian 12", False, (fact,), (known,), (match,), (), system="debian", matched_with="1")
    store_packages(image=ours, report=told)
    for _scan in range(3):
        store_packages(image=theirs, report=replace(told, matches=()))
        assert ours.image_packages.filter(variant__matches__vulnerability__name="CVE-2024-1").exists()


def test_what_lessens_a_result_is_said_to_us_whoever_has_scanned_last(world: World, mirrored: Tag) -> None:
    assert scan(mirrored).registry == world.theirs
    why = "Trivy could not read the packages in /opt/app.jar."
    CategoryResult.objects.filter(image=image_of(world.tag)).update(outcome="partial", reason=why)
    assert why in unescape(shown(world.us, [world.tag]))


def test_a_registry_that_goes_while_its_scan_of_what_we_share_waits(world: World, mirrored: Tag) -> None:
    before = world.state()
    queued = _launched(world.them, mirrored)
    removal = request_removal(world.theirs)
    assert removal is not None
    inventory_tasks.remove(removal.pk)
    tasks.scan(queued.pk)
    queued.refresh_from_db()
    after = world.state()
    for key in FINDINGS:
        assert after[key.__name__] == before[key.__name__]
    assert image_of(world.tag).is_shared
    assert image_of(world.tag).security == Image.Security.AT_RISK
    assert image_of(world.tag).scan_state == Image.ScanState.SCANNED


def test_layers_that_claim_to_be_endless_do_not_end_the_preview_of_others() -> None:
    registry = factories.registry()
    layers = tuple(LayerFact(factories.digest(), MAX_DESCRIPTOR_BYTES, images.OCI_LAYER) for _number in range(1000))
    fact = ManifestFact(factories.digest(), Manifest.Kind.IMAGE, image_id=factories.digest(), layers=layers)
    store_manifests([fact], registry_id=registry.pk)
    total = Layer.objects.aggregate(total=Sum("size"))["total"]
    assert total * 100_000 < 1 << 63  # as many manifests of that kind

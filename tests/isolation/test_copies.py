"""Two registries and two teams: whoever names what another registry holds reads and changes nothing of it.

The victim's registry holds an image of three layers, all public but the middle one, that was scanned. Whoever owns
the other registry knows all digests of that image, the manifest's bytes, and where it says so the config's, but never
the middle layer. All goes the way that a worker takes it, with real engines.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from console import visibility
from console.jobs.models import State
from console.models import Team, User
from inventory.content import layer_proof
from inventory.models import Image, Layer, Manifest, RegistryLayer, Tag
from registries.models import Registry
from scanning import tasks
from scanning.models import CategoryResult, ImagePackage, MalwareFinding, PackageVulnerability, Scan, SecretFinding
from scanning.runs.recommended import recommended
from scanning.runs.scan_now import cancel, scan_now
from tests.fakes import images
from tests.fakes.registry import (
    Body,
    FakeRegistry,
    Fault,
    Headers,
    RealAnswer,
    Route,
    ServerRequest,
    ServerResponse,
    Status,
    blob,
    blobs,
)
from tests.people import person
from tests.scanning.conftest import image_of, layer_files, run_until_final, scan, sync, vulnerability_database  # noqa: F401
from tests.scanning.execution.test_pipeline import DEBIAN, EICAR, TOKEN

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

BASE = images.layer(DEBIAN)
TOP = images.layer(
    {
        "srv/victim-eicar.com": EICAR,
        "app/victim.env": b"GITHUB_TOKEN=" + TOKEN + b"\n",
        "srv/victim-large": random.Random(7).randbytes(400_000),
    }
)
LAST = images.layer({"etc/last": b"last"})
HISTORY = [{"created_by": "ADD base"}, {"created_by": "RUN victim-step"}, {"created_by": "ADD last"}]
VICTIM = images.image(BASE, TOP, LAST, history=HISTORY)
MARKS = ("victim-eicar", "victim.env", "victim-step", "victim-large")
TABS = ("vulnerabilities", "malware", "sensitive", "packages", "history")
FINDINGS = (ImagePackage, PackageVulnerability, SecretFinding, MalwareFinding, CategoryResult)


@dataclass(frozen=True)
class World:
    ours: Registry
    theirs: Registry
    ours_server: FakeRegistry
    theirs_server: FakeRegistry
    us: User  # sees ``ours`` alone
    them: User  # sees ``theirs`` alone

    @property
    def tag(self) -> Tag:
        return Tag.objects.get(registry=self.ours, name="1.0")

    def state(self) -> dict[str, Any]:
        """All that is shown of our image."""
        image = image_of(self.tag)
        findings = {
            model.__name__: sorted(
                model._base_manager.filter(variant__image_packages__image=image).values_list("pk", "severity")
                if model is PackageVulnerability
                else model._base_manager.filter(image=image).values_list("pk")
            )
            for model in FINDINGS
        }
        return {"image": Image.objects.filter(pk=image.pk).values().get(), "tags": image.tags.count(), **findings}


@pytest.fixture
def world(transactional_db: None) -> Iterator[World]:
    """Our image, synced and scanned, and another registry with nothing in it."""
    with FakeRegistry() as ours_server, FakeRegistry() as theirs_server:
        made = []
        for name, server in (("ours", ours_server), ("theirs", theirs_server)):
            registry = Registry.objects.create(name=name, address=server.url)
            team = Team.objects.create(name=name)
            registry.teams.add(team)
            user = person("operator", username=f"of-{name}", limited=True)
            user.teams.add(team)
            made.append((registry, user))
        (ours, us), (theirs, them) = made
        VICTIM.put(ours_server, "team/app", "1.0")
        sync(ours)
        world = World(ours, theirs, ours_server, theirs_server, us, them)
        assert scan(world.tag).state == State.SUCCEEDED
        image = image_of(world.tag)
        assert (image.malware, image.sensitive, image.is_shared) == (1, 1, True)
        assert image.vulnerabilities
        yield world
        assert not layer_files()


def shown(user: User, tags: Sequence[Tag]) -> str:
    """Return what ``user`` reads on the list and in the drawers of ``tags``, with all tabs."""
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    addresses = [reverse("inventory:image-list")]
    for tag in tags:
        addresses.append(reverse("inventory:image", args=[tag.pk]))
        addresses += [reverse(f"scanning:{tab}", args=[tag.pk]) for tab in TABS]
        addresses.append(reverse("scanning:history-export", args=[tag.pk]))
    pages = []
    for address in addresses:
        answer = client.post(address, {"format": "csv"}) if address.endswith("/export/") else client.get(address)
        assert answer.status_code == 200, address
        pages.append(
            (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode("utf-8", "replace")
        )  # type: ignore[arg-type]
    return "\n".join(pages)


GONE = Status(404, code="BLOB_UNKNOWN")


# --- what somebody tries who knows digests ------------------------------------------------------------------------
@dataclass(frozen=True)
class Attack:
    """A manifest that is put into a repository of its own, and what the registry answers there."""

    manifest: bytes = VICTIM.manifest
    media_type: str = images.OCI_MANIFEST
    config: bytes | None = None  # what the registry gives for our config
    own: tuple[bytes, ...] = ()  # blobs of theirs
    top: Fault = GONE  # what it answers for our middle layer
    faults: tuple[tuple[Callable[[str], Route], Fault], ...] = ()

    @property
    def knows(self) -> tuple[str, ...]:
        """Which of our words the registry gives by itself."""
        return ("victim-step",) if self.config == VICTIM.config else ()


def named(*layers: dict[str, Any], config: bytes = VICTIM.config) -> bytes:
    """A manifest of this config and these layers."""
    return images.to_json(
        {
            "schemaVersion": 2,
            "mediaType": images.OCI_MANIFEST,
            "config": images.descriptor(config, images.OCI_CONFIG),
            "layers": list(layers),
        }
    )


def typed(layer: images.Layer, media_type: str) -> dict[str, Any]:
    return {**layer.descriptor, "mediaType": media_type}


def head(repository: str) -> Route:
    return lambda request: request.method == "HEAD" and request.path.startswith(f"/v2/{repository}/manifests/")


def by_our_digest(repository: str) -> Route:
    return lambda request: request.path == f"/v2/{repository}/manifests/{VICTIM.digest}"


def ranged(content: Callable[[int, int], bytes], *, status: int = 206, shift: int = 0) -> Fault:
    """Answer a range of our middle layer with bytes of one's own, and all of it with as many zeros."""

    def fault(request: ServerRequest, real: RealAnswer) -> ServerResponse:
        asked = request.headers.get("Range", "")
        if not asked:
            return ServerResponse(200, {}, bytes(len(TOP.content)))
        first, _dash, last = asked.removeprefix("bytes=").partition("-")
        start, end = int(first), int(last or len(TOP.content) - 1)
        total = len(TOP.content)
        found = {"Content-Range": f"bytes {start + shift}-{end + shift}/{total}"}
        return ServerResponse(status, found if status == 206 else {}, content(start, end))

    return fault


ZEROS = ranged(lambda start, end: bytes(end - start + 1))
OWN_CONFIG = images.to_json(
    {"os": "linux", "architecture": "amd64", "rootfs": {"type": "layers", "diff_ids": [BASE.diff_id, TOP.diff_id]}}
)
FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
INDEX = images.index(VICTIM)
OTHER = images.image({"etc/other": b"other"})
ATTACKS: dict[str, Attack] = {
    "a HEAD that tells our digest": Attack(
        OTHER.manifest,
        own=(OTHER.config, OTHER.layers[0].content),
        faults=(
            (head, Headers({"Docker-Content-Digest": VICTIM.digest})),
            (by_our_digest, Status(404, code="MANIFEST_UNKNOWN")),
        ),
    ),
    "a HEAD that tells our digest, and another manifest": Attack(
        OTHER.manifest,
        own=(OTHER.config, OTHER.layers[0].content),
        faults=((head, Headers({"Docker-Content-Digest": VICTIM.digest})), (by_our_digest, Body(OTHER.manifest))),
    ),
    "our manifest alone": Attack(),
    "our manifest and our config": Attack(config=VICTIM.config),
    "our manifest and another config under its digest": Attack(config=OWN_CONFIG),
    "our config, layers called encrypted": Attack(
        named(*(typed(each, f"{images.OCI_LAYER}+gzip+encrypted") for each in VICTIM.layers)), config=VICTIM.config
    ),
    "our config, the middle layer called encrypted": Attack(
        named(BASE.descriptor, typed(TOP, f"{images.OCI_LAYER}+gzip+encrypted"), LAST.descriptor), config=VICTIM.config
    ),
    "our config, the middle layer called foreign": Attack(
        named(BASE.descriptor, typed(TOP, FOREIGN), LAST.descriptor), config=VICTIM.config
    ),
    "our config, no layers": Attack(named(), config=VICTIM.config),
    "our config, fewer layers": Attack(named(BASE.descriptor, LAST.descriptor), config=VICTIM.config),
    "our config, the last layer twice": Attack(
        named(BASE.descriptor, LAST.descriptor, LAST.descriptor), config=VICTIM.config
    ),
    "our config, the first layer twice": Attack(
        named(BASE.descriptor, BASE.descriptor, LAST.descriptor), config=VICTIM.config
    ),
    "our config, layers in another order": Attack(
        named(TOP.descriptor, BASE.descriptor, LAST.descriptor), config=VICTIM.config
    ),
    "our config, public layers in another order": Attack(
        named(LAST.descriptor, TOP.descriptor, BASE.descriptor), config=VICTIM.config
    ),
    "our config, a layer of theirs": Attack(
        named(BASE.descriptor, OTHER.layers[0].descriptor, LAST.descriptor),
        config=VICTIM.config,
        own=(OTHER.layers[0].content,),
    ),
    "a config of theirs that names our layers": Attack(
        named(BASE.descriptor, TOP.descriptor, config=OWN_CONFIG), own=(OWN_CONFIG,)
    ),
    "ranges of zeros": Attack(config=VICTIM.config, top=ZEROS),
    "ranges of random bytes": Attack(
        config=VICTIM.config, top=ranged(lambda start, end: random.Random(start).randbytes(end - start + 1))
    ),
    "ranges that end early": Attack(config=VICTIM.config, top=ranged(lambda start, end: b"\0")),
    "ranges that do not end": Attack(config=VICTIM.config, top=ranged(lambda start, end: bytes(100_000))),
    "another range than asked for": Attack(
        config=VICTIM.config, top=ranged(lambda start, end: bytes(end - start + 1), shift=1)
    ),
    "everything in place of a range": Attack(
        config=VICTIM.config, top=ranged(lambda start, end: bytes(len(TOP.content)), status=200)
    ),
    "no part, and another content": Attack(config=VICTIM.config, top=Status(416, body=b"")),
    "an index of theirs that names our manifest": Attack(
        INDEX.content,
        INDEX.media_type,
        faults=((by_our_digest, Status(404, code="MANIFEST_UNKNOWN")),),
    ),
    "an index of theirs with our manifest and config": Attack(INDEX.content, INDEX.media_type, config=VICTIM.config),
}


def put(server: FakeRegistry, repository: str, attack: Attack) -> None:
    def of(digest: str) -> Route:
        return lambda request: request.path == f"/v2/{repository}/blobs/{digest}"

    for content in attack.own:
        server.put_blob(content)
    for layer in (BASE, LAST):
        server.put_blob(layer.content)
    server.put_manifest(repository, VICTIM.digest, VICTIM.manifest, VICTIM.media_type)
    server.put_manifest(repository, "1.0", attack.manifest, attack.media_type)
    for route, fault in attack.faults:
        server.fail(route(repository), fault)
    server.fail(of(VICTIM.image_id), Status(404) if attack.config is None else Body(attack.config))
    server.fail(of(TOP.digest), attack.top)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_who_knows_digests_reads_or_changes_what_another_registry_holds(world: World) -> None:
    before = world.state()
    theirs: dict[str, Tag] = {}
    for number, (name, attack) in enumerate(ATTACKS.items()):  # each in a registry of its own: none helps another
        put(world.theirs_server, f"evil/{number}", attack)
        registry = Registry.objects.create(
            name=f"evil {number}", address=world.theirs_server.url, repositories=f"evil/{number}"
        )
        registry.teams.add(Team.objects.get(name="theirs"))
        sync(registry)
        theirs[name] = Tag.objects.get(registry=registry)
    got_through: dict[str, Any] = {}

    def look(when: str, names: Iterable[str]) -> None:
        for name in names:
            tag = theirs[name]
            tag.refresh_from_db()
            read = shown(world.them, [tag])
            if found := [mark for mark in MARKS if mark in read and mark not in ATTACKS[name].knows]:
                got_through[f"{name}, {when}"] = found
            if tag.image is not None and tag.image.is_shared:
                got_through[f"{name}, {when}, hangs on"] = tag.image.image_id
        after = world.state()
        if changed := [key for key in before if before[key] != after[key]]:
            got_through[f"changed {when}"] = [(key, before[key], after[key]) for key in changed]

    look("after the sync", (name for name in ATTACKS if "HEAD" in name or "alone" in name))
    kinds = {name: tag.manifest.kind for name, tag in theirs.items()}
    unreadable = {name for name, kind in kinds.items() if kind == Manifest.Kind.UNREADABLE}
    assert unreadable == {
        name for name in ATTACKS if "HEAD" in name or name == "an index of theirs that names our manifest"
    }
    for tag in theirs.values():
        with visibility.set_to(visibility.of(world.them)):
            queued = scan_now(tag_ids=[tag.pk], requested_by=world.them).queued
        for each in queued:
            run_until_final(each)
    look("after their scans", ATTACKS)
    assert scan(world.tag).state == State.SUCCEEDED
    assert {**world.state(), "image": None, "CategoryResult": None} == {**before, "image": None, "CategoryResult": None}
    assert got_through == {}
    top = Layer.objects.get(digest=TOP.digest)
    assert list(RegistryLayer.objects.filter(layer=top).values_list("registry", flat=True)) == [world.ours.pk]
    assert (top.diff_id, top.size) == (TOP.diff_id, len(TOP.content))
    ended = {name: list(Scan.objects.filter(tag=tag).values_list("state", flat=True)) for name, tag in theirs.items()}
    assert {name for name, states in ended.items() if states == []} == unreadable
    succeeded = {name for name, states in ended.items() if states == [State.SUCCEEDED]}
    assert succeeded == {  # in part, of what their registry holds itself
        "our config, layers called encrypted",
        "our config, the middle layer called encrypted",
        "our config, the middle layer called foreign",
    }
    partial = Image.objects.filter(registry__isnull=False, scan_state=Image.ScanState.SCANNED)
    outcomes = CategoryResult.objects.filter(image__in=partial).values_list("outcome", flat=True)
    assert set(outcomes) == {"partial"}


def test_a_type_that_another_registry_states_does_not_make_our_image_none(world: World) -> None:
    new = images.image(BASE, {"new": b"new"})
    body = json.loads(new.manifest)
    del body["mediaType"]  # so that the registry's word alone says what it is
    new = replace(new, manifest=images.to_json(body))
    for media_type in ("application/vnd.theirs+json", images.OCI_INDEX):
        new.put(world.theirs_server, "evil/type", "1.0")
        world.theirs_server.fail(lambda request: True, Headers({"Content-Type": media_type}))
        sync(world.theirs)
        world.theirs_server.heal()
    assert not Tag.objects.filter(registry=world.theirs).exists()
    assert Manifest.objects.get(digest=new.digest).kind == Manifest.Kind.OTHER
    new.put(world.ours_server, "team/app", "2.0")
    sync(world.ours)
    assert image_of(Tag.objects.get(registry=world.ours, name="2.0")).image_id == new.image_id


def test_what_another_registry_lacks_of_an_index_does_not_choose_our_image(world: World) -> None:
    arm = images.image(BASE, {"arm": b"arm"}, architecture="arm64")
    index = images.index(VICTIM, arm)
    replace(index, absent=frozenset({0})).put(world.theirs_server, "evil/sparse", "1.0")
    sync(world.theirs)
    index.put(world.ours_server, "team/app", "multi")
    sync(world.ours)
    ours = Tag.objects.get(registry=world.ours, name="multi")
    assert image_of(ours) == image_of(world.tag)  # whose manifest our registry has given and proven before
    assert image_of(Tag.objects.get(registry=world.theirs)).image_id == arm.image_id


def test_an_index_that_we_cannot_read_is_unreadable_for_us_alone(world: World) -> None:
    VICTIM.put(world.theirs_server, "mirror/app", "1.0")
    world.theirs_server.fail(lambda request: request.method == "GET" and "/manifests/" in request.path, Status(403))
    sync(world.theirs)
    mine, theirs = world.tag, Tag.objects.get(registry=world.theirs)
    assert (mine.manifest.kind, theirs.manifest.kind) == (Manifest.Kind.IMAGE, Manifest.Kind.UNREADABLE)
    assert image_of(mine).scan_state == Image.ScanState.SCANNED
    assert image_of(theirs).scan_state == Image.ScanState.FAILED
    world.theirs_server.heal()
    sync(world.theirs)
    theirs.refresh_from_db()
    assert (theirs.manifest, image_of(theirs).scan_state) == (mine.manifest, Image.ScanState.NOT_SCANNED)


# --- those who hold it --------------------------------------------------------------------------------------------
@pytest.fixture
def mirrored(world: World) -> Tag:
    """The same image in the other registry, which is scanned."""
    VICTIM.put(world.theirs_server, "mirror/app", "1.0")
    sync(world.theirs)
    tag = Tag.objects.get(registry=world.theirs)
    assert not image_of(tag).is_shared
    world.theirs_server.seen.clear()
    assert scan(tag).state == State.SUCCEEDED
    return tag


def test_a_registry_that_holds_the_image_gets_its_results_for_some_hundred_bytes(world: World, mirrored: Tag) -> None:
    assert image_of(mirrored) == image_of(world.tag)
    read = shown(world.them, [mirrored])
    assert [mark for mark in MARKS if mark not in read] == ["victim-large"]  # in which nothing was found
    asked = world.theirs_server.requests(blob(TOP.digest), method="GET")
    assert len(asked) == layer_proof.SAMPLE_COUNT
    for request in asked:
        first, _dash, last = request.headers["range"].removeprefix("bytes=").partition("-")
        assert int(last) - int(first) + 1 == layer_proof.SAMPLE_BYTES
    assert image_of(mirrored).tags.count() == 2
    world.theirs_server.seen.clear()
    assert scan(mirrored).layers_pulled == 0
    assert not world.theirs_server.requests(blobs, method="GET")


def test_the_places_that_are_asked_for_differ_from_layer_to_layer_and_scan_to_scan() -> None:
    descriptor = images.descriptor(TOP.content, TOP.media_type)
    from registries.oci.manifests import Descriptor
    from registries.oci.references import Digest

    blob = Descriptor(descriptor["mediaType"], Digest.parse(descriptor["digest"]), descriptor["size"])
    places = [tuple(layer_proof.make_sampler(blob).offsets) for _ in range(50)]
    assert len(set(places)) == 50
    assert all(0 <= place <= blob.size - layer_proof.SAMPLE_BYTES for some in places for place in some)


def test_where_a_registry_gives_no_parts_the_layer_is_read_whole(world: World) -> None:
    VICTIM.put(world.theirs_server, "mirror/app", "1.0")
    sync(world.theirs)

    def ignored(request: ServerRequest, real: RealAnswer) -> ServerResponse:
        answer = real()
        if answer.status == 206:
            answer.status, answer.start, answer.length = 200, 0, len(TOP.content)
            answer.headers.pop("Content-Range")
        return answer

    world.theirs_server.fail(blob(TOP.digest), ignored)
    ended = scan(Tag.objects.get(registry=world.theirs))
    assert (ended.state, ended.bytes_pulled) == (State.SUCCEEDED, sum(len(each.content) for each in VICTIM.layers))
    assert image_of(Tag.objects.get(registry=world.theirs)) == image_of(world.tag)


BROKEN: dict[str, tuple[Route, Fault]] = {
    "the manifest is gone": (lambda request: "/manifests/" in request.path, Status(404, code="MANIFEST_UNKNOWN")),
    "another manifest": (lambda request: "/manifests/" in request.path, Body(OTHER.manifest)),
    "no access": (lambda request: "/manifests/" in request.path, Status(403, code="DENIED")),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_copy_that_breaks_shows_on_its_own_tags_alone(world: World, mirrored: Tag, what: str) -> None:
    before = world.state()
    world.theirs_server.fail(*BROKEN[what])
    with visibility.set_to(visibility.of(world.them)):  # who sees no other registry to pull from
        (queued,) = scan_now(tag_ids=[mirrored.pk], requested_by=world.them).queued
    ended = run_until_final(queued)
    assert (ended.state, ended.registry) == (State.FAILED, world.theirs)
    theirs = image_of(mirrored)
    assert (theirs.scan_state, theirs.scan_reason) == (Image.ScanState.FAILED, ended.reason)
    assert theirs.registry == world.theirs
    assert world.state() == before | {"tags": 1}
    assert ended.reason not in unescape(shown(world.us, [world.tag]))
    assert ended.reason in unescape(shown(world.them, [mirrored]))
    assert Scan.objects.get(pk=ended.pk).image == theirs
    world.theirs_server.heal()
    assert scan(mirrored).layers_pulled == 0
    assert image_of(mirrored) == image_of(world.tag)


def test_where_one_registry_does_not_deliver_another_that_holds_the_image_is_asked(world: World, mirrored: Tag) -> None:
    world.theirs_server.fail(*BROKEN["the manifest is gone"])
    ended = run_until_final(scan_now(tag_ids=[mirrored.pk], requested_by=None).queued[0])  # who sees both
    assert (ended.state, ended.registry, ended.address) == (State.SUCCEEDED, world.ours, str(world.tag))
    assert ended.image == image_of(world.tag)
    assert image_of(mirrored).scan_state == Image.ScanState.FAILED
    assert image_of(world.tag).scan_state == Image.ScanState.SCANNED


def test_no_scan_is_handed_to_a_registry_that_has_refused_its_credentials(world: World, mirrored: Tag) -> None:
    world.theirs_server.fail(*BROKEN["the manifest is gone"])
    world.ours.record_connection(state=Registry.Connection.REFUSED, reason="Wrong password.")
    world.ours.record_connection(state=Registry.Connection.FAILED, reason="It is away.", proven=False)
    ended = run_until_final(scan_now(tag_ids=[mirrored.pk], requested_by=None).queued[0])
    assert (ended.state, ended.registry) == (State.FAILED, world.theirs), "it would wait until somebody sees to that"


def test_layers_that_are_gone_from_one_registry_do_not_lessen_what_others_share(
    world: World, mirrored: Tag, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scanning import scanners

    monkeypatch.setattr(scanners.yara(), "version", lambda: "of another day")  # so that layers are read again
    before = world.state()
    world.theirs_server.fail(blob(TOP.digest), Status(404, code="BLOB_UNKNOWN"))
    with visibility.set_to(visibility.of(world.them)):
        (queued,) = scan_now(tag_ids=[mirrored.pk], requested_by=world.them).queued
    assert run_until_final(queued).state == State.FAILED
    assert world.state() == before | {"tags": 1}


def test_two_registries_that_are_scanned_at_once_come_to_one_image(world: World) -> None:
    new = images.image(BASE, {"new": b"new"})
    new.put(world.ours_server, "team/new", "1.0")
    new.put(world.theirs_server, "mirror/new", "1.0")
    sync(world.ours)
    sync(world.theirs)
    tags = Tag.objects.filter(repository__name__endswith="/new").order_by("pk")
    queued = scan_now(tag_ids=[tag.pk for tag in tags], requested_by=None).queued
    assert [each.counted for each in queued] == [True, False]
    for each in queued:
        tasks.scan(each.pk)
    first, second = (image_of(tag) for tag in tags)
    assert first == second
    assert first.is_shared


def test_nobody_waits_for_a_scan_through_a_registry_that_is_hidden_from_them(world: World, mirrored: Tag) -> None:
    def launched(user: User | None, tag: Tag) -> list[Scan]:
        with visibility.set_to(visibility.of(user) or visibility.EVERYTHING):
            return scan_now(tag_ids=[tag.pk], requested_by=user).queued

    (theirs,) = launched(world.them, mirrored)
    Image.objects.update(last_scanned_at=None)  # which would recommend it
    for user, tags in ((world.them, []), (world.us, [world.tag]), (None, [])):
        with visibility.set_to(visibility.of(user) or visibility.EVERYTHING):
            assert list(recommended()) == tags
    (ours,) = launched(world.us, world.tag)
    assert (theirs.registry, ours.registry) == (world.theirs, world.ours)
    assert theirs.image == ours.image
    assert launched(world.them, mirrored) == launched(world.us, world.tag) == launched(None, world.tag) == []
    with visibility.set_to(visibility.of(world.them)):
        assert cancel(tag_ids=[mirrored.pk]) == 1
    assert image_of(world.tag).scan_state == Image.ScanState.QUEUED  # by ours
    with visibility.set_to(visibility.of(world.us)):
        assert cancel(tag_ids=[world.tag.pk]) == 1
    assert image_of(world.tag).scan_state == Image.ScanState.SCANNED  # as it is for those who have cancelled nothing

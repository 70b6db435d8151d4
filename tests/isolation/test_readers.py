"""Whoever takes over the Trivy that reads a layer speaks for no layer of images that others hold.

The lie is told where a Trivy that was taken over would tell it: in what a run says of the layers that it has read. In
a run with the layer that means harm, no layer has any packages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from inventory.models import Tag
from registries.models import Registry
from scanning import configured_engines
from scanning.engines.trivy import batch
from scanning.engines.trivy import engine as trivy_engine
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.fakes.systems import debian, dpkg
from tests.fakes.trivy_reference import stored_findings, trivy_findings
from tests.isolation.test_packages import OPENSSL, install
from tests.scanning.conftest import scan, sync

pytestmark = pytest.mark.django_db(transaction=True)

BASE = images.layer(debian(dpkg(OPENSSL)))
EVIL = images.layer({"srv/evil": b"takes Trivy over"})


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path / "data"
    configured_engines.trivy.cache_clear()
    configured_engines.layer_store.cache_clear()
    yield
    configured_engines.trivy.cache_clear()
    configured_engines.layer_store.cache_clear()


@pytest.fixture
def servers() -> Iterator[list[FakeRegistry]]:
    with FakeRegistry() as first, FakeRegistry() as second:
        yield [first, second]


@pytest.fixture(autouse=True)
def read(monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The layers of each run that reads some. In one with EVIL all that is said is a lie."""
    runs: list[set[str]] = []
    real = batch.read_layers

    def lie(tool: Any, layers: Sequence[Any], **options: Any) -> Any:
        told = real(tool, layers, **options)
        runs.append({layer.diff_id for layer in layers})
        if EVIL.diff_id not in runs[-1]:
            return told
        records = {diff_id: json.loads(note.record) for diff_id, note in told.items()}
        for record in records.values():
            record.pop("PackageInfos", None)
        return {
            diff_id: type(note)(note.key, json.dumps(records[diff_id]).encode(), note.secrets, {}, {})
            for diff_id, note in told.items()
        }

    monkeypatch.setattr(batch, "read_layers", lie)
    assert not hasattr(trivy_engine, "read_layers"), "layers are read elsewhere too"
    return runs


def put(server: FakeRegistry, name: str, *layers: images.Layer) -> images.Image:
    image = images.image(*layers)
    image.put(server, f"team/{name}", "1.0")
    return image


def registry(number: int, server: FakeRegistry) -> Registry:
    made: Registry = Registry.objects.create(name=f"registry-{number}", type=Registry.Type.OCI, address=server.url)
    sync(made)
    return made


def findings_are_right(image: images.Image) -> bool:
    return stored_findings(image.image_id) == trivy_findings(image)


def test_a_layer_that_two_registries_have_is_read_apart(
    servers: list[FakeRegistry], tmp_path: Path, read: list[set[str]]
) -> None:
    install(tmp_path / "database", day=1)
    put(servers[0], "evil", BASE, EVIL)
    honest = put(servers[1], "honest", BASE)
    evil_registry, honest_registry = (registry(number, server) for number, server in enumerate(servers))
    scan(Tag.objects.get(registry=evil_registry), "vulnerabilities")
    assert {BASE.diff_id} in read
    assert {EVIL.diff_id} in read
    scan(Tag.objects.get(registry=honest_registry), "vulnerabilities")
    assert findings_are_right(honest)


def test_a_layer_that_two_images_of_a_registry_have_is_read_apart(servers: list[FakeRegistry], tmp_path: Path) -> None:
    install(tmp_path / "database", day=1)
    put(servers[0], "evil", BASE, EVIL)
    honest = put(servers[0], "honest", BASE, images.layer({"srv/app": b"ours"}))
    own = registry(0, servers[0])
    for tag in Tag.objects.filter(registry=own).order_by("address"):
        scan(tag, "vulnerabilities")
    assert findings_are_right(honest)


def test_what_was_read_beside_another_layer_is_good_for_no_other_registry(
    servers: list[FakeRegistry], tmp_path: Path
) -> None:
    """Nobody knew that others would have the layer too."""
    install(tmp_path / "database", day=1)
    evil = put(servers[0], "evil", BASE, EVIL)
    scan(Tag.objects.get(registry=registry(0, servers[0])), "vulnerabilities")
    assert not findings_are_right(evil), "this lie changes nothing"
    honest = put(servers[1], "honest", BASE, images.layer({"srv/app": b"ours"}))
    ended = scan(Tag.objects.get(registry=registry(1, servers[1])), "vulnerabilities")
    assert findings_are_right(honest)
    assert ended.layers_pulled == 2, "what is known of it elsewhere is not taken"
    third = put(servers[0], "third", BASE, images.layer({"srv/app": b"another"}))
    sync(Registry.objects.get(name="registry-0"))
    scan(Tag.objects.get(address__endswith="/third"), "vulnerabilities")
    assert findings_are_right(third), "what was read apart by now is taken before it"


def test_layers_that_the_same_images_have_are_read_together_and_speak_for_those_alone(
    servers: list[FakeRegistry], tmp_path: Path, read: list[set[str]]
) -> None:
    """Two images of the attacker have all that is in them, so nothing tells the base from the layer beside it."""
    install(tmp_path / "database", day=1)
    for name in ("evil", "evil-too"):
        put(servers[0], name, BASE, EVIL, images.layer({"srv/own": name.encode()}))
    evil = registry(0, servers[0])
    scan(Tag.objects.filter(registry=evil).earliest("pk"), "vulnerabilities")
    assert {BASE.diff_id, EVIL.diff_id} in read
    for server, name in ((servers[0], "honest"), (servers[1], "honest")):
        honest = put(server, name, BASE, images.layer({"srv/app": server.url.encode()}))
        if server is servers[0]:
            sync(evil)
        else:
            registry(1, server)
        scan(Tag.objects.get(address__endswith="/honest", address__startswith=server.host), "vulnerabilities")
        assert findings_are_right(honest)


@pytest.mark.parametrize("known_before", [True, False], ids=["known before", "comes later"])
def test_layers_of_a_copy_of_an_image_are_not_read_again(
    servers: list[FakeRegistry], tmp_path: Path, read: list[set[str]], known_before: bool
) -> None:
    install(tmp_path / "database", day=1)
    top = images.layer({"srv/app": b"ours"})
    for server in servers:
        put(server, "app", BASE, top)
    registries = []
    for number, server in enumerate(servers):
        if known_before and not number:
            registries = [registry(each, servers[each]) for each in range(2)]
        elif not known_before:
            registries.append(registry(number, server))
        scan(Tag.objects.get(registry=registries[number]), "vulnerabilities")
    assert read == [{BASE.diff_id, top.diff_id}]

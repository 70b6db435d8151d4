"""Images of every form through the whole pipeline: what is odd is looked at, what cannot be looked at is said.

Whiteouts, opaque folders, empty files, foreign and encrypted layers, unknown media types, schema 1. What is made to do
harm is in test_hostile_layers.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from console.jobs.models import State
from inventory.models import Tag
from registries.models import Registry
from scanning.models import CategoryResult, ImagePackage, MalwareFinding, Scan, SecretFinding
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, Status, blob
from tests.scanning.conftest import layer_files, scan, sync
from tests.scanning.execution.test_pipeline import DEBIAN, EICAR, TOKEN, only_tag, put

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"


def typed(image: images.Image, number: int, media_type: str, **more: object) -> images.Image:
    """``image`` with another media type of one layer."""
    manifest = json.loads(image.manifest)
    manifest["layers"][number] |= {"mediaType": media_type, **more}
    return replace(image, manifest=images.to_json(manifest))


def outcomes() -> dict[str, str]:
    return dict(CategoryResult.objects.values_list("category", "outcome"))


def scanned(fake: FakeRegistry, registry: Registry, image: images.Image) -> Scan:
    image.put(fake, "team/app", "1.0")
    sync(registry)
    return scan(only_tag())


def test_a_package_that_an_upper_layer_removes_is_not_there(fake: FakeRegistry, registry: Registry) -> None:
    removed = {"var/lib/dpkg/.wh.status": b""}
    ended = scanned(fake, registry, images.image(DEBIAN, removed))
    assert ended.state == State.SUCCEEDED
    assert not ImagePackage.objects.exists()


def test_an_opaque_folder_hides_what_lies_below(fake: FakeRegistry, registry: Registry) -> None:
    package = {
        "srv/site-packages/Django-4.2.2.dist-info/METADATA": b"Metadata-Version: 2.1\nName: Django\nVersion: 4.2.2\n"
    }
    ended = scanned(fake, registry, images.image(DEBIAN, package, {"srv/site-packages/.wh..wh..opq": b""}))
    assert ended.state == State.SUCCEEDED
    assert set(ImagePackage.objects.values_list("package__name", flat=True)) == {"libexpat1"}


def test_malware_that_an_upper_layer_removes_is_told_with_its_layer(fake: FakeRegistry, registry: Registry) -> None:
    image = images.image({"srv/eicar.com": EICAR}, {"srv/.wh.eicar.com": b""})
    scanned(fake, registry, image)
    assert MalwareFinding.objects.get().diff_id == image.layers[0].diff_id


def test_empty_files_and_empty_layers_are_no_trouble(fake: FakeRegistry, registry: Registry) -> None:
    ended = scanned(fake, registry, images.image(DEBIAN, {"empty": b"", "etc/also-empty": b""}, {}))
    assert (ended.state, ended.reason) == (State.SUCCEEDED, "")
    assert set(outcomes().values()) == {"done"}


def test_the_same_layer_twice_is_pulled_once(fake: FakeRegistry, registry: Registry) -> None:
    layer = images.layer({"a": b"a"})
    ended = scanned(fake, registry, images.image(DEBIAN, layer, layer))
    assert (ended.state, ended.layers_pulled) == (State.SUCCEEDED, 2)


def test_a_foreign_layer_that_lies_elsewhere_makes_the_result_partial(fake: FakeRegistry, registry: Registry) -> None:
    windows, own = {"windows": b"x"}, {**DEBIAN, "srv/eicar.com": EICAR}
    image = typed(images.image(windows, own), 0, FOREIGN, urls=["http://x.test"])
    fake.fail(blob(image.layers[0].digest), Status(404, code="BLOB_UNKNOWN"))
    ended = scanned(fake, registry, image)
    assert ended.state == State.SUCCEEDED
    assert set(outcomes().values()) == {"partial"}
    assert "outside the registry" in CategoryResult.objects.first().reason  # type: ignore[union-attr]
    assert MalwareFinding.objects.count() == 1
    assert not layer_files()


def test_a_foreign_layer_that_the_registry_holds_is_looked_at(fake: FakeRegistry, registry: Registry) -> None:
    scanned(fake, registry, typed(images.image({"srv/eicar.com": EICAR}, DEBIAN), 0, FOREIGN))
    assert MalwareFinding.objects.count() == 1
    assert outcomes()["malware"] == "done"


def test_an_encrypted_layer_makes_the_result_partial(fake: FakeRegistry, registry: Registry) -> None:
    image = typed(images.image({"secret": b"x"}, DEBIAN), 0, images.OCI_LAYER + "+gzip+encrypted")
    assert scanned(fake, registry, image).state == State.SUCCEEDED
    assert set(outcomes().values()) == {"partial"}
    assert "encrypted" in CategoryResult.objects.first().reason  # type: ignore[union-attr]


def test_a_layer_of_an_unknown_media_type_is_told_by_its_bytes(fake: FakeRegistry, registry: Registry) -> None:
    image = typed(images.image(DEBIAN, {"srv/eicar.com": EICAR}), 1, images.OCI_LAYER + "+unheard-of")
    assert scanned(fake, registry, image).state == State.SUCCEEDED
    assert MalwareFinding.objects.count() == 1


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_layers_of_every_compression_are_looked_at(
    fake: FakeRegistry, registry: Registry, compression: images.Compression
) -> None:
    layers = [images.layer(files, compression) for files in (DEBIAN, {"srv/eicar.com": EICAR})]
    assert scanned(fake, registry, images.image(*layers)).state == State.SUCCEEDED
    assert MalwareFinding.objects.count() == 1
    assert ImagePackage.objects.exists()


def test_an_image_of_the_oldest_form_is_scanned(fake: FakeRegistry, registry: Registry) -> None:
    layers = [images.layer(DEBIAN), images.layer({"srv/eicar.com": EICAR, "a.env": b"T=" + TOKEN + b"\n"})]
    content, _digest = images.schema1(*layers)
    for layer in layers:
        fake.put_blob(layer.content)
    fake.put_manifest("old/app", "1", content, images.SCHEMA1_SIGNED)
    sync(registry)
    ended = scan(Tag.objects.get())
    assert (ended.state, ended.reason) == (State.SUCCEEDED, "")
    assert MalwareFinding.objects.count() == SecretFinding.objects.count() == 1
    assert ImagePackage.objects.exists()
    again = scan(Tag.objects.get())
    assert (again.layers_pulled, again.layers_known) == (0, 2)


def test_an_image_without_layers_is_unsupported_and_no_failure(fake: FakeRegistry, registry: Registry) -> None:
    put(fake)
    sync(registry)
    if Tag.objects.filter(image__isnull=False).exists():
        assert scan(only_tag()).state == State.SUCCEEDED
        assert outcomes()["vulnerabilities"] == "unsupported"

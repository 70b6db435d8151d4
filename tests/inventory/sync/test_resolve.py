"""From a digest to an image, and what a config says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from inventory.content import layer_proof
from inventory.content.manifest_store import store_manifests
from inventory.models import Image, ImageLayer, Layer, Manifest, ManifestLayer, PlatformManifest, RegistryLayer
from inventory.sync.resolve import MAX_FETCHES, fetch_manifest, record_config
from registries.clients import RegistryClient, open_client
from registries.models import Registry
from registries.oci.errors import MalformedResponse, NotFound
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, manifests

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def registry(server: FakeRegistry) -> Registry:
    return Registry.objects.create(name="fake", address=server.url)


@pytest.fixture
def client(registry: Registry) -> Iterator[RegistryClient]:
    with open_client(registry) as client:
        yield client


def resolve(client: RegistryClient, *, repository: str, digest: str) -> Manifest:
    """Fetch what ``digest`` is, and store it as what the only registry gave."""
    facts = [fetch_manifest(client, repository=repository, digest=digest)]
    return store_manifests(facts, registry_id=Registry.objects.get().pk)[digest]


def image_of(row: Manifest) -> Image:
    """The image that tags of the only registry hang on which lead to this manifest."""
    return Image.objects.get(manifest=row.leaf_id)


def nested(*inner: images.Index | images.Image) -> images.Index:
    entries = [images.descriptor(each.content, each.media_type) for each in inner if isinstance(each, images.Index)]
    entries += [each.descriptor for each in inner if isinstance(each, images.Image)]
    body = {"schemaVersion": 2, "mediaType": images.OCI_INDEX, "manifests": entries}
    return images.Index((), images.to_json(body))


def test_what_is_stored_already_stays(server: FakeRegistry, client: RegistryClient) -> None:
    made = images.image({"a": b"1"}, {"b": b"2"})
    made.put(server, "app", "1")
    first = resolve(client, repository="app", digest=made.digest)
    assert first == resolve(client, repository="app", digest=made.digest)
    layers = ManifestLayer.objects.filter(manifest=first).select_related("layer")
    assert [(row.layer.digest, row.layer.size) for row in layers] == [
        (each.digest, len(each.content)) for each in made.layers
    ]


def test_images_that_share_a_base_share_its_layer(server: FakeRegistry, client: RegistryClient) -> None:
    base = images.layer({"base": b"1"})
    for number in range(3):
        made = images.image(base, {"app": b"%d" % number})
        made.put(server, "app")
        resolve(client, repository="app", digest=made.digest)
    assert Layer.objects.count() == 4
    assert Layer.objects.get(digest=base.digest).manifest_layers.count() == 3


def test_a_layer_may_come_twice_in_one_image(server: FakeRegistry, client: RegistryClient) -> None:
    base = images.layer({"a": b"1"})
    made = images.image(base, base)
    made.put(server, "app")
    row = resolve(client, repository="app", digest=made.digest)
    assert row.manifest_layers.count() == 2
    assert Layer.objects.count() == 1


def test_two_manifests_of_one_config_have_an_image_each_until_a_scan_has_proven_them(
    server: FakeRegistry, client: RegistryClient
) -> None:
    plain = images.image(images.layer({"a": b"1"}))
    noted = images.image(images.layer({"a": b"1"}), annotations={"note": "x"})
    for made in (plain, noted):
        made.put(server, "app")
        resolve(client, repository="app", digest=made.digest)
    assert plain.digest != noted.digest
    assert {(row.image_id, row.is_shared) for row in Image.objects.all()} == {(plain.image_id, False)}
    assert Image.objects.count() == 2


def test_an_index_within_an_index_leads_to_its_image(server: FakeRegistry, client: RegistryClient) -> None:
    made = images.image({"a": b"1"})
    inner = images.index(made)
    inner.put(server, "app")
    outer = nested(inner)
    outer.put(server, "app")
    row = resolve(client, repository="app", digest=outer.digest)
    assert (row.kind, image_of(row).image_id) == (Manifest.Kind.INDEX, made.image_id)


def test_indexes_that_lead_nowhere_are_given_up_soon(server: FakeRegistry, client: RegistryClient) -> None:
    index = images.index(images.image({"a": b"1"}), absent=[0])
    for _depth in range(8):
        index.put(server, "app")
        index = nested(index)
    index.put(server, "app")
    with pytest.raises(MalformedResponse):
        resolve(client, repository="app", digest=index.digest)
    assert len(server.requests(manifests)) <= MAX_FETCHES
    assert not Manifest.objects.exists()


def test_an_index_with_many_absent_images_does_not_ask_for_all_of_them(
    server: FakeRegistry, client: RegistryClient
) -> None:
    many = [images.image({"a": b"%d" % number}) for number in range(100)]
    index = images.index(*many, absent=range(100))
    index.put(server, "app")
    with pytest.raises((MalformedResponse, NotFound)):
        resolve(client, repository="app", digest=index.digest)
    assert len(server.requests(manifests)) <= 2 * MAX_FETCHES


def test_an_index_none_of_whose_images_is_there_says_so_and_stores_nothing(
    server: FakeRegistry, client: RegistryClient
) -> None:
    index = images.index(images.image({"a": b"1"}), absent=[0])
    index.put(server, "app")
    with pytest.raises(NotFound, match="linux/amd64"):
        resolve(client, repository="app", digest=index.digest)
    assert not Manifest.objects.exists()


def test_children_without_a_platform_are_images_too(server: FakeRegistry, client: RegistryClient) -> None:
    made = images.image({"a": b"1"})
    made.put(server, "app")
    index = nested(made)
    index.put(server, "app")
    row = resolve(client, repository="app", digest=index.digest)
    assert (image_of(row).image_id, image_of(row).platform) == (made.image_id, "")
    assert PlatformManifest.objects.get().platform == ""


def test_a_chart_within_an_index_is_passed_over(server: FakeRegistry, client: RegistryClient) -> None:
    chart, made = images.helm_chart(), images.image({"a": b"1"}, architecture="arm64")
    index = nested(chart, made)
    for each in (chart, made):
        each.put(server, "app")
    index.put(server, "app")
    row = resolve(client, repository="app", digest=index.digest)
    assert image_of(row).image_id == made.image_id
    assert [each.digest for each in row.platforms.all()] == [made.digest]


def test_a_manifest_with_a_thousand_layers_too_many_is_refused(server: FakeRegistry, client: RegistryClient) -> None:
    layer = images.layer({"a": b"1"})
    made = images.image(*[layer] * 1001)
    made.put(server, "app")
    with pytest.raises(MalformedResponse, match="1001 layers"):
        resolve(client, repository="app", digest=made.digest)


# --- configs -----------------------------------------------------------------------------------------------------
def stored(server: FakeRegistry, client: RegistryClient, made: images.Image) -> Image:
    made.put(server, "app")
    return image_of(resolve(client, repository="app", digest=made.digest))


def test_a_config_is_recorded_once_however_often_it_is_read(server: FakeRegistry, client: RegistryClient) -> None:
    made = images.image({"a": b"1"}, {"b": b"2"}, architecture="arm64", variant="v8")
    image = stored(server, client, made)
    for _time in range(2):
        record_config(image, made.config)
    assert (image.platform, image.config_known, len(image.history)) == ("linux/arm64/v8", True, 2)
    assert list(ImageLayer.objects.values_list("diff_id", "step")) == [
        (made.layers[0].diff_id, 0),
        (made.layers[1].diff_id, 1),
    ]


def test_a_history_that_is_shorter_than_the_layers_leaves_the_rest_without_a_step(
    server: FakeRegistry, client: RegistryClient
) -> None:
    made = images.image({"a": b"1"}, {"b": b"2"}, history=[{"created_by": "ADD a"}])
    record_config(stored(server, client, made), made.config)
    assert list(ImageLayer.objects.values_list("step", flat=True)) == [0, None]


def test_only_a_pull_says_what_a_layer_unpacks_to(
    server: FakeRegistry, client: RegistryClient, registry: Registry
) -> None:
    layer = images.layer({"a": b"1"})
    made = images.image(layer)
    image = stored(server, client, made)
    config = json.loads(made.config)
    config["rootfs"]["diff_ids"] = ["sha256:" + "7" * 64]
    record_config(image, json.dumps(config).encode())
    assert list(Layer.objects.values_list("diff_id", "verified")) == [("", False)]
    pulled = layer_proof.PulledLayer(layer.diff_id, len(layer.content), b"")
    layer_proof.record_pulled({Layer.objects.get().pk: pulled}, registry_id=registry.pk)
    record_config(image, json.dumps(config).encode())
    assert list(Layer.objects.values_list("diff_id", "verified")) == [(layer.diff_id, True)]
    assert RegistryLayer.objects.get().registry == registry


def test_the_size_that_the_first_manifest_claims_gives_way_to_that_of_the_pull(registry: Registry) -> None:
    row = Layer.objects.create(digest="sha256:" + "1" * 64, size=1)
    layer_proof.record_pulled(
        {row.pk: layer_proof.PulledLayer("sha256:" + "2" * 64, 4711, b"x")}, registry_id=registry.pk
    )
    row.refresh_from_db()
    assert (row.size, bytes(row.samples or b"")) == (4711, b"x")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"rootfs": {"diff_ids": ["../../etc"]}}'])
def test_a_config_that_makes_no_sense_is_refused(server: FakeRegistry, client: RegistryClient, content: bytes) -> None:
    image = stored(server, client, images.image({"a": b"1"}))
    with pytest.raises(MalformedResponse):
        record_config(image, content)
    assert not Image.objects.get().config_known

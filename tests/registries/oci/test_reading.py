"""What a registry that works gives to a client that asks properly."""

from __future__ import annotations

import base64
import json

import pytest

from registries.oci import (
    Digest,
    ImageManifest,
    Index,
    NotFound,
    choose_platform,
    classify,
    parse_config,
    parse_manifest,
)
from tests.fakes import images
from tests.fakes.registry import blobs, catalog, manifests


def test_an_image_is_read_from_its_tag_to_its_files(registry, connect):
    made = images.image({"etc/os-release": b"ID=debian\n"}, {"app.py": b"print()\n" * 5000})
    made.put(registry, "team/app", "1.0")
    client = connect(registry)
    assert list(client.repositories()) == ["team/app"]
    assert list(client.tags("team/app")) == ["1.0"]
    head = client.head_manifest("team/app", "1.0")
    assert (str(head.digest), head.media_type, head.size) == (made.digest, images.OCI_MANIFEST, len(made.manifest))
    raw = client.manifest("team/app", head.digest)
    parsed = parse_manifest(raw)
    assert isinstance(parsed, ImageManifest)
    assert raw.content == made.manifest
    assert classify(parsed, tag="1.0").kind == "image"
    config = parse_config(client.blob_bytes("team/app", parsed.config, limit=4 << 20))
    assert config.diff_ids == tuple(each.diff_id for each in made.layers)
    for wanted, descriptor in zip(made.layers, parsed.layers, strict=True):
        with client.blob("team/app", descriptor) as reader:
            assert reader.read() == wanted.content


def test_an_index_leads_to_the_image_for_linux_amd64(registry, connect):
    amd64, arm64 = images.image({"a": b"1"}), images.image({"a": b"2"}, architecture="arm64", variant="v8")
    images.index(arm64, amd64, attest=True).put(registry, "app", "latest")
    client = connect(registry)
    index = parse_manifest(client.manifest("app", "latest"))
    assert isinstance(index, Index)
    assert len(index.manifests) == 4
    chosen = choose_platform(index)
    assert chosen is not None
    assert client.manifest("app", chosen.digest).content == amd64.manifest


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2500])
def test_a_long_list_of_tags_comes_page_by_page_and_whole(registry, connect, count):
    made = images.image({"a": b"1"})
    made.put(registry, "app")
    names = [f"v{number:05}" for number in range(count)]
    for name in names:
        made.put(registry, "app", name)
    assert list(connect(registry).tags("app")) == names


def test_a_blob_is_read_in_any_portion_the_reader_likes(registry, connect):
    held = images.layer({"noise": bytes(range(256)) * 4000}, "none")
    made = images.image(held)
    made.put(registry, "app", "1")
    descriptor = parse_manifest(connect(registry).manifest("app", "1")).layers[0]
    for portion in (1000, 65536, 10_000_000):
        with connect(registry).blob("app", descriptor) as reader:
            parts = list(iter(lambda reader=reader, portion=portion: reader.read(portion), b""))
        assert b"".join(parts) == held.content


def test_one_byte_can_be_read_and_the_rest_left(registry, connect):
    made = images.image(images.layer({"big": bytes(3_000_000)}, "none"))
    made.put(registry, "app", "1")
    client = connect(registry)
    with client.blob("app", parse_manifest(client.manifest("app", "1")).layers[0]) as reader:
        assert len(reader.read(1)) == 1
    assert list(client.tags("app")) == ["1"]


def test_a_blob_of_sha512_and_an_empty_one_are_verified_too(registry, connect):
    content = b"content"
    digest = Digest.of(content, "sha512")
    manifest = {
        "schemaVersion": 2,
        "mediaType": images.OCI_MANIFEST,
        "config": images.descriptor(b"", images.OCI_CONFIG),
        "layers": [{"mediaType": images.OCI_LAYER, "digest": str(digest), "size": len(content)}],
    }
    registry.put_manifest("app", "1", images.to_json(manifest), images.OCI_MANIFEST)
    registry.put_blob(b"")
    registry.store._blobs[str(digest)] = registry.store._blobs[registry.put_blob(content)]
    client = connect(registry)
    parsed = parse_manifest(client.manifest("app", "1"))
    assert client.blob_bytes("app", parsed.layers[0], limit=100) == content
    assert client.blob_bytes("app", parsed.config, limit=100) == b""


def test_what_a_manifest_carries_inside_is_not_asked_for(registry, connect):
    made = images.image({"a": b"1"})
    manifest = json.loads(made.manifest)
    manifest["config"]["data"] = base64.b64encode(made.config).decode()
    registry.put_manifest("app", "1", images.to_json(manifest), images.OCI_MANIFEST)
    client = connect(registry)
    config = parse_manifest(client.manifest("app", "1")).config
    assert client.blob_bytes("app", config, limit=4 << 20) == made.config
    assert not registry.requests(blobs)


def test_an_image_of_the_oldest_form_is_verified_over_its_signed_part(registry, connect):
    base, top = images.layer({"base": b"1"}), images.layer({"top": b"2"})
    content, digest = images.schema1(base, top)
    registry.put_manifest("old/app", digest, content, images.SCHEMA1_SIGNED)
    registry.store._repositories["old/app"].tags["1"] = digest
    for each in (base, top):
        registry.put_blob(each.content)
    client = connect(registry)
    raw = client.manifest("old/app", "1")
    parsed = parse_manifest(raw)
    assert str(raw.digest) == digest
    assert classify(parsed).kind == "image"
    assert [str(layer.digest) for layer in parsed.layers] == [base.digest, top.digest]
    assert parsed.schema1.os == "linux"
    with client.blob("old/app", parsed.layers[1]) as reader:
        assert reader.read() == top.content


def test_a_registry_below_a_path_is_called_below_that_path(serve, connect):
    registry = serve(prefix="/registry/one")
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry)
    client.ping()
    assert list(client.repositories()) == ["app"]
    assert list(client.tags("app")) == ["1"]


def test_a_registry_at_an_ipv6_address_is_reached(serve, connect):
    registry = serve(host="::1")
    images.image({"a": b"1"}).put(registry, "app", "1")
    assert list(connect(registry).tags("app")) == ["1"]


def test_a_digest_is_learnt_by_head_alone(registry, connect):
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry)
    client.head_manifest("app", "1")
    client.head_manifest("app", "1")
    assert not registry.requests(manifests, method="GET")


def test_one_connection_serves_many_requests(registry, connect):
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry)
    accepted = []
    original = registry._server.process_request
    registry._server.process_request = lambda *given: accepted.append(1) or original(*given)
    for _ in range(5):
        client.head_manifest("app", "1")
        client.manifest("app", "1")
        list(client.tags("app"))
    assert len(accepted) == 1


def test_what_is_not_there_is_said_to_be_not_there(registry, connect):
    made = images.image({"a": b"1"})
    made.put(registry, "app", "1")
    client = connect(registry)
    with pytest.raises(NotFound) as missing:
        client.manifest("app", "2")
    assert missing.value.what == "manifest"
    with pytest.raises(NotFound, match="app"):
        client.head_manifest("app", "2")
    descriptor = parse_manifest(client.manifest("app", "1")).layers[0]
    with pytest.raises(NotFound) as missing, client.blob("other", descriptor) as reader:
        reader.read()
    assert missing.value.what == "blob"


def test_a_repository_that_vanished_has_no_tags(registry, connect):
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry)
    assert list(client.repositories()) == ["app"]
    registry.store.remove_repository("app")
    assert list(client.tags("app")) == []


def test_the_listing_asks_for_no_manifest(registry, connect):
    images.image({"a": b"1"}).put(registry, "app", "1")
    client = connect(registry)
    assert [list(client.tags(name)) for name in client.repositories()] == [["1"]]
    assert len(registry.requests(catalog)) == 2, "once past its end"
    assert not registry.requests(manifests)

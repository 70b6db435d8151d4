"""What is an image, what is not, and which of several is meant."""

from __future__ import annotations

import json

import pytest

from registries.oci import (
    Digest,
    Index,
    OtherManifest,
    Platform,
    RawManifest,
    choose_platform,
    classify,
    index_images,
    parse_manifest,
    tag_is_artifact,
)
from tests.fakes import images

DIGEST = "sha256:" + "a" * 64


def parsed(content, media_type=images.OCI_MANIFEST):
    content = content if isinstance(content, bytes) else images.to_json(content)
    return parse_manifest(RawManifest(Digest.of(content), media_type, content))


def entry(os="linux", architecture="amd64", variant="", **extra):
    platform = {"os": os, "architecture": architecture, **({"variant": variant} if variant else {})}
    size = len(f"{os}{architecture}{variant}{extra}")
    return {"mediaType": images.OCI_MANIFEST, "digest": DIGEST, "size": size, "platform": platform, **extra}


def index(*entries, **extra):
    return parsed({"schemaVersion": 2, "manifests": list(entries), **extra}, images.OCI_INDEX)


@pytest.mark.parametrize("made", [images.image({"a": b""}), images.image({"a": b""}, docker=True), images.image()])
def test_images_are_images(made):
    assert classify(parsed(made.manifest, made.media_type), tag="1.0").kind == "image"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (images.helm_chart(), images.HELM_CONFIG),
        (images.artifact(images.OCI_EMPTY, "application/spdx+json"), "application/spdx+json"),
        (images.artifact(images.OCI_EMPTY, "text/plain", artifactType="application/x.sbom"), "application/x.sbom"),
        (images.artifact(images.OCI_CONFIG, "application/vnd.in-toto+json"), "application/vnd.in-toto+json"),
        (
            images.artifact("application/vnd.wasm.config.v1+json", "application/wasm"),
            "application/vnd.wasm.config.v1+json",
        ),
        (
            images.artifact("application/vnd.buildkit.cacheconfig.v0", images.OCI_LAYER + "+gzip"),
            "application/vnd.buildkit.cacheconfig.v0",
        ),
        (
            images.artifact(images.OCI_CONFIG, "application/vnd.oci.image.layer.nydus.blob.v1"),
            "application/vnd.oci.image.layer.nydus.blob.v1",
        ),
        (images.artifact("application/octet-stream", images.OCI_LAYER), "application/octet-stream"),
    ],
)
def test_what_lies_beside_images_is_none_and_says_what_it_is(made, told):
    verdict = classify(parsed(made.manifest))
    assert (verdict.kind, verdict.artifact_type) == ("other", told)


@pytest.mark.parametrize("end", ["sig", "att", "sbom"])
def test_a_signature_is_none_although_it_claims_to_be_an_image(end):
    made = images.image({"a": b""})
    tag = "sha256-" + "0" * 64 + "." + end
    assert tag_is_artifact(tag)
    assert classify(parsed(made.manifest), tag=tag).kind == "other"
    assert classify(parsed(made.manifest), tag=tag + "x").kind == "image"


@pytest.mark.parametrize("tag", ["sha256-" + "0" * 64, "sha512-" + "f" * 128, "sha256-" + "0" * 32])
def test_a_list_of_referrers_is_none(tag):
    assert tag_is_artifact(tag)


@pytest.mark.parametrize("tag", ["latest", "sha256-abc", "v1.sig", "sha256-" + "G" * 64, "my-sha256-" + "0" * 64])
def test_ordinary_tags_are_ordinary(tag):
    assert not tag_is_artifact(tag)


def test_what_belongs_to_another_manifest_is_no_image():
    made = images.image({"a": b""}, subject={"mediaType": images.OCI_MANIFEST, "digest": DIGEST, "size": 5})
    assert classify(parsed(made.manifest)).kind == "other"


def test_an_image_may_say_that_it_is_one():
    made = images.image({"a": b""}, artifactType=images.OCI_CONFIG)
    assert classify(parsed(made.manifest)).kind == "image"


def test_the_artifact_manifest_of_the_drafts_is_no_image():
    media_type = "application/vnd.oci.artifact.manifest.v1+json"
    found = parsed({"mediaType": media_type, "artifactType": "application/x", "blobs": []}, media_type)
    assert found == OtherManifest("application/x")
    assert classify(found).kind == "other"


def test_docker_images_with_a_misnamed_config_are_images():
    made = images.image({"a": b""}, docker=True)
    manifest = json.loads(made.manifest)
    manifest["config"]["mediaType"] = "application/octet-stream"
    assert classify(parsed(manifest, images.DOCKER_MANIFEST)).kind == "image"


def test_what_docker_build_pushes_today_is_one_image_with_one_platform():
    made = images.index(images.image({"a": b""}), attest=True)
    found = parsed(made.content, images.OCI_INDEX)
    assert classify(found).kind == "index"
    assert [str(child.platform) for child in index_images(found)] == ["linux/amd64"]
    assert str(choose_platform(found).digest) == made.images[0].digest


def test_an_index_whose_only_child_has_an_unknown_platform_is_that_image():
    found = index(entry("unknown", "unknown"))
    assert classify(found).kind == "index"
    assert choose_platform(found) is not None
    with_another = index(entry("unknown", "unknown"), entry("linux", "arm64"))
    assert [str(child.platform) for child in index_images(with_another)] == ["linux/arm64"]


@pytest.mark.parametrize(
    "children",
    [
        [],
        [entry("unknown", "unknown", annotations={"vnd.docker.reference.type": "attestation-manifest"})],
        [entry(artifactType="application/x")],
        [entry(annotations={"vnd.docker.reference.type": "attestation-manifest"})],
        [{"mediaType": images.OCI_LAYER, "digest": DIGEST, "size": 1}],
    ],
)
def test_an_index_without_an_image_is_none(children):
    found = index(*children)
    assert classify(found).kind == "other"
    assert choose_platform(found) is None


def test_a_bundle_of_applications_is_no_image():
    found = index(entry(), annotations={"org.opencontainers.artifactType": "application/vnd.cnab.manifest.v1"})
    assert classify(found).artifact_type == "application/vnd.cnab.manifest.v1"


def test_an_index_in_an_index_and_a_child_without_a_platform_are_kept():
    nested = {"mediaType": images.OCI_INDEX, "digest": DIGEST, "size": 1}
    bare = {"mediaType": images.OCI_MANIFEST, "digest": DIGEST, "size": 2}
    found = index(nested, bare)
    assert len(index_images(found)) == 2
    assert choose_platform(found) == found.manifests[0]


@pytest.mark.parametrize(
    ("offered", "wanted", "chosen"),
    [
        ([("linux", "arm64"), ("linux", "amd64")], Platform("linux", "amd64"), 1),
        ([("linux", "s390x"), ("linux", "arm64")], Platform("linux", "amd64"), 0),
        ([("windows", "amd64"), ("linux", "amd64")], Platform("linux", "amd64"), 1),
        ([("linux", "amd64", "v3"), ("linux", "amd64")], Platform("linux", "amd64"), 1),
        ([("linux", "amd64", "v2"), ("linux", "amd64", "v3")], Platform("linux", "amd64", "v4"), 1),
        ([("linux", "arm", "v5"), ("linux", "arm", "v7"), ("linux", "arm", "v6")], Platform("linux", "arm", "v6"), 2),
        ([("linux", "arm", "v5"), ("linux", "arm", "v7")], Platform("linux", "arm"), 1),
        ([("linux", "arm"), ("linux", "arm64", "v8")], Platform("linux", "arm64"), 1),
        ([("linux", "arm"), ("linux", "arm64")], Platform("linux", "arm64", "v8"), 1),
        ([("linux", "arm"), ("linux", "aarch64")], Platform("linux", "arm64"), 1),
        ([("linux", "amd64", "nonsense")], Platform("linux", "amd64"), 0),
    ],
)
def test_a_platform_is_chosen(offered, wanted, chosen):
    found = index(*(entry(*each) for each in offered))
    assert choose_platform(found, wanted) == found.manifests[chosen]


def test_windows_is_chosen_by_its_build():
    builds = [("10.0.17763.1", 1), ("10.0.20348.5", 2)]
    children = [entry("windows", size=size) for _, size in builds]
    for child, (build, _) in zip(children, builds, strict=True):
        child["platform"]["os.version"] = build
    found = index(*children)
    assert choose_platform(found, Platform("windows", "amd64", os_version="10.0.20348")).size == 2


def test_an_index_is_an_index():
    assert isinstance(index(entry()), Index)

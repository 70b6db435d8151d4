"""What is an image and what only lies beside images, and which image of an index is meant."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from registries.oci import media_types
from registries.oci.manifests import Descriptor, ImageManifest, Index, Manifest, Platform

# cosign's names for what belongs to an image, and the fallback tags of OCI 1.1 referrers
_COSIGN_TAG = re.compile(r"sha256-[0-9a-f]{64}\.(sig|att|sbom)")
_REFERRERS_TAG = re.compile(r"sha(256|512)-[0-9a-f]{32,128}")
_ATTESTATION = "vnd.docker.reference.type"
_ARTIFACT_ANNOTATION = "org.opencontainers.artifactType"  # CNAB bundles say it so
# Config types under which registries delivered plain Docker images (docker/distribution#1621).
_MISNAMED_CONFIGS = frozenset({"", "application/octet-stream", "application/json", "text/html"})
_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm", "armel": "arm"}
_PLAIN_VARIANT = {"amd64": 1, "arm64": 8, "arm": 7}

LINUX_AMD64 = Platform("linux", "amd64")


@dataclass(frozen=True)
class Verdict:
    """``artifact_type`` says of an "other" what it is instead of an image."""

    kind: Literal["image", "index", "other"]
    artifact_type: str = ""


def tag_is_artifact(tag: str) -> bool:
    """Whether a tag alone tells that it names no image, so that nobody needs to ask for its manifest."""
    return bool(_COSIGN_TAG.fullmatch(tag) or _REFERRERS_TAG.fullmatch(tag))


def classify(parsed: Manifest, *, tag: str = "") -> Verdict:
    """Say what a manifest is. The order of the tests matters: signatures claim to be images by their config type."""
    if tag_is_artifact(tag):
        return Verdict("other", _artifact_type(parsed))
    if not isinstance(parsed, (ImageManifest, Index)):
        return Verdict("other", parsed.artifact_type)
    attached = parsed.subject is not None
    foreign = parsed.artifact_type and parsed.artifact_type not in media_types.IMAGE_CONFIGS
    if attached or foreign or _ARTIFACT_ANNOTATION in parsed.annotations:
        return Verdict("other", _artifact_type(parsed))
    if isinstance(parsed, Index):
        return Verdict("index") if index_images(parsed) else Verdict("other", _artifact_type(parsed))
    return (
        Verdict("image")
        if parsed.schema1 or _holds_root_filesystem(parsed)
        else Verdict("other", _artifact_type(parsed))
    )


def index_images(index: Index) -> tuple[Descriptor, ...]:
    """The children that are images or indexes themselves: no attestations, no artifacts, no bare layers.

    A platform that is unknown marks an attestation (BuildKit), unless the index holds nothing else.
    """
    may_be = [child for child in index.manifests if _may_be_image(child)]
    return tuple(child for child in may_be if not _is_unknown(child.platform)) or tuple(may_be)


def choose_platform(index: Index, requested: Platform = LINUX_AMD64) -> Descriptor | None:
    """The child for ``requested``, else the first image; None where the index holds no image.

    Of several variants the highest that is not above the wanted one counts (image-spec image-index.md).
    """
    images = index_images(index)
    best, best_level = None, -1
    for child in images:
        level = _match_level(child.platform, requested)
        if level > best_level:
            best, best_level = child, level
    return best or next(iter(images), None)


def _may_be_image(child: Descriptor) -> bool:
    manifest = child.media_type in media_types.MANIFESTS | media_types.INDEXES | media_types.SCHEMA1S | {""}
    foreign = child.artifact_type and child.artifact_type not in media_types.IMAGE_CONFIGS
    return manifest and not foreign and _ATTESTATION not in child.annotations


def _is_unknown(platform: Platform | None) -> bool:
    return platform is not None and platform.os == platform.architecture == "unknown"


def _match_level(platform: Platform | None, requested: Platform) -> int:
    """How well ``platform`` serves ``requested``: -1 not at all, else the level of its variant."""
    if platform is None:
        return -1
    architecture = _ARCHITECTURES.get(platform.architecture, platform.architecture)
    architecture_requested = _ARCHITECTURES.get(requested.architecture, requested.architecture)
    if (platform.os, architecture) != (requested.os, architecture_requested) or not platform.os_version.startswith(
        requested.os_version
    ):
        return -1
    level, limit = _level(architecture, platform.variant), _level(architecture, requested.variant)
    return level if level <= limit else -1


def _level(architecture: str, variant: str) -> int:
    found = re.match(r"v(\d{1,2})", variant)
    return int(found[1]) if found else _PLAIN_VARIANT.get(architecture, 0)


def _holds_root_filesystem(manifest: ImageManifest) -> bool:
    config = manifest.config.media_type if manifest.config else ""
    layers = [layer.media_type for layer in manifest.layers]
    if any("nydus" in layer for layer in layers):  # a file system of chunks, of which no layer is a tar
        return False
    if config in media_types.IMAGE_CONFIGS:
        return all(layer.startswith(media_types.LAYER_PREFIXES) for layer in layers)
    old = manifest.media_type == media_types.DOCKER_MANIFEST and config in _MISNAMED_CONFIGS
    return old and bool(layers) and all(layer.startswith(media_types.LAYER_PREFIXES[1]) for layer in layers)


def _artifact_type(parsed: Manifest) -> str:
    """The type that tells most about what is no image."""
    if isinstance(parsed, ImageManifest):
        config = parsed.config.media_type if parsed.config else ""
        layer = parsed.layers[0].media_type if parsed.layers else ""
        vague = config in media_types.IMAGE_CONFIGS | {"", media_types.OCI_EMPTY}
        return parsed.artifact_type or (layer if vague else "") or config
    if isinstance(parsed, Index):
        return parsed.artifact_type or parsed.annotations.get(_ARTIFACT_ANNOTATION, "") or parsed.media_type
    return parsed.artifact_type

"""Manifests and indexes, read from bytes that nobody vouches for."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from console.i18n.explained import Message
from registries.oci import media_types, messages, strict_json
from registries.oci.configs import HistoryStep, ImageConfig
from registries.oci.errors import MalformedResponse
from registries.oci.references import Digest

MAX_DESCRIPTORS = 10_000
MAX_DESCRIPTOR_BYTES = 1 << 44  # 16 TiB; the sum over all descriptors still fits 63 bits


@dataclass(frozen=True)
class Platform:
    """What an image runs on; ``str()`` gives ``os/architecture[/variant]``."""

    os: str
    architecture: str
    variant: str = ""
    os_version: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@dataclass(frozen=True)
class Descriptor:
    """Content by digest and size in bytes. ``size`` is 0 and ``size_known`` false in schema 1, which tells none."""

    media_type: str
    digest: Digest
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    data: bytes | None = None
    artifact_type: str = ""
    size_known: bool = True


@dataclass(frozen=True)
class RawManifest:
    """The bytes of a manifest as the registry holds them, with their verified digest."""

    digest: Digest
    media_type: str
    content: bytes


@dataclass(frozen=True)
class ManifestHead:
    """What a registry tells of a manifest without giving it. ``size`` (bytes) is None where it is not told."""

    digest: Digest
    media_type: str
    size: int | None


@dataclass(frozen=True)
class ImageManifest:
    """One image (or artifact in the form of one). ``layers`` go from the base upwards.

    ``schema1`` holds what the oldest form of manifests says in place of a config; ``config`` is None then.
    """

    media_type: str
    config: Descriptor | None
    layers: tuple[Descriptor, ...]
    schema1: ImageConfig | None = None
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Index:
    """A list of manifests, mostly one for each platform."""

    media_type: str
    manifests: tuple[Descriptor, ...]
    subject: Descriptor | None = None
    artifact_type: str = ""
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class OtherManifest:
    """A manifest of a form that holds no image."""

    artifact_type: str


Manifest = ImageManifest | Index | OtherManifest


def parse_manifest(raw: RawManifest) -> Manifest:
    """Return what ``raw`` says. Raises MalformedResponse for what contradicts itself (CVE-2021-41190) or goes
    too far.
    """
    body = strict_json.load_object(raw.content, messages.MANIFEST())
    media_type = _media_type(raw.media_type, body)
    if "manifests" in body and ("layers" in body or "config" in body):
        raise _malformed(messages.IMAGE_AND_INDEX())
    if "fsLayers" in body and not body.keys().isdisjoint(("config", "layers", "manifests")):
        raise _malformed(messages.OLD_AND_NEW_FORM())
    artifact_type = strict_json.text(body.get("artifactType"), 255)
    subject = _descriptor(body["subject"]) if body.get("subject") is not None else None
    annotations = strict_json.text_map(body.get("annotations"))
    if media_type in media_types.SCHEMA1S:
        return _schema1(media_type, body)
    if media_type in media_types.INDEXES:
        return Index(media_type, _descriptors(body.get("manifests")), subject, artifact_type, annotations)
    if media_type in media_types.MANIFESTS:
        config = _descriptor(body.get("config"))
        layers = _descriptors(body.get("layers"))
        return ImageManifest(media_type, config, layers, None, subject, artifact_type, annotations)
    return OtherManifest(artifact_type or media_type)


def sniff_media_type(declared: str, content: bytes) -> str:
    """The media type of a manifest: the declared one, or what the body shows where a proxy made that a generic one."""
    if declared not in media_types.GENERIC:
        return declared
    try:
        return _media_type(declared, strict_json.load_object(content, messages.MANIFEST()))
    except MalformedResponse:
        return declared


def schema1_payload(content: bytes) -> bytes:
    """The signed part of a schema 1 manifest, over which its digest is made; ``content`` itself where none is signed.

    Docker image manifest v2 schema 1: ``protected`` tells where the payload was cut open for the signatures.
    """
    try:
        protected = _base64url(json.loads(content)["signatures"][0]["protected"])
        facts = json.loads(protected)
        length = facts["formatLength"]
        return content[: length if length >= 0 else 0] + _base64url(facts["formatTail"])
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
        return content


def _media_type(declared: str, body: dict[str, Any]) -> str:
    stated = strict_json.text(body.get("mediaType"), 255)
    if declared not in media_types.GENERIC:
        if stated and stated != declared and not {stated, declared} <= media_types.SCHEMA1S:
            raise _malformed(messages.OTHER_MEDIA_TYPE())
        return declared
    if stated:
        return stated
    if body.get("schemaVersion") == 1:
        return media_types.SCHEMA1_SIGNED if "signatures" in body else media_types.SCHEMA1
    if "manifests" in body:
        return media_types.OCI_INDEX
    return media_types.OCI_MANIFEST if "config" in body and "layers" in body else declared


def _descriptors(value: object) -> tuple[Descriptor, ...]:
    entries = [] if value is None else value
    if not isinstance(entries, list) or len(entries) > MAX_DESCRIPTORS:
        raise _malformed(messages.NO_PROPER_CONTENTS())
    return tuple(_descriptor(entry) for entry in entries)


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise _malformed(messages.DESCRIPTOR_MISSING())
    size = value.get("size")
    if type(size) is not int or not 0 <= size <= MAX_DESCRIPTOR_BYTES:  # bool is an int
        raise _malformed(messages.SIZE_IMPOSSIBLE())
    urls = value.get("urls")
    return Descriptor(
        strict_json.text(value.get("mediaType"), 255),
        Digest.parse(value.get("digest")),
        size,
        tuple(strict_json.text(url, 2000) for url in urls[:20]) if isinstance(urls, list) else (),
        strict_json.text_map(value.get("annotations")),
        _platform(value.get("platform")),
        _inline(value.get("data")),
        strict_json.text(value.get("artifactType"), 255),
    )


def _platform(value: object) -> Platform | None:
    if not isinstance(value, dict):
        return None
    parts = (strict_json.text(value.get(key), 60) for key in ("os", "architecture", "variant", "os.version"))
    return Platform(*parts)


def _inline(value: object) -> bytes | None:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else None
    except (binascii.Error, ValueError):
        return None


def _schema1(media_type: str, body: dict[str, Any]) -> ImageManifest:
    layers, history = body.get("fsLayers"), body.get("history")
    if not isinstance(layers, list) or not isinstance(history, list) or len(layers) != len(history):
        raise _malformed(messages.OLD_FORM_WITHOUT_LAYERS())
    if len(layers) > MAX_DESCRIPTORS:
        raise _malformed(messages.TOO_MANY_LAYERS())
    steps = [_compatibility(entry) for entry in reversed(history)]  # both lists are newest first
    descriptors = [
        Descriptor(media_types.DOCKER_LAYER, Digest.parse(_get(entry, "blobSum")), 0, size_known=False)
        for entry, step in zip(reversed(layers), steps, strict=True)
        if step.get("throwaway") is not True
    ]
    newest = steps[-1] if steps else {}
    settings = newest.get("config")
    config = ImageConfig(
        os=strict_json.text(newest.get("os"), 40),
        architecture=strict_json.text(newest.get("architecture") or body.get("architecture"), 40),
        variant="",
        created=strict_json.parse_time(newest.get("created")),
        diff_ids=(),
        history=tuple(_step(step) for step in steps),
        labels=strict_json.text_map(settings.get("Labels")) if isinstance(settings, dict) else {},
        author=strict_json.text(newest.get("author"), 1000),
    )
    return ImageManifest(media_type, None, tuple(descriptors), schema1=config)


def _compatibility(entry: object) -> dict[str, Any]:
    value = _get(entry, "v1Compatibility")
    if not isinstance(value, str):
        raise _malformed(messages.OLD_FORM_WITHOUT_HISTORY())
    return strict_json.load_object(value.encode("utf-8", "replace"), messages.HISTORY())


def _step(step: dict[str, Any]) -> HistoryStep:
    container = step.get("container_config")
    command = container.get("Cmd") if isinstance(container, dict) else None
    words = [word for word in command if isinstance(word, str)] if isinstance(command, list) else []
    return HistoryStep(
        created=strict_json.parse_time(step.get("created")),
        created_by=strict_json.text(" ".join(words)),
        comment=strict_json.text(step.get("comment")),
        author=strict_json.text(step.get("author"), 1000),
        empty_layer=step.get("throwaway") is True,
    )


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _malformed(what: Message) -> MalformedResponse:
    return MalformedResponse(messages.MANIFEST_MALFORMED(what=what), messages.PUSH_WITH_CURRENT_TOOL())

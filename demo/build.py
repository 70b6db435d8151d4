"""Builds images byte by byte, as a builder would, so that the demo needs no builder and no network.

The same input gives the same bytes, so the digests of the sample images are the same at every start.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Literal

import zstandard

BUILT_AT_SECONDS = 1_718_900_000  # 2024-06-20T16:13:20Z: the one time that all files and images carry

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

Format = Literal["docker", "oci", "oci-zstd"]
_LAYER_TYPES: dict[Format, str] = {
    "docker": "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "oci": "application/vnd.oci.image.layer.v1.tar+gzip",
    "oci-zstd": "application/vnd.oci.image.layer.v1.tar+zstd",
}


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class ImageFile:
    """A file of a layer. ``path`` has no leading slash; a ``link`` makes it a symbolic link."""

    path: str
    data: bytes = b""
    mode: int = 0o644
    link: str = ""


def text(path: str, content: str, mode: int = 0o644) -> ImageFile:
    return ImageFile(path, content.encode(), mode)


def removed(path: str) -> ImageFile:
    """Return the whiteout that takes ``path`` of a lower layer away."""
    folder, _, name = path.rpartition("/")
    return ImageFile(f"{folder}/.wh.{name}" if folder else f".wh.{name}")


@dataclass(frozen=True)
class ImageStep:
    """One step of a build. Without files it makes no layer, as ENV or CMD."""

    created_by: str
    files: tuple[ImageFile, ...] = ()
    comment: str = "buildkit.dockerfile.v0"

    @cached_property
    def tar(self) -> bytes:
        """The uncompressed layer: files in the order of their paths, each after the folders it lies in."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.PAX_FORMAT) as tar:
            folders: set[str] = set()
            for file in sorted(self.files, key=lambda file: file.path):
                parts = file.path.split("/")[:-1]
                for depth in range(1, len(parts) + 1):
                    folder = "/".join(parts[:depth])
                    if folder not in folders:
                        folders.add(folder)
                        tar.addfile(_entry(folder, tarfile.DIRTYPE, 0o755))
                if file.link:
                    entry = _entry(file.path, tarfile.SYMTYPE, 0o777)
                    entry.linkname = file.link
                    tar.addfile(entry)
                else:
                    entry = _entry(file.path, tarfile.REGTYPE, file.mode)
                    entry.size = len(file.data)
                    tar.addfile(entry, io.BytesIO(file.data))
        return archive.getvalue()


def _entry(path: str, type_: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.mtime = type_, mode, BUILT_AT_SECONDS
    entry.uname = entry.gname = "root"
    return entry


@dataclass(frozen=True)
class Blob:
    """Bytes with their media type; ``annotations`` and ``platform`` stand in the descriptor that points to them."""

    media_type: str
    data: bytes
    annotations: dict[str, str] = field(default_factory=dict)
    platform: dict[str, str] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        return digest_of(self.data)

    def descriptor(self) -> dict[str, Any]:
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": len(self.data)}
        if self.annotations:
            found["annotations"] = self.annotations
        if self.platform:
            found["platform"] = self.platform
        return found


@dataclass(frozen=True)
class BuiltManifest:
    """Something a registry can hold: a manifest, the manifests below it (of an index), and all their blobs."""

    manifest: Blob
    blobs: tuple[Blob, ...]
    children: tuple[Blob, ...] = ()


def as_json(media_type: str, content: object, **where: dict[str, str]) -> Blob:
    """Return ``content`` as a blob; ``where`` is what its descriptor says beside digest and size."""
    return Blob(media_type, json.dumps(content, separators=(",", ":")).encode(), **where)


def config(
    steps: Sequence[ImageStep],
    *,
    architecture: str = "amd64",
    variant: str = "",
    settings: dict[str, Any] | None = None,
) -> bytes:
    """Return the image config of ``steps``; its digest is the image ID. ``settings`` are Env, Cmd and so on."""
    created = _time(BUILT_AT_SECONDS)
    content: dict[str, Any] = {
        "architecture": architecture,
        "config": {"Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], **(settings or {})},
        "created": created,
        "history": [
            {"created": created, "created_by": step.created_by}
            | ({"comment": step.comment} if step.comment else {})
            | ({} if step.files else {"empty_layer": True})
            for step in steps
        ],
        "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [digest_of(step.tar) for step in steps if step.files]},
    }
    if variant:
        content["variant"] = variant
    return json.dumps(content, separators=(",", ":")).encode()


def image(config_bytes: bytes, steps: Iterable[ImageStep], format_: Format = "oci", **platform: str) -> BuiltManifest:
    """Pack an image: the layers of ``steps`` compressed as ``format_`` says, under a manifest of that format."""
    docker = format_ == "docker"
    config_blob = Blob(DOCKER_CONFIG if docker else OCI_CONFIG, config_bytes)
    layers = [Blob(_LAYER_TYPES[format_], _compress(step.tar, format_)) for step in steps if step.files]
    media_type = DOCKER_MANIFEST if docker else OCI_MANIFEST
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": config_blob.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    return BuiltManifest(as_json(media_type, manifest, platform=platform), (config_blob, *layers))


def index(images: Sequence[BuiltManifest]) -> BuiltManifest:
    """Put images into one index, each followed by the attestation that buildx adds to it."""
    parts = [part for built in images for part in (built, _attestation(built.manifest))]
    content = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [part.manifest.descriptor() for part in parts]}
    return BuiltManifest(
        as_json(OCI_INDEX, content),
        tuple(blob for part in parts for blob in part.blobs),
        tuple(part.manifest for part in parts),
    )


def _attestation(subject: Blob) -> BuiltManifest:
    statement = as_json(
        "application/vnd.in-toto+json",
        {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": "pkg:docker/sample", "digest": {"sha256": subject.digest.split(":")[1]}}],
            "predicate": {"buildType": "https://mobyproject.org/buildkit@v1"},
        },
        annotations={"in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"},
    )
    config_blob = as_json(
        OCI_CONFIG,
        {
            "architecture": "unknown",
            "os": "unknown",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [statement.digest]},
        },
    )
    manifest = as_json(
        OCI_MANIFEST,
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": config_blob.descriptor(),
            "layers": [statement.descriptor()],
        },
        platform={"architecture": "unknown", "os": "unknown"},
        annotations={
            "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": subject.digest,
        },
    )
    return BuiltManifest(manifest, (config_blob, statement))


def artifact(config_blob: Blob, layers: Sequence[Blob], **annotations: str) -> BuiltManifest:
    """Pack what is no image but lies in registries beside images: a chart, a signature."""
    content: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config_blob.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
    }
    if annotations:
        content["annotations"] = annotations
    return BuiltManifest(as_json(OCI_MANIFEST, content), (config_blob, *layers))


def _compress(tar: bytes, format_: Format) -> bytes:
    if format_ == "oci-zstd":
        return zstandard.ZstdCompressor(level=6).compress(tar)
    return gzipped(tar)


def gzipped(data: bytes) -> bytes:
    """Compress without the time of day, which would make other bytes at every start."""
    return gzip.compress(data, compresslevel=6, mtime=0)


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

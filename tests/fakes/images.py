"""Small images, built in memory: layers, configs, manifests, indexes and the old schema 1."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import zstandard

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
HELM_CONFIG = "application/vnd.cncf.helm.config.v1+json"

Compression = Literal["gzip", "zstd", "none"]


class Target(Protocol):
    """Where images are put: a RegistryServer, a FakeRegistry."""

    def put_blob(self, data: bytes) -> str: ...
    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str: ...


def sha256(data: bytes) -> str:
    """The digest of ``data``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def to_json(value: Any) -> bytes:
    """``value`` as the bytes of a manifest or config."""
    return json.dumps(value, indent=3).encode()


@dataclass(frozen=True)
class Layer:
    """One layer: its uncompressed tar, and its bytes as a registry holds them."""

    tar: bytes
    content: bytes
    media_type: str

    @property
    def diff_id(self) -> str:
        return sha256(self.tar)

    @property
    def digest(self) -> str:
        return sha256(self.content)

    @property
    def descriptor(self) -> dict[str, Any]:
        return descriptor(self.content, self.media_type)


@dataclass(frozen=True)
class Image:
    """One image, ready to be put into a registry."""

    layers: tuple[Layer, ...]
    config: bytes
    manifest: bytes
    media_type: str
    config_media_type: str = OCI_CONFIG

    @property
    def digest(self) -> str:
        """Of the manifest."""
        return sha256(self.manifest)

    @property
    def image_id(self) -> str:
        """Of the config."""
        return sha256(self.config)

    @property
    def descriptor(self) -> dict[str, Any]:
        """As it stands in an index."""
        return descriptor(self.manifest, self.media_type)

    def put(self, target: Target, repository: str, reference: str | None = None) -> str:
        """Put blobs and manifest (by digest alone without ``reference``) and return the manifest's digest."""
        target.put_blob(self.config)
        for each in self.layers:
            target.put_blob(each.content)
        return target.put_manifest(repository, reference or self.digest, self.manifest, self.media_type)


@dataclass(frozen=True)
class Index:
    """A multi-platform index with the images it names."""

    images: tuple[Image, ...]
    content: bytes
    media_type: str = OCI_INDEX
    absent: frozenset[int] = field(default=frozenset())  # positions not to put: a sparse index

    @property
    def digest(self) -> str:
        return sha256(self.content)

    def put(self, target: Target, repository: str, reference: str | None = None) -> str:
        """Put the images by digest and the index under ``reference``; return the digest of the index."""
        for position, each in enumerate(self.images):
            if position not in self.absent:
                each.put(target, repository)
        return target.put_manifest(repository, reference or self.digest, self.content, self.media_type)


def descriptor(content: bytes, media_type: str, **extra: Any) -> dict[str, Any]:
    """The descriptor of ``content``."""
    return {"mediaType": media_type, "digest": sha256(content), "size": len(content), **extra}


def tar(files: Mapping[str, bytes]) -> bytes:
    """A tar with ``files``, always the same bytes for the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def layer(files: Mapping[str, bytes], compression: Compression = "gzip") -> Layer:
    """A layer of OCI type with ``files``."""
    data = tar(files)
    match compression:
        case "gzip":
            return Layer(data, gzip.compress(data, mtime=0), OCI_LAYER + "+gzip")
        case "zstd":
            return Layer(data, zstandard.compress(data), OCI_LAYER + "+zstd")
        case "none":
            return Layer(data, data, OCI_LAYER)


def image(
    *layers: Layer | Mapping[str, bytes],
    os: str = "linux",
    architecture: str = "amd64",
    variant: str = "",
    created: str = "2026-01-02T03:04:05.678901234Z",
    labels: Mapping[str, str] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
    docker: bool = False,
    **manifest_extra: Any,
) -> Image:
    """An image of ``layers`` (or dicts of files); schema 2 with ``docker``. ``manifest_extra`` joins the manifest."""
    made = tuple(each if isinstance(each, Layer) else layer(each) for each in layers)
    config: dict[str, Any] = {
        "created": created,
        "architecture": architecture,
        "os": os,
        "config": {"Env": ["PATH=/usr/bin"], "Labels": dict(labels or {})},
        "rootfs": {"type": "layers", "diff_ids": [each.diff_id for each in made]},
        "history": list(history) if history is not None else [_step(number, created) for number in range(len(made))],
    }
    if variant:
        config["variant"] = variant
    config_type, manifest_type = (DOCKER_CONFIG, DOCKER_MANIFEST) if docker else (OCI_CONFIG, OCI_MANIFEST)
    entries = [each.descriptor | ({"mediaType": DOCKER_LAYER} if docker else {}) for each in made]
    content = to_json(config)
    manifest = {
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": descriptor(content, config_type),
        "layers": entries,
        **manifest_extra,
    }
    return Image(made, content, to_json(manifest), manifest_type, config_type)


def artifact(config_media_type: str, layer_media_type: str, content: bytes = b"content", **extra: Any) -> Image:
    """What lies in a registry and is no image: a Helm chart, a signature, an SBOM."""
    config = b"{}"
    held = Layer(content, content, layer_media_type)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, config_media_type),
        "layers": [held.descriptor],
        **extra,
    }
    return Image((held,), config, to_json(manifest), OCI_MANIFEST, config_media_type)


def helm_chart() -> Image:
    """A Helm chart as ``helm push`` leaves it."""
    chart = layer({"chart/Chart.yaml": b"apiVersion: v2\nname: chart\nversion: 1.0.0\n"}).content
    return artifact(HELM_CONFIG, "application/vnd.cncf.helm.chart.content.v1.tar+gzip", chart)


def cosign_signature(of: str) -> tuple[str, Image]:
    """The tag and the manifest of a cosign signature of the digest ``of``. Its config claims to be an image's."""
    payload = to_json(
        {"critical": {"image": {"docker-manifest-digest": of}, "type": "cosign container image signature"}}
    )
    return of.replace(":", "-") + ".sig", artifact(
        OCI_CONFIG, "application/vnd.dev.cosign.simplesigning.v1+json", payload
    )


def attestation(of: Image) -> Image:
    """A buildx attestation of ``of``, as it stands beside it in an index."""
    return artifact(OCI_CONFIG, "application/vnd.in-toto+json", to_json({"subject": of.digest}))


def index(*images: Image, attest: bool = False, media_type: str = OCI_INDEX, absent: Sequence[int] = ()) -> Index:
    """An index of ``images``, each with its platform; with ``attest`` also with an attestation of each."""
    entries = []
    for each in images:
        config = json.loads(each.config)
        platform = {key: config[key] for key in ("os", "architecture", "variant") if config.get(key)}
        entries.append({**each.descriptor, "platform": platform})
    proofs = tuple(attestation(each) for each in images) if attest else ()
    for each, proof in zip(images, proofs, strict=False):
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": each.digest}
        unknown = {"os": "unknown", "architecture": "unknown"}
        entries.append({**proof.descriptor, "platform": unknown, "annotations": notes})
    content = to_json({"schemaVersion": 2, "mediaType": media_type, "manifests": entries})
    return Index((*images, *proofs), content, media_type, frozenset(absent))


def schema1(*layers: Layer, repository: str = "old/app", tag: str = "1") -> tuple[bytes, str]:
    """A signed schema 1 manifest (the signature itself is not real) and the digest of its payload."""
    history = [
        {
            "v1Compatibility": json.dumps(
                {
                    "id": hashlib.sha256(each.content).hexdigest(),
                    "os": "linux",
                    "architecture": "amd64",
                    "created": "2015-03-04T05:06:07.8Z",
                    "container_config": {"Cmd": ["/bin/sh", "-c", f"#(nop) ADD file{number} in /"]},
                }
            )
        }
        for number, each in reversed(list(enumerate(layers)))
    ]
    payload = to_json(
        {
            "schemaVersion": 1,
            "name": repository,
            "tag": tag,
            "architecture": "amd64",
            "fsLayers": [{"blobSum": each.digest} for each in reversed(layers)],
            "history": history,
        }
    )
    cut = payload.rindex(b"\n}")
    tail = payload[cut:]
    protected = _base64url(
        to_json({"formatLength": cut, "formatTail": _base64url(tail), "time": "2015-03-04T05:06:07Z"})
    )
    signature = {"header": {"alg": "ES256"}, "signature": _base64url(b"not a signature"), "protected": protected}
    signed = payload[:cut] + b',\n   "signatures": ' + to_json([signature]) + tail
    return signed, sha256(payload)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _step(number: int, created: str) -> dict[str, Any]:
    return {"created": created, "created_by": f"COPY step{number} / # buildkit"}

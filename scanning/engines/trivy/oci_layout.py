"""Lays an image out as an OCI layout of uncompressed layers, which Trivy reads without unpacking anything twice."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

from scanning.engines.base import EngineError, ImageInput, StopCheck
from scanning.engines.trivy import messages

CONFIG_MEDIA_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar"
MANIFEST_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
DIFF_ID_PATTERN = re.compile(r"sha256:[0-9a-f]{64}")
COPY_CHUNK_BYTES = 8 * 1024 * 1024


def write_layout(folder: Path, image: ImageInput, *, check: StopCheck) -> None:
    """Write the layout into ``folder``, which must not exist. Layers without a path are left out of it.

    The config is a short one of our own. Trivy guesses from a config's history which layers are of a base image, looks
    for no secrets in those, and remembers that for every other image with the layer; without a history it looks in all.
    Layers are hard links (Trivy refuses symbolic ones), or copies where the file system allows no link.
    Raises EngineError where the config does not name the layers.
    """
    check_config(image)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers = []
    for layer in image.layers:
        check()
        size = layer.size
        if layer.path is not None:
            size = layer.path.stat().st_size
            _link(layer.path, layer_path(folder, layer.diff_id), check)
        layers.append({"mediaType": LAYER_MEDIA_TYPE, "digest": layer.diff_id, "size": size})
    rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in image.layers]}
    config = _put(blobs, {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs})
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_MEDIA_TYPE,
        "config": {"mediaType": CONFIG_MEDIA_TYPE, **config},
    }
    described = _put(blobs, {**manifest, "layers": layers})
    index = {"schemaVersion": 2, "manifests": [{"mediaType": MANIFEST_MEDIA_TYPE, **described}]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def layer_path(folder: Path, diff_id: str) -> Path:
    """Return where a layer lies in the layout in ``folder``."""
    return folder / "blobs" / "sha256" / diff_id.removeprefix("sha256:")


def check_config(image: ImageInput) -> None:
    """Raise EngineError where the config does not name the layers."""
    try:
        named = json.loads(image.config)["rootfs"]["diff_ids"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EngineError(messages.CONFIG_UNREADABLE(), messages.PUSH_OR_BUILD_AGAIN()) from error
    if named != [layer.diff_id for layer in image.layers]:
        raise EngineError(messages.CONFIG_NAMES_OTHER_LAYERS(), messages.BUILD_AND_PUSH_AGAIN())
    for diff_id in named:
        if not DIFF_ID_PATTERN.fullmatch(diff_id):
            raise EngineError(
                messages.LAYER_NOT_SHA256(value=f"{diff_id[:20]!r}"),
                messages.BUILD_WITH_SHA256(),
            )


def _put(blobs: Path, value: object) -> dict[str, object]:
    content = json.dumps(value).encode()
    digest = hashlib.sha256(content).hexdigest()
    (blobs / digest).write_bytes(content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _link(source: Path, target: Path, check: StopCheck) -> None:
    if target.exists():  # the same layer twice in one image
        return
    try:
        os.link(source, target)
    except OSError:
        with source.open("rb") as reading, target.open("wb") as writing:
            while chunk := reading.read(COPY_CHUNK_BYTES):
                check()
                writing.write(chunk)

"""Image configs (image-spec config.md), read from bytes that nobody vouches for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from registries.oci import messages, strict_json
from registries.oci.errors import MalformedResponse
from registries.oci.references import Digest

MAX_HISTORY_STEPS = 10_000


@dataclass(frozen=True)
class HistoryStep:
    """One step of the build. A step with ``empty_layer`` has no layer; the others have one each, in order."""

    created: datetime | None
    created_by: str
    comment: str = ""
    author: str = ""
    empty_layer: bool = False


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of itself. Missing texts are ""; ``diff_ids`` name the uncompressed layers, base first."""

    os: str
    architecture: str
    variant: str
    created: datetime | None
    diff_ids: tuple[str, ...]
    history: tuple[HistoryStep, ...]
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)
    author: str = ""


def parse_config(content: bytes) -> ImageConfig:
    """Return what a config blob says; absent or odd facts are left out. Raises MalformedResponse for broken ones."""
    body = strict_json.load_object(content, messages.CONFIG())
    rootfs, settings = body.get("rootfs"), body.get("config")
    return ImageConfig(
        os=strict_json.text(body.get("os"), 40),
        architecture=strict_json.text(body.get("architecture"), 40),
        variant=strict_json.text(body.get("variant"), 20),
        created=strict_json.parse_time(body.get("created")),
        diff_ids=tuple(str(Digest.parse(each)) for each in _list(rootfs, "diff_ids")),
        history=tuple(_step(each) for each in _list(body, "history") if isinstance(each, dict)),
        labels=strict_json.text_map(settings.get("Labels")) if isinstance(settings, dict) else {},
        author=strict_json.text(body.get("author"), 1000),
    )


def _step(step: dict[str, Any]) -> HistoryStep:
    return HistoryStep(
        created=strict_json.parse_time(step.get("created")),
        created_by=strict_json.text(step.get("created_by")),
        comment=strict_json.text(step.get("comment")),
        author=strict_json.text(step.get("author"), 1000),
        empty_layer=step.get("empty_layer") is True,
    )


def _list(holder: object, key: str) -> list[Any]:
    value = holder.get(key) if isinstance(holder, dict) else None
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > MAX_HISTORY_STEPS:
        raise MalformedResponse(messages.CONFIG_MALFORMED(key=key), messages.PUSH_WITH_CURRENT_TOOL())
    return value

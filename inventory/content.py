"""Storing content: manifests, their layers and their images, each once, whatever number of syncs store it at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from django.db import models, transaction
from django.utils import timezone

from inventory import summary
from inventory.configs import record_configs
from inventory.models import Image, Layer, Manifest, ManifestLayer, PlatformManifest, Tag
from registries.oci.configs import ImageConfig
from registries.oci.manifests import Descriptor, Platform

Row = TypeVar("Row", bound=models.Model)

LOOK_UP = 500
SEEN_EVERY = timedelta(days=7)  # Manifest.seen_at is written no more often


@dataclass(frozen=True)
class LayerFact:
    """A layer as a manifest names it."""

    digest: str
    size: int
    media_type: str


@dataclass(frozen=True)
class PlatformFact:
    """One image as an index names it."""

    digest: str
    platform: str  # os/architecture[/variant]; "" is unknown
    size: int = 0  # bytes as pulled, 0 where it was not fetched
    absent: bool = False  # the registry does not hold it


@dataclass(frozen=True)
class ManifestFact:
    """One manifest or index as a registry gave it, or why it could not be read. Verified; safe to store."""

    digest: str
    kind: Manifest.Kind
    media_type: str = ""
    artifact_type: str = ""
    size: int = 0
    image_id: str = ""  # of an image, and of what is unreadable: a stand-in
    config: Descriptor | None = None  # of an image; schema 1 has none and says the same by itself:
    said: ImageConfig | None = None
    platform: Platform | None = None  # of an image of an index, as the index says
    layers: tuple[LayerFact, ...] = ()
    platforms: tuple[PlatformFact, ...] = ()  # of an index
    default: ManifestFact | None = None  # of an index: the image of its default platform
    reason: str = ""  # of what is unreadable
    remedy: str = ""


def known_manifests(digests: Iterable[str]) -> dict[str, Manifest]:
    """Return the manifests stored under ``digests`` that need not be asked for again, and note that they were met."""
    rows = {row.digest: row for row in _rows(Manifest, "digest", digests)}
    now = timezone.now()
    stale = [row.pk for row in rows.values() if row.seen_at < now - SEEN_EVERY]
    if stale:
        Manifest.objects.filter(pk__in=stale).update(seen_at=now)
    return {digest: row for digest, row in rows.items() if row.kind != Manifest.Kind.UNREADABLE}


def store(facts: Sequence[ManifestFact]) -> dict[str, Manifest]:
    """Store ``facts`` and return their rows by digest. What is stored already stays, except what was unreadable.

    Tags that point to what was unreadable get the image that it turns out to be.
    """
    with transaction.atomic():
        leaves = {fact.default.digest: fact.default for fact in facts if fact.default is not None}
        leaves |= {fact.digest: fact for fact in facts if fact.default is None}
        rows = _store_manifests(list(leaves.values()), defaults={})
        indexes = {fact.digest: fact for fact in facts if fact.default is not None}
        rows |= _store_manifests(list(indexes.values()), defaults=rows)
    return rows


def _store_manifests(facts: Sequence[ManifestFact], *, defaults: Mapping[str, Manifest]) -> dict[str, Manifest]:
    """Store ``facts``, all of them leaves, or all of them indexes whose default images are in ``defaults``."""
    digests = [fact.digest for fact in facts]
    before = {row.digest: row for row in _rows(Manifest, "digest", digests)}
    # Only what was unreadable is ever written again.
    fresh = [
        fact for fact in facts if fact.digest not in before or before[fact.digest].kind == Manifest.Kind.UNREADABLE
    ]
    images = _store_images(fresh)
    # In the order of their digests, as everywhere here: two syncs that store the same do not wait for each other.
    Manifest.objects.bulk_create(
        [_row(fact, images, defaults) for fact in sorted(fresh, key=lambda fact: fact.digest)],
        update_conflicts=True,
        unique_fields=["digest"],
        update_fields=["media_type", "kind", "artifact_type", "size", "image", "default_manifest", "seen_at"],
    )
    rows = {row.digest: row for row in _rows(Manifest, "digest", digests)}
    _store_layers(fresh, rows)
    _store_platforms(fresh, rows)
    for fact in fresh:
        if fact.digest in before:
            row = rows[fact.digest]
            if row.kind == Manifest.Kind.OTHER:
                Tag.objects.filter(manifest=row).delete()
            else:
                Tag.objects.filter(manifest=row).update(image_id=row.image_id, size=row.size)
    return rows


def _row(fact: ManifestFact, images: Mapping[str, Image], defaults: Mapping[str, Manifest]) -> Manifest:
    default = defaults[fact.default.digest] if fact.default else None
    return Manifest(
        digest=fact.digest,
        media_type=fact.media_type,
        kind=fact.kind,
        artifact_type=fact.artifact_type,
        size=default.size if default else fact.size,
        image_id=default.image_id if default else images[fact.image_id].pk if fact.image_id else None,
        default_manifest=default,
    )


def _store_images(facts: Sequence[ManifestFact]) -> dict[str, Image]:
    first = {fact.image_id: fact for fact in sorted(facts, key=lambda fact: fact.digest) if fact.image_id}
    known = {row.image_id for row in _rows(Image, "image_id", first)}
    Image.objects.bulk_create(
        [_image_row(first[image_id]) for image_id in sorted(first.keys() - known)], ignore_conflicts=True
    )
    rows = {row.image_id: row for row in _rows(Image, "image_id", first)}
    record_configs({rows[fact.image_id].pk: fact.said for fact in facts if fact.said})
    for fact in facts:
        if fact.kind == Manifest.Kind.UNREADABLE:
            summary.record_state(
                image_id=rows[fact.image_id].pk,
                state=Image.ScanState.FAILED,
                reason=fact.reason,
                remedy=fact.remedy,
            )
    return rows


def _image_row(fact: ManifestFact) -> Image:
    row = Image(image_id=fact.image_id)
    if fact.platform is not None:  # until the config says the same
        platform = fact.platform
        row.os, row.architecture, row.variant = platform.os[:40], platform.architecture[:40], platform.variant[:20]
    return row


def _store_layers(facts: Sequence[ManifestFact], rows: Mapping[str, Manifest]) -> None:
    wanted = {layer.digest: layer for fact in facts for layer in fact.layers}
    known = {row.digest for row in _rows(Layer, "digest", wanted)}
    Layer.objects.bulk_create(
        [
            Layer(digest=digest, size=wanted[digest].size, media_type=wanted[digest].media_type)
            for digest in sorted(wanted.keys() - known)
        ],
        ignore_conflicts=True,
    )
    keys = {row.digest: row.pk for row in _rows(Layer, "digest", wanted)}
    ManifestLayer.objects.bulk_create(
        [
            ManifestLayer(manifest=rows[fact.digest], position=position, layer_id=keys[layer.digest])
            for fact in facts
            for position, layer in enumerate(fact.layers)
        ],
        ignore_conflicts=True,
    )


def _store_platforms(facts: Sequence[ManifestFact], rows: Mapping[str, Manifest]) -> None:
    digests = {platform.digest for fact in facts for platform in fact.platforms}
    fetched = {row.digest: row for row in _rows(Manifest, "digest", digests)}
    PlatformManifest.objects.bulk_create(
        [
            PlatformManifest(
                index=rows[fact.digest],
                position=position,
                digest=platform.digest,
                platform=platform.platform,
                size=platform.size,
                absent=platform.absent,
                manifest=fetched.get(platform.digest),
            )
            for fact in facts
            for position, platform in enumerate(fact.platforms)
        ],
        ignore_conflicts=True,
    )


def _rows(model: type[Row], column: str, values: Iterable[str]) -> Iterator[Row]:
    """Yield the rows whose ``column`` is among ``values``, of which there may be more than one statement can take."""
    wanted = sorted(set(values))
    for start in range(0, len(wanted), LOOK_UP):
        yield from model._default_manager.filter(**{f"{column}__in": wanted[start : start + LOOK_UP]})

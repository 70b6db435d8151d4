"""Storing what registries give: manifests, their layers and their images, whatever number of syncs store it at a time.

What a registry lists says nothing: it has given what it has given itself (see Manifest), and what it names in it has an
image of its own until a scan has proven more (see Image).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from django.db import models, transaction
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from console.db.batches import batched
from console.i18n.explained import NOTHING, Message
from inventory import summary
from inventory.content.image_config import record_configs
from inventory.models import Image, Layer, Manifest, ManifestLayer, PlatformManifest, Tag
from registries.oci.configs import ImageConfig
from registries.oci.manifests import Descriptor, Platform

Row = TypeVar("Row", bound=models.Model)

LOOKUP_BATCH_ROWS = 500
MAX_CLAIMED_BYTES = 1 << 36  # bytes of a layer that nobody has pulled: sums over all layers must fit 63 bits
LAST_SEEN_INTERVAL = timedelta(days=7)  # Manifest.seen_at is written no more often


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
    inline_config: ImageConfig | None = None
    platform: Platform | None = None  # of an image of an index, as the index says
    layers: tuple[LayerFact, ...] = ()
    platforms: tuple[PlatformFact, ...] = ()  # of an index
    default: ManifestFact | None = None  # of an index: the image of its default platform
    reason: Message = NOTHING  # of what is unreadable
    remedy: Message = NOTHING


def existing_manifests(digests: Iterable[str], *, registry_id: int) -> dict[str, Manifest]:
    """Return the manifests under ``digests`` that this registry has given, so that it need not be asked for them again.

    Of a shared one that shows in a tag of the registry, or in an index that a tag names. Notes that they were met.
    """
    tags = Tag._base_manager.filter(registry=registry_id)
    given = Exists(tags.filter(manifest=OuterRef("pk"))) | Exists(
        tags.filter(manifest__default_manifest=OuterRef("pk"))
    )
    mine = (Q(registry=registry_id) | Q(registry=None) & Q(given)) & ~Q(kind=Manifest.Kind.UNREADABLE)
    rows = sorted(_rows(Manifest, "digest", digests, mine), key=lambda row: row.registry_id is None)
    now = timezone.now()
    stale = [row.pk for row in rows if row.last_seen_at < now - LAST_SEEN_INTERVAL]
    if stale:
        Manifest.objects.filter(pk__in=stale).update(last_seen_at=now)
    return {row.digest: row for row in rows}


def store_manifests(facts: Sequence[ManifestFact], *, registry_id: int) -> dict[str, Manifest]:
    """Store ``facts`` that this registry gave and return their rows by digest.

    What is stored already stays, except what was unreadable: tags that point to that get the image that it turns out
    to be.
    """
    with transaction.atomic():
        leaves = {fact.default.digest: fact.default for fact in facts if fact.default is not None}
        leaves |= {fact.digest: fact for fact in facts if fact.default is None}
        indexes = {fact.digest: fact for fact in facts if fact.default is not None}
        stand_ins = {
            row.digest: row.pk
            for row in _rows(Manifest, "digest", (fact.digest for fact in facts), Q(registry=registry_id))
            if row.kind == Manifest.Kind.UNREADABLE
        }
        rows = _store_manifests(list(leaves.values()), registry_id, defaults={})
        images = _store_images(leaves, rows, registry_id)
        rows |= _store_manifests(list(indexes.values()), registry_id, defaults=rows)
        for digest, stand_in in stand_ins.items():
            row, tags = rows[digest], Tag.objects.filter(manifest=stand_in)
            if row.kind == Manifest.Kind.OTHER:
                tags.delete()
            elif row.kind != Manifest.Kind.UNREADABLE:
                tags.update(manifest=row, image_id=images[row.leaf_id], size=row.size)
    return rows


def assign_images(
    leaves: Iterable[int], *, registry_id: int, platforms: Mapping[int, Platform] | None = None
) -> dict[int, int]:
    """Return on which image the tags of a registry hang that lead to the manifests ``leaves`` (ids): ids by ids.

    That is the one on which such tags hang already, else an image that belongs to this registry and manifest alone.
    ``platforms`` says what indexes tell of new ones, until their config says the same.
    """
    requested = set(leaves)
    found = _assigned(requested, registry_id)
    if missing := requested - found.keys():
        new = [
            _image_row(manifest, registry_id, (platforms or {}).get(manifest.pk))
            for manifest in Manifest.objects.filter(pk__in=missing).order_by("digest")
        ]
        Image.objects.bulk_create(new, ignore_conflicts=True)
        found |= _own_images(missing, registry_id)
    return found


def _assigned(leaves: Collection[int], registry_id: int) -> dict[int, int]:
    tags = Tag._base_manager.filter(registry=registry_id, image__isnull=False).order_by()
    found = _own_images(leaves, registry_id)
    for leaf in ("manifest", "manifest__default_manifest"):
        assigned = tags.filter(**{f"{leaf}__in": leaves}).values_list(leaf, "image", "image__registry").distinct()
        # The shared one last: where a tag came while another scan moved those that were there.
        found |= {pk: image for pk, image, _own in sorted(assigned, key=lambda row: row[2] is None)}
    return found


def _own_images(leaves: Collection[int], registry_id: int) -> dict[int, int]:
    return dict(Image.objects.filter(registry=registry_id, manifest__in=leaves).values_list("manifest", "pk"))


def _store_manifests(
    facts: Sequence[ManifestFact], registry_id: int, *, defaults: Mapping[str, Manifest]
) -> dict[str, Manifest]:
    """Store ``facts``, all of them leaves, or all of them indexes whose default images are in ``defaults``."""
    before = _stored(facts, registry_id)
    # Only what was unreadable is ever written again.
    fresh = [
        fact for fact in facts if fact.digest not in before or before[fact.digest].kind == Manifest.Kind.UNREADABLE
    ]
    # In the order of their digests, as everywhere here: two syncs that store the same do not wait for each other.
    new = [_row(fact, registry_id, defaults) for fact in sorted(fresh, key=lambda fact: fact.digest)]
    Manifest.objects.bulk_create([row for row in new if row.registry_id is None], ignore_conflicts=True)
    Manifest.objects.bulk_create(
        [row for row in new if row.registry_id is not None],
        update_conflicts=True,
        unique_fields=["digest", "registry"],
        update_fields=[
            "media_type",
            "kind",
            "artifact_type",
            "size",
            "image_digest",
            "default_manifest",
            "last_seen_at",
        ],
    )
    rows = _stored(facts, registry_id)
    _store_layers(fresh, rows)
    _store_platforms(fresh, rows, defaults)
    return rows


def _stored(facts: Sequence[ManifestFact], registry_id: int) -> dict[str, Manifest]:
    """Return the rows of ``facts`` by digest, of each the shared one or that of the registry as its kind has it."""
    shared = {fact.digest for fact in facts if fact.kind == Manifest.Kind.IMAGE}
    rows = _rows(Manifest, "digest", (fact.digest for fact in facts), Q(registry=None) | Q(registry=registry_id))
    return {row.digest: row for row in rows if (row.registry_id is None) == (row.digest in shared)}


def _row(fact: ManifestFact, registry_id: int, defaults: Mapping[str, Manifest]) -> Manifest:
    default = defaults[fact.default.digest] if fact.default else None
    return Manifest(
        digest=fact.digest,
        registry_id=None if fact.kind == Manifest.Kind.IMAGE else registry_id,
        media_type=fact.media_type,
        kind=fact.kind,
        artifact_type=fact.artifact_type,
        size=default.size if default else fact.size,
        image_digest=default.image_digest if default else fact.image_id,
        default_manifest=default,
    )


def _store_images(leaves: Mapping[str, ManifestFact], rows: Mapping[str, Manifest], registry_id: int) -> dict[int, int]:
    """Store the images that the registry's tags of ``leaves`` hang on: ids by the ids of the manifests."""
    named = {rows[digest].pk: fact for digest, fact in leaves.items() if fact.image_id}
    platforms = {pk: fact.platform for pk, fact in named.items() if fact.platform is not None}
    images = assign_images(named, registry_id=registry_id, platforms=platforms)
    inline_config = {images[pk]: fact.inline_config for pk, fact in named.items() if fact.inline_config}
    unknown = (
        Image.objects.filter(pk__in=inline_config, config_known=False).values_list("pk", flat=True)
        if inline_config
        else ()
    )
    record_configs({pk: inline_config[pk] for pk in unknown})
    for pk, fact in named.items():
        if fact.kind == Manifest.Kind.UNREADABLE:
            summary.record_state(
                image_id=images[pk],
                state=Image.ScanState.FAILED,
                reason=fact.reason,
                remedy=fact.remedy,
                registry_id=registry_id,
            )
    return images


def _image_row(manifest: Manifest, registry_id: int, platform: Platform | None) -> Image:
    row = Image(image_id=manifest.image_digest, registry_id=registry_id, manifest=manifest)
    if platform is not None:
        row.os, row.architecture, row.variant = platform.os[:40], platform.architecture[:40], platform.variant[:20]
    return row


def _store_layers(facts: Sequence[ManifestFact], rows: Mapping[str, Manifest]) -> None:
    requested = {layer.digest: layer for fact in facts for layer in fact.layers}
    known = {row.digest for row in _rows(Layer, "digest", requested)}
    Layer.objects.bulk_create(
        [
            Layer(
                digest=digest,
                size=min(requested[digest].size, MAX_CLAIMED_BYTES),
                media_type=requested[digest].media_type,
            )
            for digest in sorted(requested.keys() - known)
        ],
        ignore_conflicts=True,
    )
    keys = {row.digest: row.pk for row in _rows(Layer, "digest", requested)}
    ManifestLayer.objects.bulk_create(
        [
            ManifestLayer(manifest=rows[fact.digest], position=position, layer_id=keys[layer.digest], size=layer.size)
            for fact in facts
            for position, layer in enumerate(fact.layers)
        ],
        ignore_conflicts=True,
    )


def _store_platforms(
    facts: Sequence[ManifestFact], rows: Mapping[str, Manifest], fetched: Mapping[str, Manifest]
) -> None:
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


def _rows(model: type[Row], column: str, values: Iterable[str], also: Q | None = None) -> Iterator[Row]:
    """Yield the rows whose ``column`` is among ``values``, of which there may be more than one statement can take."""
    for requested in batched(sorted(set(values)), LOOKUP_BATCH_ROWS):
        yield from model._default_manager.filter(also or Q(), **{f"{column}__in": requested})

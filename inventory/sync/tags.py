"""Writing what a sync has seen: tags in batches, each batch whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Self

from django.utils import timezone

from inventory.content.manifest_store import assign_images
from inventory.models import Manifest, Tag


@dataclass(frozen=True)
class ObservedTag:
    """One tag as a sync has seen it."""

    repository_id: int
    address: str  # host/path without the tag
    repository: str  # name, for pulling
    name: str
    digest: str
    size: int | None = None
    pushed_at: datetime | None = None


@dataclass
class SyncStats:
    """What a sync has seen and done so far; the names are those of SyncRun's columns."""

    repositories: int = 0
    tags: int = 0
    tags_new: int = 0
    tags_changed: int = 0
    tags_gone: int = 0
    tags_missing: int = 0
    not_images: int = 0
    errors: int = 0

    def __iadd__(self, other: SyncStats) -> Self:
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))
        return self


TAG_COLUMNS = ("digest", "manifest", "image", "address", "size", "pushed_at", "changed_at", "missing_since")


def record_tags(
    observed: Sequence[ObservedTag],
    *,
    registry_id: int,
    manifests: Mapping[str, Manifest],
    stats: SyncStats,
    not_images: Counter[int] | None = None,
) -> None:
    """Write ``observed``, tags of one registry, as Tag rows; all their digests are in ``manifests``.

    What is no image gets no row and loses the one it had; ``not_images`` counts it by the id of its repository.
    Unchanged rows are not written. Call it in the transaction that has read ``manifests``.
    """
    latest = {
        (tag.repository_id, tag.name): tag for tag in observed
    }  # a registry may list a tag twice while it changes
    rows = {
        (row.repository_id, row.name): row
        for row in Tag.objects.filter(
            repository_id__in={tag.repository_id for tag in latest.values()},
            name__in={tag.name for tag in latest.values()},
        )
    }
    images = assign_images(
        {
            manifest.leaf_id
            for key, tag in latest.items()
            if (manifest := manifests[tag.digest]).kind != Manifest.Kind.OTHER
            and (key not in rows or rows[key].manifest_id != manifest.pk)
        },
        registry_id=registry_id,
    )
    new: list[Tag] = []
    changed: list[Tag] = []
    no_image: list[int] = []
    for key, tag in latest.items():
        manifest, row = manifests[tag.digest], rows.get(key)
        if manifest.kind == Manifest.Kind.OTHER:
            if not_images is not None:
                not_images[tag.repository_id] += 1
            if row is not None:
                no_image.append(row.pk)
            continue
        stats.tags += 1
        if row is None:
            made = Tag(repository_id=tag.repository_id, registry_id=registry_id, name=tag.name)
            new.append(_fill(made, tag, manifest, images))
            continue
        before = _stored_values(row)
        moved = row.digest != tag.digest
        if _stored_values(_fill(row, tag, manifest, images)) != before:
            changed.append(row)
        if moved:
            row.changed_at = timezone.now()
            stats.tags_changed += 1
    Tag.objects.bulk_create(new)
    Tag.objects.bulk_update(changed, TAG_COLUMNS)
    Tag.objects.filter(pk__in=no_image).delete()
    stats.tags_new += len(new)
    stats.tags_gone += len(no_image)


def _fill(row: Tag, tag: ObservedTag, manifest: Manifest, images: Mapping[int, int]) -> Tag:
    moved = row.digest != tag.digest
    row.image_id = images.get(manifest.leaf_id, row.image_id)
    row.digest, row.manifest, row.address = tag.digest, manifest, tag.address
    row.size = manifest.size or tag.size or 0
    row.pushed_at = tag.pushed_at or (None if moved else row.pushed_at)
    row.missing_since = None
    return row


def _stored_values(row: Tag) -> tuple[object, ...]:
    return row.digest, row.manifest_id, row.image_id, row.address, row.size, row.pushed_at, row.missing_since

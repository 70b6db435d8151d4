"""Letting go: of tags and repositories that are gone, and of content that nothing holds any more."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.db import IntegrityError, models, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from console.db.batches import batched
from inventory.models import Image, Layer, Manifest, PlatformManifest, RegistryLayer, Repository, Tag
from inventory.sync.name_hashes import NameHashes

Row = TypeVar("Row", bound=models.Model)

BATCH_ROWS = 200
MAX_TAGS_IN_MEMORY = 50_000
NON_IMAGE_RETENTION = timedelta(days=30)  # how long a manifest that is no image is known after it was last met


@dataclass(frozen=True)
class UnlistedTag:
    """A tag that is known and not listed."""

    pk: int
    repository_id: int
    name: str
    missing_since: datetime | None


def unlisted_tags(listed: Mapping[int, NameHashes]) -> Iterator[UnlistedTag]:
    """Yield the tags of the repositories ``listed`` (id → all names) that are not among those names.

    Of the tags that are known, MAX_TAGS_IN_MEMORY are in memory at a time.
    """
    rows = Tag.objects.filter(repository_id__in=listed).values_list("pk", "repository_id", "name", "missing_since")
    stored = rows.iterator(chunk_size=2000)
    for part in batched(stored, MAX_TAGS_IN_MEMORY):
        unlisted: dict[int, dict[int, UnlistedTag]] = {}
        for pk, repository_id, name, since in part:
            tag = UnlistedTag(pk, repository_id, name, since)
            unlisted.setdefault(repository_id, {})[NameHashes.key(name)] = tag
        for repository_id, candidates in unlisted.items():
            listed[repository_id].discard_from(candidates)
            yield from candidates.values()


def delete_tags(keys: Sequence[int]) -> int:
    """Delete the tags ``keys``, in batches; return how many."""
    for batch in batched(keys, BATCH_ROWS):
        Tag.objects.filter(pk__in=batch).delete()
    return len(keys)


def delete_repositories(keys: Sequence[int]) -> int:
    """Delete the repositories ``keys`` with their tags, in batches; return how many tags are gone."""
    gone = 0
    for batch in batched(keys, BATCH_ROWS):
        gone += delete_tags(array("q", Tag.objects.filter(repository__in=batch).values_list("pk", flat=True)))
        Repository.objects.filter(pk__in=batch).delete()
    return gone


def prune(*, check: Callable[[], None]) -> int:
    """Delete manifests, images with all their findings, and layers that no tag holds; return how many images.

    An image that waits for a scan or is being scanned stays until a later call. Work is done in small transactions,
    with ``check`` between them. Rows that another sync takes up meanwhile are left alone.
    """
    long_ago = timezone.now() - NON_IMAGE_RETENTION

    def orphans() -> QuerySet[Manifest]:
        return Manifest.objects.filter(
            ~Exists(Tag.objects.filter(manifest=OuterRef("pk"))),
            ~Exists(Manifest.objects.filter(default_manifest=OuterRef("pk"))),
            ~Exists(PlatformManifest.objects.filter(manifest=OuterRef("pk"))),
            ~Exists(Image.objects.filter(manifest=OuterRef("pk"))),
            ~Q(kind=Manifest.Kind.OTHER) | Q(last_seen_at__lt=long_ago),
        )

    busy = Image.ScanState.active()
    images = _delete_all(
        lambda: Image.objects.filter(~Exists(Tag.objects.filter(image=OuterRef("pk")))).exclude(scan_state__in=busy),
        check=check,
    )
    while _delete_all(orphans, check=check):
        pass  # an index that goes sets its images free
    _delete_all(lambda: Layer.objects.filter(manifest_layers=None), check=check)
    return images


def delete_registry_content(registry_id: int, *, check: Callable[[], None]) -> None:
    """Delete what belongs to a registry alone that has no tags any more, in small transactions: see :func:`prune`."""
    prune(check=check)
    _delete_all(lambda: Manifest.objects.filter(registry=registry_id), check=check)
    _delete_all(lambda: RegistryLayer.objects.filter(registry=registry_id), check=check)


def _delete_all(rows: Callable[[], QuerySet[Row]], *, check: Callable[[], None]) -> int:
    """Delete ``rows()`` in the order of their keys, batch by batch; return how many."""
    deleted = after = 0
    while True:
        check()
        try:
            with transaction.atomic():
                batch = list(rows().filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH_ROWS])
                if not batch:
                    return deleted
                after = batch[-1]
                rows().filter(pk__in=batch).delete()
                deleted += len(batch)
        except IntegrityError:
            continue  # another sync has just taken one of them up

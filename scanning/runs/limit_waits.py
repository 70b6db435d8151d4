"""Scans that wait for the hourly limit of a registry: freed when it has room again, or asked of one that has."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import Count, Q, QuerySet
from django.db.models.functions import Now

from console.db.batches import batched
from console.db.clock import database_now
from console.i18n.message_codes import NOTHING, Message
from console.jobs import broker
from console.jobs.models import State
from inventory import image_summary
from inventory.content import image_sharing
from inventory.models import Tag
from registries.models import PullUnit, Registry
from registries.models.registry import IS_REFUSED
from registries.pull_limit import LIMIT_WINDOW
from scanning.models import Scan, ScanSubscription
from scanning.runs import messages

BATCH_SCANS = 500
WOKEN_WORKERS = 20  # hints that are sent when scans are freed; the others are found by whoever is awake then


def waiting_reason(registry: Registry) -> Message:
    """Return what is said of a scan that waits for the limit of ``registry``."""
    return messages.WAITING_FOR_HOURLY_LIMIT(registry=registry)


def waiting_for_limit() -> QuerySet[Scan]:
    """Return the queued scans that wait for the hourly limit of their registry."""
    code = messages.WAITING_FOR_HOURLY_LIMIT.code
    return Scan._base_manager.filter(state=State.QUEUED, not_before__gt=Now(), reason__contains=f'"{code}"')


def room_of(registries: Iterable[int]) -> dict[int, int | None]:
    """Return how many units each of ``registries`` has left in this hour, None for any number; 0 for those that have
    refused their credentials or are being removed."""
    keys = list(registries)
    used: dict[int, int] = dict(
        PullUnit._base_manager.filter(registry__in=keys, taken_at__gt=database_now() - LIMIT_WINDOW)
        .order_by()
        .values_list("registry")
        .annotate(n=Count("pk"))
    )
    rows = Registry._base_manager.filter(pk__in=keys)
    usable = set(rows.exclude(IS_REFUSED).filter(deleting_at=None).values_list("pk", flat=True))
    return {
        pk: 0 if pk not in usable else None if limit is None else max(0, limit - used.get(pk, 0))
        for pk, limit in rows.values_list("pk", "limit")
    }


def release(registry: Registry) -> None:
    """Let as many scans that wait for the limit of ``registry`` go on as it has room for now; all where none is left.

    Those that are freed above what there is room for would find that out, and have the others wait anew.
    """
    room = room_of([registry.pk]).get(registry.pk, 0)
    if room == 0:
        return
    waiting = waiting_for_limit().filter(registry=registry).order_by("priority", "pk")
    rows = list(waiting.values_list("pk", "image_id")[:room])
    for batch in batched(rows, BATCH_SCANS):
        with transaction.atomic():
            queued = Scan._base_manager.filter(pk__in=[pk for pk, _image in batch], state=State.QUEUED)
            queued.update(not_before=None, reason=NOTHING)
            image_summary.record_waiting([(image_id, registry.pk) for _pk, image_id in batch], reason=NOTHING)
    with transaction.atomic():
        broker.enqueue_many(list(Scan._base_manager.filter(pk__in=[pk for pk, _image in rows[:WOKEN_WORKERS]])))


def tick() -> None:
    """Free what waits for a limit that was raised or lifted, whoever has done that."""
    for registry in Registry.objects.filter(pk__in=waiting_for_limit().order_by().values("registry").distinct()):
        release(registry)


def ask_other_registry(scan: Scan, tag: Tag) -> bool:
    """Have ``scan``, which waits for the limit of its registry, pull by ``tag`` of another one that holds the image.

    Returns whether it does; not where that registry has no room either. Belongs into a transaction.
    """
    if tag.registry_id == scan.registry_id or room_of([tag.registry_id]).get(tag.registry_id) == 0:
        return False
    manifest = tag.manifest.default_manifest or tag.manifest
    waiting = waiting_for_limit().filter(pk=scan.pk)
    values = {"tag": tag, "registry": tag.registry_id, "manifest_digest": manifest.digest, "address": str(tag)}
    try:
        with transaction.atomic():
            if not waiting.update(**values, not_before=None, reason=NOTHING):
                return False
    except IntegrityError:  # the image is being scanned through that one
        return False
    scan.refresh_from_db()
    image_summary.record_queued_from(image_id=scan.image_id, registry_id=tag.registry_id)
    return True


def ask_others(registry: Registry, scans: Iterable[Scan]) -> None:
    """Have those of ``scans``, which wait for the limit of ``registry``, be asked of others that hold their images and
    have room."""
    shared = [scan for scan in scans if scan.image.is_shared]
    if not shared:
        return
    others = Tag._base_manager.filter(image__in={scan.image_id for scan in shared}, missing_since=None)
    others = others.exclude(registry=registry)
    room = room_of(others.order_by().values_list("registry", flat=True).distinct())
    if not any(left is None or left > 0 for left in room.values()):
        return
    freed = []
    for scan in shared:
        found = image_sharing.other_tags(scan.image, registry_id=registry.pk, manifest_digest=scan.manifest_digest)
        with_room = [pk for pk, left in room.items() if left is None or left > 0]
        allowed = found.filter(allowed_registries(scan), registry__in=with_room, missing_since=None)
        tag = allowed.select_related("manifest__default_manifest").order_by("pk").first()
        if tag is not None and ask_other_registry(scan, tag):
            left = room[tag.registry_id]
            room[tag.registry_id] = None if left is None else left - 1
            freed.append(scan)
    broker.enqueue_many(freed[:WOKEN_WORKERS])


def allowed_registries(scan: Scan) -> Q:
    """Return of which registries tags may be used: of those that somebody sees who wants the scan."""
    runs = [scan.run, *(row.run for row in ScanSubscription.wanted([scan.pk]).get(scan.pk, ()))]
    seen = [run.registries for run in runs if run is not None]
    if not seen or None in seen:
        return Q()
    return Q(registry__in={registry for some in seen for registry in some or ()})

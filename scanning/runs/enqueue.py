"""Queueing the scans of a run: tags become images, images become at most one active scan each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from console.i18n.message_codes import NOTHING, Message
from console.jobs import broker
from console.jobs.models import Priority, State
from inventory import image_summary
from inventory.models import Image, Manifest, Tag
from registries.models import Registry
from registries.models.registry import IS_REFUSED
from scanning.engines.base import RiskCategory
from scanning.models import Scan, ScanRun, ScanScope, ScanSubscription
from scanning.runs import limit_waits, messages, monthly_quota, refused_credentials

PROMPT_IMAGES = 10  # images of one manual run that go before those of others; a run of thousands holds nobody up
ALREADY_SCANNING = messages.ALREADY_SCANNING()
BEING_CANCELLED = messages.BEING_CANCELLED()
OTHER_CATEGORIES = messages.SCANNING_OTHER_CATEGORIES()
BATCH_TAGS = 200  # tags a transaction; keeps the database's write lock short


@dataclass(frozen=True)
class SkippedTag:
    """A tag for which no scan was started, and why."""

    tag_id: int
    address: str
    why: Message


@dataclass
class QueueResult:
    """What became of some tags. Tags that share an image share its one scan."""

    scans: list[Scan] = field(default_factory=list)
    tags: int = 0  # tags that scans of the run give results to
    skipped: list[SkippedTag] = field(default_factory=list)


def queue_scans(run: ScanRun, tag_ids: Iterable[int]) -> QueueResult:
    """Queue one scan for each image behind these tags (at most BATCH_TAGS) that has none; return what became of them.

    An image that the run has scanned already gets no second scan; its tag counts. One whose scan another run has
    started is skipped, but that scan goes on for as long as this run wants it, and while it waits it is made to look
    for what this run is to look for too, no later than for this run; where it waits for the hourly limit of another
    registry, it pulls from that of the tag.
    ``run`` is not saved. Belongs into the transaction that saves it.
    """
    tags = list(
        Tag.objects.filter(pk__in=list(tag_ids)).select_related("manifest__default_manifest", "image").order_by("pk")
    )
    done = QueueResult()
    with transaction.atomic():
        limit = monthly_quota.lock_quota()
        room = None if limit is None else limit.left
        images = {tag.image_id for tag in tags if tag.image_id is not None}
        # Of others too: an image is scanned once at a time. But no run waits for a registry that is hidden from it.
        scans = Scan._base_manager.filter(image_id__in=images)
        if run.registries is not None:
            scans = scans.filter(registry__in=run.registries)
        named = {tag.image.image_id for tag in tags if tag.image is not None}
        own = Scan._base_manager.filter(run=run, image__image_id__in=named).values_list("image_id", "image__image_id")
        ours, counted = (
            set[int](),
            set[str](),
        )  # images that the run scans; image IDs that it has a unit of the quota for
        for image, image_id in own:
            ours.add(image)
            counted.add(image_id)
        used = 0
        # Locked in one order, as by those who cancel or hold back, so that no two wait for each other.
        active = list(scans.filter(state__in=State.active()).order_by("pk").select_for_update(of=("self",)))
        busy = {scan.image_id: scan for scan in reversed(active)}
        refusing = set(Registry.objects.filter(IS_REFUSED).values_list("pk", flat=True))
        subscribed: Counter[int] = Counter()
        changed: dict[int, Scan] = {}
        rerouted: set[int] = set()
        for tag in tags:
            if tag.image is None or tag.image_id is None or tag.manifest.kind == Manifest.Kind.UNREADABLE:
                why = messages.IMAGE_UNREADABLE()
            elif tag.missing_since is not None and run.scope != ScanScope.CHOSEN:
                why = messages.TAG_MISSING()
            elif tag.image_id in ours:
                done.tags += 1
                continue
            elif tag.image_id in busy:
                scan = busy[tag.image_id]
                before = run.images + len(done.scans) + len(changed)
                if scan.pk not in rerouted and limit_waits.ask_other_registry(scan, tag):
                    rerouted.add(scan.pk)
                    changed[scan.pk] = scan
                if scan.state == State.QUEUED and scan.pk not in subscribed and _extend_scan(run, scan, before=before):
                    changed[scan.pk] = scan
                why = _skip_reason(run, scan)
                if why is ALREADY_SCANNING:
                    subscribed[scan.pk] += 1
            elif limit is not None and room is not None and used >= room and tag.image.image_id not in counted:
                why = messages.QUOTA_USED_UP(n=f"{limit.limit:,}")
            elif (
                made := _create(
                    run,
                    tag,
                    tag.image,
                    counted,
                    before=run.images + len(done.scans),
                    reason=refused_credentials.WAITING_REASON if tag.registry_id in refusing else NOTHING,
                )
            ) is None:
                why = ALREADY_SCANNING
            else:
                ours.add(tag.image_id)
                used += made.counted
                counted.add(tag.image.image_id)
                done.scans.append(made)
                done.tags += 1
                continue
            done.skipped.append(SkippedTag(tag_id=tag.pk, address=str(tag), why=why))
        _store_subscriptions(run, subscribed)
        broker.enqueue_many(done.scans)
        broker.enqueue_many(list(changed.values()))
    return done


def _skip_reason(run: ScanRun, scan: Scan) -> Message:
    """Return why ``run`` starts no own scan beside ``scan``: with ALREADY_SCANNING it takes that one's results."""
    if scan.cancel_requested_at is not None:
        return BEING_CANCELLED
    return (
        OTHER_CATEGORIES
        if scan.state == State.RUNNING and set(run.categories) - set(scan.categories)
        else ALREADY_SCANNING
    )


def _store_subscriptions(run: ScanRun, subscribed: Mapping[int, int]) -> None:
    """Keep that ``run`` wants these scans, each for so many more of its tags."""
    if not subscribed:
        return
    known = {row.scan_id: row for row in ScanSubscription._base_manager.filter(run=run, scan__in=subscribed)}
    for scan_id, number in subscribed.items():
        row = known.get(scan_id) or ScanSubscription(run=run, scan_id=scan_id)
        row.tags += number
        known[scan_id] = row
    ScanSubscription._base_manager.bulk_create([row for row in known.values() if row.pk is None])
    ScanSubscription._base_manager.bulk_update([row for row in known.values() if row.pk is not None], ["tags"])


def _lane(run: ScanRun, before: int) -> int:
    return Priority.BULK if run.priority == Priority.MANUAL and before >= PROMPT_IMAGES else run.priority


def _extend_scan(run: ScanRun, scan: Scan, *, before: int) -> bool:
    """Have ``scan``, which waits for another run, do what ``run`` wants too; return whether that changed it.

    A scan of higher priority does not wait for the time range of a schedule either.
    """
    wanted = [category.value for category in RiskCategory if category in {*scan.categories, *run.categories}]
    priority = min(scan.priority, _lane(run, before))
    if wanted == scan.categories and priority == scan.priority:
        return False
    values: dict[str, Any] = {"categories": wanted, "priority": priority}
    if priority != scan.priority:
        values |= {"not_before": None, "reason": ""}
    Scan._base_manager.filter(pk=scan.pk, state=State.QUEUED).update(**values)
    scan.categories = wanted
    if priority != scan.priority:
        image_summary.record_waiting([(scan.image_id, scan.registry_id)], reason=NOTHING)
    return True


def _create(
    run: ScanRun, tag: Tag, image: Image, counted: Collection[str], *, before: int, reason: Message
) -> Scan | None:
    """Save a scan of ``image``, which is behind ``tag``, with so many ``before`` it; None where another was first.

    ``counted`` are the image IDs of which the run has a scan already: copies of them take no unit of the quota.
    ``reason`` is why it waits, if it has to.
    """
    manifest = tag.manifest.default_manifest or tag.manifest
    scan = Scan(
        run=run,
        image_id=image.pk,
        counted=image.image_id not in counted,
        tag=tag,
        manifest_digest=manifest.digest,
        address=str(tag),
        registry_id=tag.registry_id,
        categories=run.categories,
        timeout=run.timeout,
        requested_by_id=run.requested_by_id,
        priority=_lane(run, before),
        reason=reason,
    )
    try:
        with transaction.atomic():
            scan.save()
    except IntegrityError:
        return None
    scan.state_changed(State.QUEUED)
    return scan

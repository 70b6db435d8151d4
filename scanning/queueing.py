"""Queueing the scans of a run: tags become images, images become at most one active scan each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.utils.translation import gettext_noop as _  # kept in English: see console.told

from console.jobs import queue
from console.jobs.models import Lane, State
from inventory import summary
from inventory.models import Manifest, Tag
from scanning import quota
from scanning.engines.base import RiskCategory
from scanning.models import Scan, ScanRun
from scanning.models.run import ACTIVE

PROMPT = 10  # images of one manual run that go before those of others; a run of thousands holds nobody up
ALREADY = _("Already scanning")
OTHERWISE = _("Being scanned for other risk categories; scan it again afterwards")
BATCH = 200  # tags a transaction; keeps the database's write lock short


@dataclass(frozen=True)
class Skipped:
    """A tag for which no scan was started, and why."""

    tag_id: int
    address: str
    why: str


@dataclass
class Queued:
    """What became of some tags. Tags that share an image share its one scan."""

    scans: list[Scan] = field(default_factory=list)
    tags: int = 0  # tags that scans of the run give results to
    skipped: list[Skipped] = field(default_factory=list)


def queue_scans(run: ScanRun, tag_ids: Iterable[int]) -> Queued:
    """Queue one scan for each image behind these tags (at most BATCH) that has none, and return what became of them.

    An image that the run has scanned already gets no second scan; its tag counts. One that waits in the queue for
    another run is skipped, but looked at for what this run is to look for too, and no later than for this run.
    ``run`` is not saved. Belongs into the transaction that saves it.
    """
    tags = list(
        Tag.objects.filter(pk__in=list(tag_ids)).select_related("manifest__default_manifest", "image").order_by("pk")
    )
    done = Queued()
    with transaction.atomic():
        limit = quota.hold()
        room = None if limit is None else limit.left
        images = {tag.image_id for tag in tags if tag.image_id is not None}
        scans = Scan._base_manager.filter(image_id__in=images)  # of others too: an image is scanned once at a time
        ours = set(scans.filter(run=run).values_list("image_id", flat=True))
        busy = {scan.image_id: scan for scan in scans.filter(state__in=ACTIVE)}
        joined: dict[int, Scan] = {}
        # Locked in one order, as by those who cancel or hold back, so that no two wait for each other.
        late = [scan.pk for scan in busy.values() if scan.lane > run.lane or set(run.categories) - set(scan.categories)]
        locked = scans.filter(pk__in=late, state=State.QUEUED).order_by("pk").select_for_update(of=("self",))
        held = {scan.pk: scan for scan in locked} if late else {}
        for tag in tags:
            if tag.image_id is None or tag.manifest.kind == Manifest.Kind.UNREADABLE:
                why = _("The image behind this tag could not be read; sync its registry first")
            elif tag.image_id in ours:
                done.tags += 1
                continue
            elif tag.image_id in busy:
                scan = busy[tag.image_id]
                before = run.images + len(done.scans) + len(joined)
                if scan.pk in held and scan.pk not in joined and _join(run, held[scan.pk], before=before):
                    joined[scan.pk] = held[scan.pk]
                lacks = scan.state == State.RUNNING and set(run.categories) - set(scan.categories)
                why = OTHERWISE if lacks else ALREADY
            elif limit is not None and room is not None and len(done.scans) >= room:
                why = _("The quota of %(n)s scans in this month is used up") % {"n": f"{limit.limit:,}"}
            elif (made := _create(run, tag, tag.image_id, before=run.images + len(done.scans))) is None:
                why = ALREADY
            else:
                ours.add(tag.image_id)
                done.scans.append(made)
                done.tags += 1
                continue
            done.skipped.append(Skipped(tag_id=tag.pk, address=str(tag), why=why))
        queue.enqueue_many(done.scans)
        queue.enqueue_many(list(joined.values()))
    return done


def _lane(run: ScanRun, before: int) -> int:
    return Lane.BULK if run.lane == Lane.MANUAL and before >= PROMPT else run.lane


def _join(run: ScanRun, scan: Scan, *, before: int) -> bool:
    """Have ``scan``, which waits for another run, do what ``run`` wants too; return whether that changed it.

    What comes before its lane does not wait for the time range of a schedule either.
    """
    wanted = [category.value for category in RiskCategory if category in {*scan.categories, *run.categories}]
    lane = min(scan.lane, _lane(run, before))
    if wanted == scan.categories and lane == scan.lane:
        return False
    values: dict[str, Any] = {"categories": wanted, "lane": lane}
    if lane != scan.lane:
        values |= {"not_before": None, "reason": ""}
    if not Scan._base_manager.filter(pk=scan.pk, state=State.QUEUED).update(**values):
        return False  # it has begun a moment ago
    if lane != scan.lane:
        summary.record_waiting([scan.image_id], reason="")
    return True


def _create(run: ScanRun, tag: Tag, image_id: int, *, before: int) -> Scan | None:
    """Save a scan of the image behind ``tag``, with so many ``before`` it; None where another process was first."""
    manifest = tag.manifest.default_manifest or tag.manifest
    scan = Scan(
        run=run,
        image_id=image_id,
        tag=tag,
        manifest_digest=manifest.digest,
        address=str(tag),
        registry_id=tag.registry_id,
        categories=run.categories,
        timeout=run.timeout,
        requested_by_id=run.requested_by_id,
        lane=_lane(run, before),
    )
    try:
        with transaction.atomic():
            scan.save()
    except IntegrityError:
        return None
    scan.state_changed(State.QUEUED)
    return scan

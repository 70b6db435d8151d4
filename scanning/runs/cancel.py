"""Cancelling scans: those of a run, of some images, or all. What several runs want of a scan: see shared_scans."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import QuerySet
from django.db.models.functions import Now

from console.db.batches import batched
from console.jobs import broker
from console.jobs.models import State
from console.jobs.state import cancel_queued
from console.visibility import current
from inventory.models import Tag
from scanning.models import Scan, ScanRun, ScanSubscription, Selection
from scanning.runs.enqueue import BATCH_TAGS
from scanning.runs.scope import tags_in_scope
from scanning.runs.shared_scans import CancelResult, cancel_run_scans

MAX_CANCEL_PASSES = 10  # looks at what a cancel has missed


def cancel(*, tag_ids: Iterable[int] | None = None, scan_ids: Iterable[int] | None = None) -> int:
    """Cancel the active scans of these tags' images or these scans, all active ones where both are None.

    Returns how many were meant. Queued ones end at once, running ones within seconds.
    """
    if tag_ids is None and scan_ids is None:
        return cancel_everything()
    count = 0
    for batch in batched(tag_ids or (), BATCH_TAGS):
        images = Tag.objects.filter(pk__in=batch, image__isnull=False).values("image_id")
        count += cancel_scans(Scan.objects.filter(image_id__in=images))
    for batch in batched(scan_ids or (), BATCH_TAGS):
        count += cancel_scans(Scan.objects.filter(pk__in=batch))
    return count


def cancel_run(run: ScanRun) -> CancelResult:
    """Cancel what is left of a run: no more scans are queued, queued ones end at once, running ones within seconds.

    Returns how many scans were meant. Those that another run wants too go on for that one. Of a run that scans more
    than is seen now, the scans that are seen are cancelled.
    """
    if _is_fully_visible(run):
        broker.request_cancel(run)
        ScanRun.objects.filter(pk=run.pk, cancel_requested_at=None).update(cancel_requested_at=Now())
    return cancel_scans_of_run(run)


def cancel_scans_of_run(run: ScanRun) -> CancelResult:
    """Leave the scans of ``run``; an earlier look at its tags may have gone as far as its cursor alone."""
    return cancel_run_scans(
        run, lambda: tags_in_scope(run).filter(pk__lte=run.cursor) if run.cursor else tags_in_scope(run)
    )


def _is_fully_visible(run: ScanRun) -> bool:
    """Whether all that ``run`` scans is seen now."""
    seen = current()
    return seen is None or (run.registries is not None and seen.registries.issuperset(run.registries))


def cancel_scans(scans: QuerySet[Scan]) -> int:
    """Cancel those of ``scans`` that have not ended, and return how many were meant."""
    count = cancel_queued(scans)
    for scan in scans.filter(state=State.RUNNING):
        broker.request_cancel(scan)
        count += 1
    for _again in range(MAX_CANCEL_PASSES):  # some may have been taken or put back between the two looks
        left = list(scans.filter(state__in=State.active(), cancel_requested_at=None)[:BATCH_TAGS])
        if not left:
            break
        for scan in left:
            broker.request_cancel(scan)
        count += len(left)
    return count


def cancel_everything() -> int:
    """Cancel all runs and all scans that are seen, and return how many scans were meant."""
    for run in ScanRun.objects.filter(state__in=State.active()):
        if _is_fully_visible(run):
            broker.request_cancel(run)
    return cancel_scans(Scan.objects.all())


def tick() -> None:
    """Cancel scans that were queued while their run was cancelled, and close the runs that are over."""
    for run in ScanRun.objects.unfinished().filter(state=State.CANCELLED):
        cancel_scans_of_run(run)
    ScanRun.objects.all().close()
    ScanSubscription.prune()
    Selection.prune()

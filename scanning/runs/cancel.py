"""What becomes of the scans of a run that is cancelled: those that another run wants too go on for that one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from console.jobs.models import Priority, State
from console.jobs.state import cancel_queued
from inventory.models import Tag
from scanning.engines.base import RiskCategory
from scanning.models import Scan, ScanRun, ScanSubscription
from scanning.runs import messages
from scanning.runs.enqueue import ALREADY_SCANNING

PASSED_ON_REASON = messages.CANCELLED_HERE()
BATCH_SCANS = 200  # scans a transaction
MAX_PASSES = 10  # at what has missed a cancel


@dataclass
class CancelResult:
    """What a run has left behind, in scans."""

    cancelled: int = 0
    passed_on: int = 0


def cancel_run_scans(run: ScanRun, tags: Callable[[], QuerySet[Tag]]) -> CancelResult:
    """Take from all scans that are seen what ``run`` wants of them; ``tags`` are those that it means.

    A scan of its own that nobody else wants is cancelled. One that another run wants becomes that one's: while it waits
    only for what is wanted still, and with the priority of that. The counts of both runs are those as if the other had
    started it.
    """
    _unsubscribe(run)
    result = CancelResult()
    for _look in range(MAX_PASSES):
        found = False
        for batch in _batches(run.scans.filter(state__in=State.active(), cancel_requested_at=None)):
            found = True
            result.cancelled += _cancel_unwanted(run, batch)
            result.passed_on += _pass_on(run, batch, tags)
        if not found:
            break
    if result.passed_on:
        ScanRun.objects.filter(pk=run.pk).close()
        run.refresh_from_db()
    return result


def _batches(scans: QuerySet[Scan]) -> Iterator[list[int]]:
    last = 0
    while batch := list(scans.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:BATCH_SCANS]):
        yield batch
        last = batch[-1]


def _lock_active(scan_ids: Iterable[int]) -> list[Scan]:
    """Return the active ones of these scans, locked in one order: nobody joins them before the transaction is over."""
    rows = Scan._base_manager.filter(pk__in=list(scan_ids), state__in=State.active())
    return list(rows.order_by("pk").select_for_update(of=("self",)))


def _cancel_unwanted(run: ScanRun, scan_ids: list[int]) -> int:
    """Cancel those that no other run wants; return how many."""
    with transaction.atomic():
        active = [scan for scan in _lock_active(scan_ids) if scan.run_id == run.pk]
        wanted = ScanSubscription.wanted([scan.pk for scan in active])
        mine = [scan for scan in active if scan.pk not in wanted]
        cancel_queued(Scan._base_manager.filter(pk__in=[scan.pk for scan in mine]))
        running = Scan._base_manager.filter(pk__in=[scan.pk for scan in mine], state=State.RUNNING)
        running.filter(cancel_requested_at=None).update(cancel_requested_at=Now())
        return len(mine)


def _pass_on(run: ScanRun, scan_ids: list[int], tags: Callable[[], QuerySet[Tag]]) -> int:
    """Give those that other runs want to the first of these; return how many."""
    with transaction.atomic():
        active = [scan for scan in _lock_active(scan_ids) if scan.run_id == run.pk]
        wanted = ScanSubscription.wanted([scan.pk for scan in active])
        given = [scan for scan in active if scan.pk in wanted]
        if not given:
            return 0
        mine = tags().filter(image__in=[scan.image_id for scan in given]).count()
        runs = {run.pk, *(wanted[scan.pk][0].run_id for scan in given)}
        locked = {row.pk: row for row in ScanRun._base_manager.filter(pk__in=runs).order_by("pk").select_for_update()}
        for scan in given:
            successor, *others = wanted[scan.pk]
            _narrow_scan(scan, [successor.run, *(row.run for row in others)])
            Scan._base_manager.filter(pk=scan.pk).update(run=successor.run, requested_by=successor.run.requested_by_id)
            Scan._base_manager.filter(pk=scan.pk, state=State.QUEUED).update(timeout=successor.run.timeout)
            _adopt_scan(locked[successor.run_id], successor.tags)
            successor.delete()
        cancelled_run = locked[run.pk]
        mine = min(mine, cancelled_run.tags)
        cancelled_run.images -= len(given)
        cancelled_run.tags -= mine
        cancelled_run.skipped[PASSED_ON_REASON] = cancelled_run.skipped.get(PASSED_ON_REASON, 0) + mine
        for row in locked.values():
            row.save(update_fields=["images", "tags", "skipped", "finished_at"])
        return len(given)


def _adopt_scan(run: ScanRun, tags: int) -> None:
    """Count (unsaved) that a scan which ``run`` had joined is its own, and that it goes on if it was over."""
    run.images += 1
    run.tags += tags
    run.skipped[ALREADY_SCANNING] = run.skipped.get(ALREADY_SCANNING, 0) - tags
    if run.skipped[ALREADY_SCANNING] <= 0:
        del run.skipped[ALREADY_SCANNING]
    run.finished_at = None


def _unsubscribe(run: ScanRun) -> None:
    """Have scans that other runs have started do no more for ``run``."""
    subscribed = Scan.objects.filter(subscriptions__run=run, state__in=State.active())
    for batch in _batches(subscribed):
        with transaction.atomic():
            active = _lock_active(batch)
            ScanSubscription._base_manager.filter(run=run, scan__in=batch).delete()
            wanted = ScanSubscription.wanted(batch)
            owners = ScanRun._base_manager.in_bulk([scan.run_id for scan in active if scan.run_id is not None])
            for scan in active:
                if scan.run_id in owners:
                    _narrow_scan(scan, [owners[scan.run_id], *(row.run for row in wanted.get(scan.pk, ()))])


def _narrow_scan(scan: Scan, runs: list[ScanRun]) -> None:
    """Have ``scan`` look for what ``runs`` want, no earlier than for them; one that has begun goes on as it is."""
    priority = min(run.priority for run in runs)
    Scan._base_manager.filter(pk=scan.pk, state=State.QUEUED).update(
        categories=[one.value for one in RiskCategory if any(one in run.categories for run in runs)],
        priority=scan.priority
        if priority == Priority.MANUAL
        else priority,  # of many images those after the first go behind
    )


def count_subscribed_runs(scans: QuerySet[Scan]) -> int:
    """Return how many runs want some of ``scans``, where more than one wants one of these; else 0."""
    ids = list(scans.filter(state__in=State.active(), subscriptions__isnull=False).values_list("pk", flat=True))
    wanted = ScanSubscription.wanted(ids)
    starters = Scan._base_manager.filter(pk__in=wanted, run__isnull=False).values_list("run", flat=True)
    return len({*starters, *(row.run_id for rows in wanted.values() for row in rows)})

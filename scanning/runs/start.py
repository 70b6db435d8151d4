"""Starting scan runs. A run of few chosen images is queued in the request, any other by its job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet

from console import visibility
from console.db.batches import batched
from console.jobs import broker
from console.jobs.errors import Cancelled, LeaseLost
from console.jobs.job_run import JobRun
from console.jobs.models import Priority, State
from console.jobs.state import advance
from console.models import User
from console.visibility import current
from inventory.models import Tag
from scanning.engines.base import RiskCategory
from scanning.models import Scan, ScanRun, ScanSchedule, ScanScope
from scanning.models.selection import add_tags
from scanning.runs.cancel import cancel_scans_of_run
from scanning.runs.enqueue import BATCH_TAGS, QueueResult, SkippedTag, queue_scans
from scanning.runs.scope import tags_in_scope

MAX_TAGS_IN_REQUEST = BATCH_TAGS  # so many chosen tags are queued in the request itself
CHUNK_TAGS = 10_000  # ids of tags that the job holds at a time
LANE_BY_TRIGGER = {
    ScanRun.Trigger.MANUAL: Priority.MANUAL,
    ScanRun.Trigger.EVENT: Priority.EVENT,
    ScanRun.Trigger.SCHEDULE: Priority.SCHEDULE,
}


@dataclass
class ScanNowResult:
    """What a start came to. Tags that share an image share its one scan.

    Of more than some hundred tags a job queues the scans; ``run`` tells how far it is, and the rest is empty.
    """

    run: ScanRun
    queued: list[Scan] = field(default_factory=list)
    tags: int = 0  # tags that these scans will give results to
    skipped: list[SkippedTag] = field(default_factory=list)


def scan_now(
    *,
    tag_ids: Iterable[int] | QuerySet[Tag],
    categories: Sequence[str] = tuple(RiskCategory),
    requested_by: User | None,
    timeout: int | None = None,
    priority: Priority = Priority.MANUAL,
) -> ScanNowResult:
    """Start a run of one scan per image behind ``tag_ids`` (ids or rows) and return what was queued and what was not.

    ``timeout`` is in seconds over pull and analysis; the setting's default where None. Unknown ids are left out.
    Raises ValueError where no category is known.
    """
    run, queued = start_and_queue(
        scope=ScanScope.CHOSEN,
        tag_ids=tag_ids,
        categories=categories,
        timeout=timeout,
        trigger=ScanRun.Trigger.EVENT if priority == Priority.EVENT else ScanRun.Trigger.MANUAL,
        requested_by=requested_by,
        schedule=None,
        priority=priority,
    )
    return ScanNowResult(run=run, queued=queued.scans, tags=queued.tags, skipped=queued.skipped)


def start_run(
    *,
    scope: ScanScope,
    tag_ids: Iterable[int] | QuerySet[Tag] = (),
    categories: Sequence[str] = tuple(RiskCategory),
    timeout: int | None = None,
    trigger: ScanRun.Trigger = ScanRun.Trigger.MANUAL,
    requested_by: User | None = None,
    schedule: ScanSchedule | None = None,
    priority: Priority | None = None,
) -> ScanRun:
    """Start a scan of the images of ``scope``; ``tag_ids``, also as rows, are those of ScanScope.CHOSEN.

    Unknown ids are left out. ``timeout`` is in seconds for one image; None takes the default of the settings. The
    priority is that of the trigger unless given. Raises ValueError if no category is known. A run that is
    returned as succeeded has queued all its scans.
    """
    return start_and_queue(
        scope=scope,
        tag_ids=tag_ids,
        categories=categories,
        timeout=timeout,
        trigger=trigger,
        requested_by=requested_by,
        schedule=schedule,
        priority=priority,
    )[0]


def start_and_queue(
    *,
    scope: ScanScope,
    tag_ids: Iterable[int] | QuerySet[Tag],
    categories: Sequence[str],
    timeout: int | None,
    trigger: ScanRun.Trigger,
    requested_by: User | None,
    schedule: ScanSchedule | None,
    priority: Priority | None,
) -> tuple[ScanRun, QueueResult]:
    """As :func:`start_run`, and return with the run what it has queued so far."""
    wanted = [category.value for category in RiskCategory if category in set(categories)]
    if not wanted:
        raise ValueError("A scan needs at least one risk category.")
    chosen = tag_ids if scope is ScanScope.CHOSEN else ()
    rows = chosen.order_by("pk") if isinstance(chosen, QuerySet) else None
    ids = iter(chosen if rows is None else rows.values_list("pk", flat=True)[: MAX_TAGS_IN_REQUEST + 1])
    first = list(islice(ids, MAX_TAGS_IN_REQUEST + 1))
    seen = current()
    with transaction.atomic():
        run = ScanRun.objects.create(
            scope=scope,
            categories=wanted,
            timeout=timeout or settings.SCAN_TIMEOUT_SECONDS,
            trigger=trigger,
            requested_by=requested_by,
            schedule=schedule,
            choice=schedule.choice if schedule is not None and scope is not ScanScope.CHOSEN else {},
            priority=LANE_BY_TRIGGER[trigger] if priority is None else priority,
            registries=sorted(seen.registries) if seen else None,
        )
        if scope is not ScanScope.CHOSEN or len(first) > MAX_TAGS_IN_REQUEST:
            if rows is None:
                _store_chosen(run, chain(first, ids))
            else:
                add_tags(run, "chosen", rows)
            broker.enqueue(run)
            return run, QueueResult()
        _store_chosen(run, first)
        advance(run, State.RUNNING)
        queued = queue_scans(run, first)
        _add_counts(run, queued)
        run.save(update_fields=["tags", "images", "skipped"])
        advance(run, State.SUCCEEDED)
    return run, queued


def queue_run(job: JobRun[ScanRun]) -> None:
    """Queue the scans of a run in batches. Taken up again after an interruption, it goes on where it was."""
    with visibility.set_to(job.job.visible_to_starter):
        _queue(job)


def _queue(job: JobRun[ScanRun]) -> None:
    run = job.job
    total = None
    try:
        while ids := list(
            tags_in_scope(run).filter(pk__gt=run.cursor).order_by("pk").values_list("pk", flat=True)[:CHUNK_TAGS]
        ):
            for batch in batched(ids, BATCH_TAGS):
                job.check()
                _queue_batch(job, batch)
                if total is None and run.scope != ScanScope.RECOMMENDED:
                    total = tags_in_scope(run).count()
                job.progress("queueing", run.tags + run.skipped_tags, total)
    except Cancelled:
        cancel_scans_of_run(run)
        raise


def _store_chosen(run: ScanRun, tag_ids: Iterable[int]) -> None:
    through = ScanRun.chosen.through
    for batch in batched(tag_ids, 1000):
        known = Tag.objects.filter(pk__in=batch).values_list("pk", flat=True)
        through._base_manager.bulk_create(
            [through(scanrun_id=run.pk, tag_id=pk) for pk in known], ignore_conflicts=True
        )


def _queue_batch(job: JobRun[ScanRun], tag_ids: Sequence[int]) -> None:
    """Queue one batch and note in the same transaction how far the run is, if this attempt still counts."""
    run = job.job
    with transaction.atomic():
        queued = queue_scans(run, tag_ids)
        # A scan that this run had joined may have become its own since the batch before.
        now = ScanRun._base_manager.select_for_update().get(pk=run.pk)
        run.tags, run.images, run.skipped = now.tags, now.images, now.skipped
        _add_counts(run, queued)
        run.cursor = tag_ids[-1]
        values = {name: getattr(run, name) for name in ("tags", "images", "skipped", "cursor")}
        if not ScanRun._base_manager.filter(pk=run.pk, attempt=job.attempt, state=State.RUNNING).update(**values):
            raise LeaseLost


def _add_counts(run: ScanRun, queued: QueueResult) -> None:
    run.tags += queued.tags
    run.images += len(queued.scans)
    for skipped in queued.skipped:
        run.skipped[skipped.why] = run.skipped.get(skipped.why, 0) + 1

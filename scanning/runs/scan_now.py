"""What the buttons of a row and of a selection do: scan these tags now, or stop scanning them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.db.models import QuerySet

from console.db.batches import batched
from console.jobs.models import Priority
from console.models import User
from inventory.models import Tag
from scanning.engines.base import RiskCategory
from scanning.models import Scan, ScanRun, ScanScope
from scanning.runs import start as runs_start
from scanning.runs.enqueue import BATCH_TAGS, SkippedTag


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
    run, queued = runs_start.start_and_queue(
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


def cancel(*, tag_ids: Iterable[int] | None = None, scan_ids: Iterable[int] | None = None) -> int:
    """Cancel the active scans of these tags' images or these scans, all active ones where both are None.

    Returns how many were meant. Queued ones end at once, running ones within seconds.
    """
    if tag_ids is None and scan_ids is None:
        return runs_start.cancel_everything()
    count = 0
    for batch in batched(tag_ids or (), BATCH_TAGS):
        images = Tag.objects.filter(pk__in=batch, image__isnull=False).values("image_id")
        count += runs_start.cancel_scans(Scan.objects.filter(image_id__in=images))
    for batch in batched(scan_ids or (), BATCH_TAGS):
        count += runs_start.cancel_scans(Scan.objects.filter(pk__in=batch))
    return count

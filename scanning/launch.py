"""Starting and cancelling scans: tags become images, images become at most one active scan each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from console.jobs import queue
from console.jobs.models import Lane, State
from console.models import User
from inventory.models import Tag
from scanning.engines.base import RiskCategory
from scanning.models import Scan

ACTIVE = (State.QUEUED, State.RUNNING)
PROMPT = 10  # images of one manual start that go before those of others; a start of thousands holds nobody up
BATCH = 200  # rows a transaction; keeps the database's write lock short


@dataclass(frozen=True)
class Skipped:
    """A tag for which no scan was started, and why."""

    tag_id: int
    address: str
    why: str


@dataclass
class LaunchResult:
    """What a start came to. Tags that share an image share its one scan."""

    queued: list[Scan] = field(default_factory=list)
    tags: int = 0  # tags that these scans will give results to
    skipped: list[Skipped] = field(default_factory=list)


def launch(
    *,
    tag_ids: Iterable[int],
    categories: Sequence[str] = tuple(RiskCategory),
    requested_by: User | None,
    timeout: int | None = None,
    lane: Lane = Lane.MANUAL,
) -> LaunchResult:
    """Queue one scan per image behind ``tag_ids`` and return what was queued and what was not.

    Of a start in the manual lane the first few go into that lane and the others behind it. ``timeout`` is in seconds
    over pull and analysis; the setting's default where None. Unknown ids are left out.
    """
    wanted = [category for category in RiskCategory if category in set(categories)]
    if not wanted:
        raise ValueError("A scan needs at least one risk category.")
    result = LaunchResult()
    launched: set[int] = set()
    for batch in _batches(tag_ids):
        _launch_batch(
            batch,
            launched=launched,
            result=result,
            values={
                "categories": [category.value for category in wanted],
                "timeout": timeout or settings.SCAN_TIMEOUT_SECONDS,
                "requested_by": requested_by,
                "lane": lane,
            },
        )
    return result


def _launch_batch(tag_ids: list[int], *, launched: set[int], result: LaunchResult, values: dict[str, object]) -> None:
    tags = Tag.objects.filter(pk__in=tag_ids).select_related("manifest", "repository").order_by("pk")
    with transaction.atomic():
        found = list(tags)
        images = {tag.image_id for tag in found if tag.image_id is not None}
        scans: list[Scan] = []
        active = set(Scan.objects.filter(image_id__in=images, state__in=ACTIVE).values_list("image_id", flat=True))
        for tag in found:
            if tag.image_id is None:
                why = _("The image behind this tag could not be read; sync its registry first")
            elif tag.image_id in launched:
                result.tags += 1
                continue
            elif tag.image_id in active or (scan := _create(tag, tag.image_id, values, len(launched))) is None:
                why = _("Already scanning")
            else:
                launched.add(tag.image_id)
                scans.append(scan)
                result.tags += 1
                continue
            result.skipped.append(Skipped(tag_id=tag.pk, address=str(tag), why=why))
        queue.enqueue_many(scans)
        result.queued += scans


def _create(tag: Tag, image_id: int, values: dict[str, object], before: int) -> Scan | None:
    """Save a scan of the image behind ``tag``, with so many ``before`` it; None where another process was first."""
    if before >= PROMPT and values["lane"] == Lane.MANUAL:
        values = values | {"lane": Lane.BULK}
    manifest = tag.manifest.default_manifest or tag.manifest
    scan = Scan(
        image_id=image_id,
        tag=tag,
        manifest_digest=manifest.digest,
        address=str(tag),
        registry_id=tag.repository.registry_id,
        **values,
    )
    try:
        with transaction.atomic():
            scan.save()
    except IntegrityError:
        return None
    scan.state_changed(State.QUEUED)
    return scan


def cancel(*, tag_ids: Iterable[int] | None = None, scan_ids: Iterable[int] | None = None) -> int:
    """Cancel the active scans of these tags' images or these scans, all active ones where both are None.

    Returns how many were meant. Queued ones end at once, running ones within seconds.
    """
    active = Scan.objects.filter(state__in=ACTIVE)
    if tag_ids is None and scan_ids is None:
        chosen: Iterator[Scan] = active.iterator()
        return sum(1 for scan in list(chosen) if _cancel(scan))
    count = 0
    for batch in _batches(tag_ids or ()):
        images = Tag.objects.filter(pk__in=batch, image__isnull=False).values("image_id")
        count += sum(1 for scan in active.filter(image_id__in=images) if _cancel(scan))
    for batch in _batches(scan_ids or ()):
        count += sum(1 for scan in active.filter(pk__in=batch) if _cancel(scan))
    return count


def _cancel(scan: Scan) -> bool:
    queue.request_cancel(scan)
    return True


def _batches(ids: Iterable[int]) -> Iterator[list[int]]:
    iterator = iter(ids)
    while batch := list(islice(iterator, BATCH)):
        yield batch

"""The summary of an image's findings: the only writer of its state of scan, of its counts and of their coverage."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from console.i18n.message_codes import NOTHING, Message
from inventory.models import Image

SEVERITIES = ("critical", "high", "medium", "low", "unknown")


@dataclass(frozen=True)
class FindingCounts:
    """What a scan has found. None means that it did not look: what an earlier scan has found stays."""

    critical: int | None = None
    high: int | None = None
    medium: int | None = None
    low: int | None = None
    unknown: int | None = None
    fixable: int | None = None  # vulnerabilities with a fixed version
    viruses: int | None = None  # malware that is no trojan
    trojans: int | None = None
    sensitive: int | None = None
    packages: int | None = None
    malware_highest: int | None = None  # rank (Image.Severity) of the worst virus or trojan; 0 where there is none
    sensitive_highest: int | None = None  # rank of the worst sensitive data; 0 where there is none


def record_state(
    *,
    image_id: int,
    state: Image.ScanState,
    reason: Message = NOTHING,
    remedy: Message = NOTHING,
    stage: str = NOTHING,
    percent: int | None = None,
    started_at: datetime | None = None,
    ended_at: datetime | None = None,
    registry_id: int | None = None,
    resumes_at: datetime | None = None,
) -> None:
    """Write where the scan of the image with primary key ``image_id`` stands. An image that is gone is no error.

    ``started_at`` is when a scan began to run; None keeps that while it runs. ``ended_at`` is when a scan ended, with
    or without a result; None keeps the time of the last one. ``registry_id`` is the registry that ``reason`` and
    ``remedy`` tell of; None keeps the one that was. ``resumes_at`` is until when a scan that is queued waits.
    """
    values: dict[str, object] = {} if ended_at is None else {"last_scanned_at": ended_at}
    if started_at is not None or state is not Image.ScanState.RUNNING:
        values["scan_started_at"] = started_at
    values |= {} if registry_id is None else {"scanned_from": registry_id}
    Image.objects.filter(pk=image_id).update(
        scan_state=state,
        scan_reason=reason,
        scan_remedy=remedy,
        scan_stage=stage,
        scan_percent=percent,
        scan_resumes_at=resumes_at,
        **values,
    )


def record_states(*, image_ids: Iterable[int], state: Image.ScanState, reason: Message = NOTHING) -> None:
    """Write for many images where their scans stand, and why they wait."""
    Image.objects.filter(pk__in=list(image_ids)).update(
        scan_state=state,
        scan_reason=reason,
        scan_remedy="",
        scan_stage="",
        scan_percent=None,
        scan_started_at=None,
        scan_resumes_at=None,
    )


def record_waiting(
    scans: Iterable[tuple[int, int | None]], *, reason: Message, until: Mapping[int, datetime] | datetime | None = None
) -> None:
    """Write why queued scans wait, each given by the ids of its image and of the registry that it pulls from.

    ``until`` is when they go on, for all or by the id of the image; None: that is not known, or they wait no more.

    An image that shows a scan through another registry keeps the reason of that: not all who see it see both.
    """
    by_registry: dict[int | None, list[int]] = defaultdict(list)
    for image_id, registry_id in scans:
        by_registry[registry_id].append(image_id)
    for registry_id, image_ids in by_registry.items():
        rows = Image.objects.filter(pk__in=image_ids, scan_state=Image.ScanState.QUEUED, scanned_from=registry_id)
        if not isinstance(until, Mapping):
            rows.update(scan_reason=reason, scan_resumes_at=until)
            continue
        images = list(rows.only("pk"))
        for image in images:
            image.scan_reason, image.scan_resumes_at = reason, until.get(image.pk)
        Image.objects.bulk_update(images, ["scan_reason", "scan_resumes_at"], batch_size=100)


def record_queued_from(*, image_id: int, registry_id: int) -> None:
    """Write that the queued scan of an image waits no more: it pulls from another registry."""
    rows = Image._base_manager.filter(pk=image_id, scan_state=Image.ScanState.QUEUED)
    rows.update(scan_reason=NOTHING, scan_resumes_at=None, scanned_from=registry_id)


def lock_image(image_id: int) -> Image | None:
    """Return the image as it is now, for this transaction alone to change; None where it is gone."""
    return Image.objects.select_for_update().filter(pk=image_id).first()


def record_findings(image: Image, counts: FindingCounts, *, os_name: str | None = None) -> None:
    """Write what is in an image, on its row that is locked by :func:`lock_image`; ``os_name`` None keeps the one known.

    Belongs into the transaction that writes the findings themselves.
    """
    values: dict[str, object] = {name: value for name, value in dataclasses.asdict(counts).items() if value is not None}
    if os_name is not None:
        values["os_name"] = os_name[:80]
    for name, value in values.items():
        setattr(image, name, value)
    image.highest = highest(image)
    image.save(update_fields=[*values, "highest"])


def record_differences(counts_by_image: Mapping[int, FindingCounts]) -> dict[int, int]:
    """Write the counts, by the id of the image, of those images alone of which they differ.

    Returns how many vulnerabilities each of these had before.
    """
    before = {}
    images = Image.objects.filter(pk__in=list(counts_by_image)).only(
        *(part.name for part in dataclasses.fields(FindingCounts))
    )
    with transaction.atomic():
        for image in images.select_for_update().order_by("pk"):
            counted = dataclasses.asdict(counts_by_image[image.pk]).items()
            values = {name: count for name, count in counted if count is not None and getattr(image, name) != count}
            if not values:
                continue
            before[image.pk] = image.vulnerabilities or 0
            for name, value in values.items():
                setattr(image, name, value)
            Image.objects.filter(pk=image.pk).update(**values, highest=highest(image))
    return before


def record_coverage(coverage: Mapping[int, Mapping[str, str]]) -> None:
    """Write how the last scan of each category came out: values of Image.Coverage by the names of categories.

    The keys are ids of images, of which those that are gone are no error. A category that is not named was never
    scanned. The security status of an image follows from this and from its counts.
    """
    alike: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for image_id, outcomes in coverage.items():
        alike[tuple(outcomes.get(name.removesuffix("_coverage"), "") for name in Image.COVERAGES)].append(image_id)
    for values, image_ids in alike.items():
        now = dict(zip(Image.COVERAGES, values, strict=True))
        Image.objects.filter(pk__in=image_ids).exclude(**now).update(**now)


def highest(image: Image) -> int | None:
    """Return the rank of the worst finding by the counts on ``image``: NONE where nothing was found, None where
    nothing was looked for. Malware or sensitive data of no stated rank count as HIGH."""
    known = [
        rank
        for count, rank in (
            (image.vulnerabilities, _worst_vulnerability(image)),
            (image.malware, _rank_of(image.malware, image.malware_highest)),
            (image.sensitive, _rank_of(image.sensitive, image.sensitive_highest)),
        )
        if count is not None
    ]
    return max(known, default=None)


def _worst_vulnerability(image: Image) -> int:
    ranks = (Image.Severity[name.upper()] for name in SEVERITIES if getattr(image, name))
    return int(next(ranks, Image.Severity.NONE))


def _rank_of(count: int | None, rank: int | None) -> int:
    return int((rank or Image.Severity.HIGH) if count else Image.Severity.NONE)

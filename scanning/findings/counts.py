"""Counting what is known of images, for their summaries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.db import transaction
from django.db.models import Aggregate, Count, Max, Q

from console.db.batches import batched
from inventory import summary
from scanning.engines.base import RiskCategory, StopCheck
from scanning.findings import regression
from scanning.models import (
    CategoryResult,
    ImagePackage,
    MalwareFinding,
    PackageVulnerability,
    SecretFinding,
)
from scanning.models.packages import SeverityRank

BATCH_IMAGES = 200
STATS_BATCH_IMAGES = 500
STATS_FIELDS = ("critical", "high", "medium", "low", "unknown", "fixable")


def recount(image_ids: Iterable[int]) -> None:
    """Write the counts of these images anew from their findings, in a constant number of queries per batch.

    A category that never gave a result counts None ("not known"), never zero. An image that is gone is no error.
    """
    for batch in batched(image_ids, BATCH_IMAGES):
        for image_id, counts in _counts(batch):
            with transaction.atomic():
                if image := summary.lock_image(image_id):
                    summary.record_findings(image, counts)


def images_with(variants: Iterable[int], *, but: int) -> Iterator[int]:
    """Yield the ids of the images other than ``but`` that hold one of these variants of packages, each once."""
    seen = {but}
    for batch in batched(variants, BATCH_IMAGES):
        rows = ImagePackage.objects.filter(variant_id__in=batch).values_list("image_id", flat=True).distinct()
        for image_id in list(rows):  # a read that stays open would forbid SQLite the writes in between
            if image_id not in seen:
                seen.add(image_id)
                yield image_id


def recount_vulnerabilities(image_ids: Iterable[int], *, check: StopCheck) -> int:
    """Write the counts of vulnerabilities of these images anew where they differ; return of how many they did.

    For thousands of images that share packages: each variant is counted once. Raises what ``check`` does.
    """
    by_variant = _by_variant()
    nothing = (0,) * len(STATS_FIELDS)
    changed = 0
    for batch in batched(image_ids, STATS_BATCH_IMAGES):
        check()
        held: dict[int, set[int]] = {image_id: set() for image_id in batch}
        rows = ImagePackage.objects.filter(image_id__in=batch).order_by().values_list("image_id", "variant_id")
        for image_id, variant_id in rows.iterator(chunk_size=10_000):
            if variant_id in by_variant:
                held[image_id].add(variant_id)
        tallies = {
            image_id: summary.FindingCounts(
                **dict(
                    zip(
                        STATS_FIELDS,
                        map(sum, zip(nothing, *(by_variant[one] for one in some), strict=True)),
                        strict=True,
                    )
                )
            )
            for image_id, some in held.items()
        }
        before = summary.record_differences(tallies)
        left = {
            image_id: sum(by_variant[one][severity] for one in held[image_id] for severity in range(5))
            for image_id in before
        }
        regression.store_rematch_regressions(before, left)
        changed += len(before)
    return changed


def _by_variant() -> dict[int, tuple[int, ...]]:
    """Return how many vulnerabilities each variant has, in the order of TALLIED; those without are left out."""
    tallies = {name: Count("pk", filter=Q(severity=SeverityRank[name.upper()])) for name in STATS_FIELDS[:-1]}
    tallies["fixable"] = Count("pk", filter=~Q(fixed_version=""))
    rows = PackageVulnerability.objects.order_by().values_list("variant_id").annotate(**tallies)
    return {variant_id: tuple(tally) for variant_id, *tally in rows.iterator(chunk_size=10_000)}


def _counts(image_ids: Sequence[int]) -> Iterator[tuple[int, summary.FindingCounts]]:
    looked: dict[int, set[str]] = {}
    results = CategoryResult.objects.filter(image_id__in=image_ids, looked_at__isnull=False)
    for image_id, category in results.values_list("image_id", "category"):
        looked.setdefault(image_id, set()).add(category)
    severities: dict[int, Any] = {
        row["variant__image_packages__image_id"]: row
        for row in PackageVulnerability.objects.filter(variant__image_packages__image_id__in=image_ids)
        .values("variant__image_packages__image_id")
        .annotate(
            fixable=Count("pk", filter=~Q(fixed_version=""), distinct=True),
            **{rank.name.lower(): Count("pk", filter=Q(severity=rank.value), distinct=True) for rank in SeverityRank},
        )
    }
    packages = _per_image(ImagePackage, image_ids, count=Count("package", distinct=True))
    secrets = _per_image(SecretFinding, image_ids, count=Count("pk"), worst=Max("severity"))
    viruses, trojans = (
        Count("pk", filter=Q(kind=kind)) for kind in (MalwareFinding.Kind.VIRUS, MalwareFinding.Kind.TROJAN)
    )
    malicious = _per_image(MalwareFinding, image_ids, viruses=viruses, trojans=trojans, worst=Max("severity"))
    for image_id in image_ids:
        known = looked.get(image_id, set())
        row = severities.get(image_id, {})
        matched, malware = RiskCategory.VULNERABILITIES in known, RiskCategory.MALWARE in known
        sensitive = RiskCategory.SENSITIVE in known
        yield (
            image_id,
            summary.FindingCounts(
                critical=row.get("critical", 0) if matched else None,
                high=row.get("high", 0) if matched else None,
                medium=row.get("medium", 0) if matched else None,
                low=row.get("low", 0) if matched else None,
                unknown=row.get("unknown", 0) if matched else None,
                fixable=row.get("fixable", 0) if matched else None,
                packages=packages[image_id]["count"] if matched else None,
                sensitive=secrets[image_id]["count"] if sensitive else None,
                viruses=malicious[image_id]["viruses"] if malware else None,
                trojans=malicious[image_id]["trojans"] if malware else None,
                malware_highest=malicious[image_id]["worst"] if malware else None,
                sensitive_highest=secrets[image_id]["worst"] if sensitive else None,
            ),
        )


def _per_image(model: type[Any], image_ids: Sequence[int], **figures: Aggregate) -> dict[int, dict[str, int]]:
    """Return the figures of each image, 0 where it has no rows."""
    rows = model.objects.filter(image_id__in=image_ids).values("image_id").annotate(**figures)
    return {image_id: dict.fromkeys(figures, 0) for image_id in image_ids} | {row["image_id"]: row for row in rows}

"""Findings that fall to zero for no visible reason. An image never changes, so what was in it still is.

A zero is how an engine that has quietly stopped to see looks like. It is explained where engine, rules or database
have changed; but a new database that takes back a whole list of vulnerabilities is no explanation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from inventory.models import Image
from scanning.engines.base import RiskCategory
from scanning.models import CategoryResult, image_coverage

MANY_ADVISORIES = 5  # so many advisories are not taken back by one database


@dataclass(frozen=True)
class ResultsBefore:
    """What was known of an image: findings and version of the engine, for each category that had a result."""

    image_id: int
    known: dict[str, tuple[int, str, int]]  # category → findings, version, the fall that was noted


def read_results(image: Image) -> ResultsBefore:
    """Remember what is known of ``image``, a fresh row. Call it in the transaction that changes it."""
    found = finding_counts(image)
    rows = CategoryResult.objects.filter(image=image, looked_at__isnull=False)
    told = rows.values_list("category", "engine_version", "regressed_from")
    return ResultsBefore(
        image.pk, {category: (found[category] or 0, version, fell) for category, version, fell in told}
    )


def store_regressions(known: ResultsBefore, image: Image, versions: Mapping[str, str]) -> None:
    """Note of categories whether their findings fell to zero for no visible reason; a second zero clears that.

    ``image`` has the counts of now; ``versions`` are those of the engines by the categories that were looked at.
    """
    now = finding_counts(image)
    for category, version in versions.items():
        number, before, fell = known.known.get(category, (0, "", 0))
        fallen = number if is_regression(number, now[category], changed=version != before) else 0
        if fallen != fell:
            CategoryResult.objects.filter(image=known.image_id, category=category).update(regressed_from=fallen)


def store_rematch_regressions(before: Mapping[int, int], left: Mapping[int, int]) -> None:
    """Note the same of vulnerabilities that another database has taken back, by the ids of the images."""
    results = CategoryResult.objects.filter(category=RiskCategory.VULNERABILITIES, image__in=before)
    fallen = {pk: number for pk, number in before.items() if is_regression(number, left[pk], changed=True)}
    cleared = list(results.filter(regressed_from__gt=0).exclude(image__in=fallen).values_list("image_id", flat=True))
    results.filter(image__in=cleared).update(regressed_from=0)
    for image_id, number in fallen.items():
        results.filter(image=image_id).update(regressed_from=number)
    image_coverage.write_coverage({*cleared, *fallen})


def is_regression(number: int, left: int | None, *, changed: bool) -> bool:
    """Return whether there is no reason that of ``number`` findings none are ``left``."""
    return left == 0 and number > 0 and (not changed or number >= MANY_ADVISORIES)


def finding_counts(image: Image) -> dict[str, int | None]:
    """Return how many findings each category has; None where it was not looked for."""
    return {
        RiskCategory.VULNERABILITIES: image.vulnerabilities,
        RiskCategory.SENSITIVE: image.sensitive,
        RiskCategory.MALWARE: image.malware,
    }

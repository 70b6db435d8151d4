"""Writing to images what is known of each risk category, for their security status."""

from __future__ import annotations

from collections.abc import Iterable

from inventory import image_summary
from inventory.models import Image
from scanning.models import CategoryResult


def write_coverage(image_ids: Iterable[int]) -> None:
    """Write the coverage of these images anew from their results, some hundreds at most.

    Call it in the transaction that changes the results. Findings that fell to zero for no visible reason are no proof
    that there are none: such a category is partly scanned.
    """
    coverage: dict[int, dict[str, str]] = {image_id: {} for image_id in image_ids}
    rows = CategoryResult.objects.filter(image__in=list(coverage)).order_by()
    for image_id, category, outcome, regressed_from in rows.values_list(
        "image_id", "category", "outcome", "regressed_from"
    ):
        fell = regressed_from and outcome == CategoryResult.Outcome.DONE
        coverage[image_id][category] = Image.Coverage.PARTIAL if fell else Image.Coverage(outcome)
    image_summary.record_coverage(coverage)

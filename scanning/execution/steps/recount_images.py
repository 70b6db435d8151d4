"""Step: other images whose vulnerabilities this scan has changed."""

from __future__ import annotations

from scanning.execution.context import ScanContext
from scanning.findings.counts import images_with, recount


def recount_images(context: ScanContext) -> None:
    """Count the vulnerabilities of the other images anew that share a package whose vulnerabilities have changed."""
    recount(images_with(context.results.changed_variants, but=context.run.job.image_id))

"""Step: the results and the final state are written in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from django.utils import timezone

from console.i18n.message_codes import sentences
from console.jobs.models import State
from inventory import image_summary
from inventory.content import image_config
from scanning.engines.base import RiskCategory
from scanning.engines.trivy.match import matched_with
from scanning.execution.context import ScanContext
from scanning.execution.results import CategoryOutcome, ScanResults
from scanning.findings import regression
from scanning.findings import store as findings_store
from scanning.models import CategoryResult, Scan, image_coverage
from scanning.vulndb import install as vulndb_install

COUNTERS = ("bytes_pulled", "layers_pulled", "layers_known")  # of the analysis, kept with the scan


def store_results(context: ScanContext) -> None:
    """Write results and final state in one transaction, fenced by the attempt; an unchanged rescan writes no findings.

    A category that gave no result ends the scan as failed, with the results of the others kept. Raises LeaseLost, with
    nothing written, if the scan is another worker's by now.
    """
    run, results = context.run, context.results
    run.job.analyzed = True
    run.job.proven = None if run.job.image.is_shared or not results.analysis.proven else run.job.image
    failed = [outcome for outcome in results.outcomes.values() if outcome.outcome is CategoryResult.Outcome.FAILED]
    run.finish(
        to=State.FAILED if failed else State.SUCCEEDED,
        reason=sentences(*(outcome.reason for outcome in failed)),
        remedy=sentences(*(outcome.remedy for outcome in failed)),
        write=lambda: _store(run.job, results),
        fields={name: getattr(results.analysis, name) for name in COUNTERS},
    )


def _store(scan: Scan, results: ScanResults) -> None:
    now = timezone.now()
    analysis, report = results.analysis, results.analysis.report
    image = image_summary.lock_image(scan.image_id)
    assert image is not None  # noqa: S101 (its scan would be gone with it)
    if results.diff_ids:
        image_config.record_diff_ids(image, results.diff_ids)
    before = regression.read_results(image)
    completed = {
        category: outcome
        for category, outcome in results.outcomes.items()
        if outcome.outcome is not CategoryResult.Outcome.FAILED
    }
    counts: dict[str, int] = {}
    if report is not None and RiskCategory.VULNERABILITIES in completed:
        changes = findings_store.store_packages(image=image, report=report)
        results.changed_variants = changes.variants
        counts |= changes.counts
        _use_newer_vulndb(completed[RiskCategory.VULNERABILITIES], changes.newer)
    if report is not None and RiskCategory.SENSITIVE in completed:
        counts |= findings_store.store_secrets(image=image, secrets=report.secrets)
    if RiskCategory.MALWARE in completed:
        facts = [(diff_id, fact) for diff_id, layer in analysis.malware for fact in layer.findings]
        counts |= findings_store.store_malware(image=image, findings=facts)
    for some in (completed, {key: outcome for key, outcome in results.outcomes.items() if key not in completed}):
        if some:
            _write_results(scan, some, at=now, completed=some is completed)
    names_system = report is not None and (report.os_name or RiskCategory.VULNERABILITIES in completed)
    image_summary.record_findings(
        image, image_summary.FindingCounts(**counts), os_name=report.os_name if report and names_system else None
    )
    regression.store_regressions(
        before, image, {category: outcome.engine_version for category, outcome in completed.items()}
    )
    image_coverage.write_coverage([image.pk])


def _use_newer_vulndb(outcome: CategoryOutcome, newer: str) -> None:
    """Name the database in use where all packages were matched with it already: it came while the scan went on."""
    facts = vulndb_install.current_facts() if newer else None
    version = outcome.engine_version.removeprefix("trivy ").partition(",")[0]
    if facts and newer == matched_with(version, facts):
        outcome.database_updated_at = facts.built_at
        outcome.engine_version = f"trivy {version}, database {facts.version}"


def _write_results(
    scan: Scan, outcomes: Mapping[RiskCategory, CategoryOutcome], *, at: datetime, completed: bool
) -> None:
    """Make these the results of the image; ``completed`` says whether its findings are of now."""
    common: dict[str, Any] = {"ended_at": at, "scan": scan} | ({"looked_at": at} if completed else {})
    CategoryResult.objects.bulk_create(
        [
            CategoryResult(image_id=scan.image_id, category=category.value, **asdict(outcome), **common)
            for category, outcome in outcomes.items()
        ],
        update_conflicts=True,
        unique_fields=["image", "category"],
        update_fields=[*(each.name for each in fields(CategoryOutcome)), *common],
    )

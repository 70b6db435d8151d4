"""The end of a scan: what was learnt is judged, and written with the final state in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from django.utils import timezone

from console.i18n.explained import NOTHING, PARTS, SENTENCES, Message, parts, sentences
from console.jobs.models import State
from console.jobs.runner import JobRun
from inventory import summary
from scanning.engines.base import ImageReport, RiskCategory
from scanning.engines.formats.package_databases import Damage
from scanning.engines.notes import printable_path
from scanning.engines.trivy.match import matched_with
from scanning.execution import messages
from scanning.execution.analyze import ImageAnalysis
from scanning.findings import regression
from scanning.findings import store as findings_store
from scanning.findings.counts import images_with, recount
from scanning.models import CategoryResult, Scan, image_coverage
from scanning.vulndb import install as vulndb_install
from scanning.vulndb.releases import unsupported_message

UNREADABLE_FILES_SHOWN = 5  # files
DAMAGE_REASONS = {  # of package databases
    Damage.EMPTY: messages.DATABASE_EMPTY,
    Damage.CUT_OFF: messages.DATABASE_CUT_OFF,
    Damage.UNREADABLE: messages.DATABASE_DAMAGED,
    Damage.NO_FILE: messages.DATABASE_NO_FILE,
    Damage.MISSING: messages.DATABASE_MISSING,
    Damage.NO_PACKAGES: messages.DATABASE_WITHOUT_PACKAGES,
}


@dataclass
class CategoryOutcome:
    """What became of one category."""

    outcome: CategoryResult.Outcome = CategoryResult.Outcome.DONE
    reason: Message = NOTHING
    remedy: Message = NOTHING
    engine_version: str = ""
    database_updated_at: datetime | None = None

    def fail(self, reason: Message, remedy: Message) -> None:
        """Note that this category gave no result."""
        self.outcome, self.reason, self.remedy = CategoryResult.Outcome.FAILED, reason, remedy

    def mark_partial(self, reason: Message, remedy: Message) -> None:
        """Note that this category saw a part only."""
        if self.outcome is CategoryResult.Outcome.FAILED:
            return
        self.outcome = CategoryResult.Outcome.PARTIAL
        between = SENTENCES if self.reason.endswith(".") else PARTS
        self.reason = between.join((self.reason, reason))
        self.remedy = sentences(self.remedy, remedy)


@dataclass
class ScanResults:
    """All that a scan has learnt, before it is written."""

    outcomes: dict[RiskCategory, CategoryOutcome] = field(default_factory=dict)
    analysis: ImageAnalysis = field(default_factory=ImageAnalysis)
    changed_variants: set[int] = field(default_factory=set)


def finish(run: JobRun[Scan], findings: ScanResults) -> None:
    """Write results and final state in one transaction, fenced by the attempt.

    A category that gave no result ends the scan as failed, with the results of the others kept. Afterwards images that
    share packages whose vulnerabilities have changed are counted anew.
    """
    _judge_coverage(findings)
    run.job.looked = True
    run.job.proven = None if run.job.image.is_shared or not findings.analysis.proven else run.job.image
    failed = [outcome for outcome in findings.outcomes.values() if outcome.outcome is CategoryResult.Outcome.FAILED]
    run.finish(
        to=State.FAILED if failed else State.SUCCEEDED,
        reason=sentences(*(outcome.reason for outcome in failed)),
        remedy=sentences(*(outcome.remedy for outcome in failed)),
        write=lambda: _store(run.job, findings),
        fields={name: getattr(findings.analysis, name) for name in ("bytes_pulled", "layers_pulled", "layers_known")},
    )
    recount(images_with(findings.changed_variants, but=run.job.image_id))


def _judge_coverage(findings: ScanResults) -> None:
    """Turn what could not be seen into outcomes, so that it does not read as a zero."""
    analysis = findings.analysis
    for outcome in findings.outcomes.values():
        for reason in analysis.unscanned_reasons:
            outcome.mark_partial(reason, messages.LAYER_UNKNOWN())
    malware = findings.outcomes.get(RiskCategory.MALWARE)
    skipped = list(dict.fromkeys(what for _diff_id, report in analysis.malware for what in report.skipped))
    if malware and skipped:
        malware.mark_partial(parts(*skipped), messages.LOOK_AT_SKIPPED())
    matched = findings.outcomes.get(RiskCategory.VULNERABILITIES)
    if analysis.report is not None and matched is not None:
        _judge_packages(analysis.report, matched)


def _judge_packages(report: ImageReport, matched: CategoryOutcome) -> None:
    """Judge whether all packages of an image could be read, and matched with advisories."""
    if matched.outcome is CategoryResult.Outcome.FAILED:
        return
    if report.damage:
        matched.mark_partial(
            DAMAGE_REASONS[Damage(report.damage)](path=f"/{report.damaged_database}", system=report.os_name),
            messages.KEEP_PACKAGE_DATABASE(),
        )
    if report.os_unknown:
        matched.mark_partial(
            messages.SYSTEM_UNKNOWN(),
            messages.KEEP_OS_RELEASE(),
        )
    if report.unread:
        named: list[str] = [f"/{printable_path(path)}" for path in report.unread[:UNREADABLE_FILES_SHOWN]]
        if more := len(report.unread) - len(named):
            named.append(messages.AND_MORE(n=more))
        matched.mark_partial(
            messages.PACKAGES_UNREADABLE(path=tuple(named)),
            messages.CHECK_PACKAGE_FILES(),
        )
    if matched.outcome is not CategoryResult.Outcome.DONE:
        return
    if not report.os_name and not report.packages:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = messages.NO_PACKAGES()
        matched.remedy = messages.CHECK_SINGLE_BINARY()
    elif report.os_name and not report.os_listed:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = messages.SYSTEM_WITHOUT_ADVISORIES(system=report.os_name)
        matched.remedy = messages.REBUILD_ON_KNOWN_SYSTEM()
    elif report.os_name and not report.release_listed:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason, matched.remedy = unsupported_message(report.os_name)
    elif report.os_end_of_life:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = messages.SYSTEM_END_OF_LIFE(system=report.os_name)
        matched.remedy = messages.REBUILD_ON_SUPPORTED()


def _store(scan: Scan, findings: ScanResults) -> None:
    now = timezone.now()
    analysis, report = findings.analysis, findings.analysis.report
    image = summary.lock_image(scan.image_id)
    assert image is not None  # noqa: S101 (its scan would be gone with it)
    before = regression.read_results(image)
    looked = {
        category: outcome
        for category, outcome in findings.outcomes.items()
        if outcome.outcome is not CategoryResult.Outcome.FAILED
    }
    counts: dict[str, int] = {}
    if report is not None and RiskCategory.VULNERABILITIES in looked:
        changes = findings_store.store_packages(image=image, report=report)
        findings.changed_variants = changes.variants
        counts |= changes.counts
        _use_newer_vulndb(looked[RiskCategory.VULNERABILITIES], changes.newer)
    if report is not None and RiskCategory.SENSITIVE in looked:
        counts |= findings_store.store_secrets(image=image, secrets=report.secrets)
    if RiskCategory.MALWARE in looked:
        facts = [(diff_id, fact) for diff_id, layer in analysis.malware for fact in layer.findings]
        counts |= findings_store.store_malware(image=image, findings=facts)
    for some in (looked, {key: outcome for key, outcome in findings.outcomes.items() if key not in looked}):
        if some:
            _write_results(scan, some, at=now, looked=some is looked)
    told = report is not None and (report.os_name or RiskCategory.VULNERABILITIES in looked)
    summary.record_findings(image, summary.FindingCounts(**counts), os_name=report.os_name if report and told else None)
    regression.store_regressions(
        before, image, {category: outcome.engine_version for category, outcome in looked.items()}
    )
    image_coverage.write_coverage([image.pk])


def _use_newer_vulndb(outcome: CategoryOutcome, newer: str) -> None:
    """Name the database in use where all packages were matched with it already: it came while the scan went on."""
    facts = vulndb_install.current_facts() if newer else None
    version = outcome.engine_version.removeprefix("trivy ").partition(",")[0]
    if facts and newer == matched_with(version, facts):
        outcome.database_updated_at = facts.built_at
        outcome.engine_version = f"trivy {version}, database {facts.version}"


def _write_results(scan: Scan, outcomes: Mapping[RiskCategory, CategoryOutcome], *, at: datetime, looked: bool) -> None:
    """Make these the results of the image; ``looked`` says whether its findings are of now."""
    common: dict[str, Any] = {"ended_at": at, "scan": scan} | ({"looked_at": at} if looked else {})
    CategoryResult.objects.bulk_create(
        [
            CategoryResult(image_id=scan.image_id, category=category.value, **asdict(outcome), **common)
            for category, outcome in outcomes.items()
        ],
        update_conflicts=True,
        unique_fields=["image", "category"],
        update_fields=[*(each.name for each in fields(CategoryOutcome)), *common],
    )

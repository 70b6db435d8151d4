"""The end of a scan: what was learnt is judged, and written with the final state in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.jobs.models import State
from console.jobs.runner import JobRun
from inventory import summary
from scanning.engines.base import ImageReport, RiskCategory
from scanning.engines.formats.package_databases import Damage
from scanning.engines.notes import printable_path
from scanning.engines.trivy.match import matched_with
from scanning.execution.analyze import ImageAnalysis
from scanning.findings import regression
from scanning.findings import store as findings_store
from scanning.findings.counts import images_with, recount
from scanning.models import CategoryResult, Scan, image_coverage
from scanning.vulndb import install as vulndb_install
from scanning.vulndb.releases import unsupported_message

UNREADABLE_FILES_SHOWN = 5  # files
DAMAGE_REASONS = {  # of package databases
    Damage.EMPTY: gettext_lazy("The package database %(path)s is empty: the packages of %(system)s are not known."),
    Damage.CUT_OFF: gettext_lazy("The package database %(path)s is cut off: packages of %(system)s may be missing."),
    Damage.UNREADABLE: gettext_lazy("The package database %(path)s is damaged: packages of %(system)s may be missing."),
    Damage.NO_FILE: gettext_lazy(
        "The package database %(path)s is a link or a folder, not a file: the packages of %(system)s are not known."
    ),
    Damage.MISSING: gettext_lazy("The package database is missing: the packages of %(system)s are not known."),
    Damage.NO_PACKAGES: gettext_lazy(
        "No packages could be read from the package database %(path)s: those of %(system)s are not known."
    ),
}


@dataclass
class CategoryOutcome:
    """What became of one category."""

    outcome: CategoryResult.Outcome = CategoryResult.Outcome.DONE
    reason: str = ""
    remedy: str = ""
    engine_version: str = ""
    database_updated_at: datetime | None = None

    def fail(self, reason: str, remedy: str) -> None:
        """Note that this category gave no result."""
        self.outcome, self.reason, self.remedy = CategoryResult.Outcome.FAILED, reason, remedy

    def mark_partial(self, reason: str, remedy: str) -> None:
        """Note that this category saw a part only."""
        if self.outcome is CategoryResult.Outcome.FAILED:
            return
        self.outcome = CategoryResult.Outcome.PARTIAL
        between = " " if self.reason.endswith(".") else "; "
        self.reason = between.join(filter(None, (self.reason, reason)))
        self.remedy = " ".join(filter(None, (self.remedy, remedy)))


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
    reasons = list(dict.fromkeys(outcome.reason for outcome in failed))
    remedies = list(dict.fromkeys(outcome.remedy for outcome in failed))
    run.finish(
        to=State.FAILED if failed else State.SUCCEEDED,
        reason=" ".join(reasons),
        remedy=" ".join(remedies),
        write=lambda: _store(run.job, findings),
        fields={name: getattr(findings.analysis, name) for name in ("bytes_pulled", "layers_pulled", "layers_known")},
    )
    recount(images_with(findings.changed_variants, but=run.job.image_id))


def _judge_coverage(findings: ScanResults) -> None:
    """Turn what could not be seen into outcomes, so that it does not read as a zero."""
    analysis = findings.analysis
    for outcome in findings.outcomes.values():
        for reason in analysis.unscanned_reasons:
            outcome.mark_partial(reason, _("What the layer holds is not known; look at it where it comes from."))
    malware = findings.outcomes.get(RiskCategory.MALWARE)
    skipped = list(dict.fromkeys(what for _diff_id, report in analysis.malware for what in report.skipped))
    if malware and skipped:
        malware.mark_partial(
            "; ".join(skipped), _("What is named here was not looked at; look at it by hand where it matters.")
        )
    matched = findings.outcomes.get(RiskCategory.VULNERABILITIES)
    if analysis.report is not None and matched is not None:
        _judge_packages(analysis.report, matched)


def _judge_packages(report: ImageReport, matched: CategoryOutcome) -> None:
    """Judge whether all packages of an image could be read, and matched with advisories."""
    if matched.outcome is CategoryResult.Outcome.FAILED:
        return
    if report.damage:
        matched.mark_partial(
            DAMAGE_REASONS[Damage(report.damage)] % {"path": f"/{report.damaged_database}", "system": report.os_name},
            _("Build the image without removing or changing its package database, or scan it before that is done."),
        )
    if report.os_unknown:
        matched.mark_partial(
            _("The image has packages of an operating system, and no file that says of which: they are not matched."),
            _("Keep /etc/os-release, and the release file of the system, in the image."),
        )
    if report.unread:
        named = [f"/{printable_path(path)}" for path in report.unread[:UNREADABLE_FILES_SHOWN]]
        if more := len(report.unread) - len(named):
            named.append(_("and %(n)d more") % {"n": more})
        matched.mark_partial(
            _("Trivy could not read the packages in %(path)s.") % {"path": ", ".join(named)},
            _("See whether these files are damaged, then build the image again."),
        )
    if matched.outcome is not CategoryResult.Outcome.DONE:
        return
    if not report.os_name and not report.packages:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = _("No operating system and no packages were recognised in this image.")
        matched.remedy = _(
            "Nothing to do for an image of a single binary; else check that its package database is kept."
        )
    elif report.os_name and not report.os_listed:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = _("Unsupported operating system: nobody publishes advisories for %(system)s.") % {
            "system": report.os_name
        }
        matched.remedy = _("Rebuild the image on a system whose makers publish security notices.")
    elif report.os_name and not report.release_listed:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason, matched.remedy = unsupported_message(report.os_name)
    elif report.os_end_of_life:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = _("%(system)s gets no more security notices from its makers.") % {"system": report.os_name}
        matched.remedy = _(
            "Rebuild the image on a supported release: newer vulnerabilities are not listed for this one."
        )


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

"""The end of a scan: what was learnt is judged, and written with the final state in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from console.jobs.models import State
from console.jobs.work import JobRun
from inventory import summary
from scanning import fall, record
from scanning.counts import images_with, recount
from scanning.engines.base import RiskCategory
from scanning.look import Seen
from scanning.models import CategoryResult, Scan


@dataclass
class Outcome:
    """What became of one category."""

    outcome: CategoryResult.Outcome = CategoryResult.Outcome.DONE
    reason: str = ""
    remedy: str = ""
    engine_version: str = ""
    database_updated_at: datetime | None = None

    def fail(self, reason: str, remedy: str) -> None:
        """Note that this category gave no result."""
        self.outcome, self.reason, self.remedy = CategoryResult.Outcome.FAILED, reason, remedy

    def lessen(self, reason: str, remedy: str) -> None:
        """Note that this category saw a part only."""
        if self.outcome is CategoryResult.Outcome.FAILED:
            return
        self.outcome = CategoryResult.Outcome.PARTIAL
        self.reason = "; ".join(filter(None, (self.reason, reason)))
        self.remedy = " ".join(filter(None, (self.remedy, remedy)))


@dataclass
class Findings:
    """All that a scan has learnt, before it is written."""

    outcomes: dict[RiskCategory, Outcome] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    changed_packages: set[int] = field(default_factory=set)


def finish(run: JobRun[Scan], findings: Findings) -> None:
    """Write results and final state in one transaction, fenced by the attempt.

    A category that gave no result ends the scan as failed, with the results of the others kept. Afterwards images that
    share packages whose vulnerabilities have changed are counted anew.
    """
    _judge_coverage(findings)
    run.job.looked = True
    run.job.proven = None if run.job.image.is_shared or not findings.seen.proven else run.job.image
    failed = [outcome for outcome in findings.outcomes.values() if outcome.outcome is CategoryResult.Outcome.FAILED]
    reasons = list(dict.fromkeys(outcome.reason for outcome in failed))
    remedies = list(dict.fromkeys(outcome.remedy for outcome in failed))
    run.finish(
        to=State.FAILED if failed else State.SUCCEEDED,
        reason=" ".join(reasons),
        remedy=" ".join(remedies),
        write=lambda: _write(run.job, findings),
        fields={name: getattr(findings.seen, name) for name in ("bytes_pulled", "layers_pulled", "layers_known")},
    )
    recount(images_with(findings.changed_packages, but=run.job.image_id))


def _judge_coverage(findings: Findings) -> None:
    """Turn what could not be seen into outcomes, so that it does not read as a zero."""
    seen = findings.seen
    for outcome in findings.outcomes.values():
        for reason in seen.unseen:
            outcome.lessen(reason, _("What the layer holds is not known; look at it where it comes from."))
    malware = findings.outcomes.get(RiskCategory.MALWARE)
    skipped = list(dict.fromkeys(what for _diff_id, report in seen.malware for what in report.skipped))
    if malware and skipped:
        malware.lessen(
            "; ".join(skipped), _("What is named here was not looked at; look at it by hand where it matters.")
        )
    matched = findings.outcomes.get(RiskCategory.VULNERABILITIES)
    report = seen.report
    if report is None or matched is None or matched.outcome is not CategoryResult.Outcome.DONE:
        return
    if not report.os_name and not report.packages:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = _("No operating system and no packages were recognised in this image.")
        matched.remedy = _(
            "Nothing to do for an image of a single binary; else check that its package database is kept."
        )
    elif report.os_name and not report.os_listed:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = _("Nobody lists vulnerabilities of %(system)s: its packages are not matched.") % {
            "system": report.os_name
        }
        matched.remedy = _("Rebuild the image on a system whose makers publish security notices.")
    elif report.os_end_of_life:
        matched.outcome = CategoryResult.Outcome.UNSUPPORTED
        matched.reason = _("%(system)s gets no more security notices from its makers.") % {"system": report.os_name}
        matched.remedy = _(
            "Rebuild the image on a supported release: newer vulnerabilities are not listed for this one."
        )


def _write(scan: Scan, findings: Findings) -> None:
    now = timezone.now()
    seen, report = findings.seen, findings.seen.report
    image = summary.held(scan.image_id)
    assert image is not None  # noqa: S101 (its scan would be gone with it)
    before = fall.before(image)
    looked = {
        category: outcome
        for category, outcome in findings.outcomes.items()
        if outcome.outcome is not CategoryResult.Outcome.FAILED
    }
    counts: dict[str, int] = {}
    if report is not None and RiskCategory.VULNERABILITIES in looked:
        changes = record.record_packages(image=image, report=report)
        findings.changed_packages = changes.packages
        counts |= changes.counts
    if report is not None and RiskCategory.SENSITIVE in looked:
        counts |= record.record_secrets(image=image, secrets=report.secrets)
    if RiskCategory.MALWARE in looked:
        facts = [(diff_id, fact) for diff_id, layer in seen.malware for fact in layer.findings]
        counts |= record.record_malware(image=image, findings=facts)
    for some in (looked, {key: outcome for key, outcome in findings.outcomes.items() if key not in looked}):
        if some:
            _write_results(scan, some, at=now, looked=some is looked)
    summary.record_findings(image, summary.Counts(**counts), os_name=report.os_name if report else None)
    fall.note(before, image, {category: outcome.engine_version for category, outcome in looked.items()})


def _write_results(scan: Scan, outcomes: Mapping[RiskCategory, Outcome], *, at: datetime, looked: bool) -> None:
    """Make these the results of the image; ``looked`` says whether its findings are of now."""
    common: dict[str, Any] = {"ended_at": at, "scan": scan} | ({"looked_at": at} if looked else {})
    CategoryResult.objects.bulk_create(
        [
            CategoryResult(image_id=scan.image_id, category=category.value, **asdict(outcome), **common)
            for category, outcome in outcomes.items()
        ],
        update_conflicts=True,
        unique_fields=["image", "category"],
        update_fields=[*(each.name for each in fields(Outcome)), *common],
    )

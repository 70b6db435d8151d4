"""Step: what could not be seen never reads as a zero."""

from __future__ import annotations

from console.i18n.message_codes import parts
from scanning.engines.base import ImageReport, RiskCategory
from scanning.engines.formats.package_databases import Damage
from scanning.engines.skipped_content import printable_path
from scanning.execution import messages
from scanning.execution.context import ScanContext
from scanning.execution.results import CategoryOutcome
from scanning.models import CategoryResult
from scanning.vulndb.releases import unsupported_message

UNREADABLE_FILES_SHOWN = 5  # files
DAMAGE_REASONS = {  # of package databases
    Damage.EMPTY: messages.DATABASE_EMPTY,
    Damage.CUT_OFF: messages.DATABASE_TRUNCATED,
    Damage.UNREADABLE: messages.DATABASE_DAMAGED,
    Damage.NO_FILE: messages.DATABASE_NO_FILE,
    Damage.MISSING: messages.DATABASE_MISSING,
    Damage.NO_PACKAGES: messages.DATABASE_WITHOUT_PACKAGES,
}


def judge_coverage(context: ScanContext) -> None:
    """Turn what could not be seen into outcomes of the categories, each with its reason and remedy."""
    results, analysis = context.results, context.results.analysis
    for outcome in results.outcomes.values():
        for reason in analysis.unscanned_reasons:
            outcome.mark_partial(reason, messages.LAYER_UNKNOWN())
    malware = results.outcomes.get(RiskCategory.MALWARE)
    skipped = list(dict.fromkeys(what for _diff_id, report in analysis.malware for what in report.skipped))
    if malware and skipped:
        malware.mark_partial(parts(*skipped), messages.CHECK_SKIPPED())
    matched = results.outcomes.get(RiskCategory.VULNERABILITIES)
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

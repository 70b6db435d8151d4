"""Template tags of findings."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from scanning.models import Rematch, ScanRun
from scanning.models.packages import SeverityRank
from scanning.rematch import run as rematch_run
from scanning.runs import progress
from scanning.runs import tables as runs_tables
from scanning.runs.recommended import RecommendationReason

register = template.Library()

MAX_LINKS_SHOWN = 8
SYSTEM_PACKAGE_TYPES = {"deb", "apk", "rpm"}
UNFIXED_REASONS = {
    "will_not_fix": gettext_lazy("The vendor will not fix it for this release."),
    "end_of_life": gettext_lazy("This release of the operating system no longer receives fixes."),
    "fix_deferred": gettext_lazy("The vendor has deferred the fix."),
    "under_investigation": gettext_lazy("The vendor is investigating."),
}


@register.filter
def reason(tag: Any) -> str:
    """Return why an image is recommended, "" where it is not."""
    found = getattr(tag, "recommended", None)
    return str(RecommendationReason(found).label) if found else ""


@register.filter
def run_result(run: ScanRun) -> str:
    """Return the word for where a run stands."""
    return runs_tables.result_of(run)


@register.filter
def run_label(run: ScanRun) -> str:
    """Return where a run stands, in words."""
    return runs_tables.result_label(run)


@register.filter
def run_left(run: ScanRun) -> str:
    """Return how far a run is and how long it still takes, "" where it is over."""
    if run.is_over:
        return ""
    told = _("%(n)s of %(of)s") % {"n": f"{runs_tables.ended(run):,}", "of": f"{run.images:,}"}
    remaining = runs_tables.remaining(run)
    return told if remaining is None else f"{told}, {progress.remaining_text(remaining)}"


@register.filter
def brought(job: Rematch) -> str:
    """Return what a rematch has brought: "12 new in 40 images"."""
    return rematch_run.describe_rematch(job)


@register.filter
def severity_class(rank: int) -> str:
    """Return the CSS class of a severity."""
    return SeverityRank(rank).name.lower()


@register.inclusion_tag("scanning/_severity_counts.html")
def layer_risks(found: dict[str, int]) -> dict[str, Any]:
    """Show the vulnerabilities of one layer by severity."""
    ranks = sorted(SeverityRank, reverse=True)
    slots = [
        {"name": rank.name.lower(), "letter": rank.name[0], "label": rank.label, "count": found[rank.name.lower()]}
        for rank in ranks
    ]
    return {"slots": slots if any(slot["count"] for slot in slots) else []}


@register.filter
def lines(text: str) -> list[str]:
    """Return the lines of a text."""
    return text.splitlines()


@register.simple_tag
def references(finding: Any) -> SafeString:
    """Return links to where a finding is described."""
    described = getattr(finding, "vulnerability", None)
    primary = getattr(finding, "url", "") or getattr(finding, "reference", "")
    return links([primary, *(described.references if described else [])])


@register.simple_tag
def links(told: list[str]) -> SafeString:
    """Return links to the addresses in ``told``. What a database gives is linked only where it is http or https."""
    found = [(url, host) for url in dict.fromkeys(told) if (host := _host(url))]
    if not found:
        return format_html('<span class="faint">{}</span>', "–")
    shown = format_html_join(
        " · ",
        '<a href="{}" rel="noopener noreferrer nofollow" target="_blank" title="{}">{}</a>',
        ((url, url, host) for url, host in found[:MAX_LINKS_SHOWN]),
    )
    more = len(found) - MAX_LINKS_SHOWN
    return (
        format_html('{} <span class="dim">{}</span>', shown, _("and %(n)d more") % {"n": more}) if more > 0 else shown
    )


def _host(url: object) -> str:
    """Return the host of a web address, or "" where ``url`` is none."""
    try:
        parts = urlsplit(str(url))
        return parts.hostname or "" if parts.scheme in {"http", "https"} else ""
    except ValueError:
        return ""


@register.simple_tag
def fix_suggestion(finding: Any) -> str:
    """Return what to do about a vulnerability of a package."""
    package, layer = finding.package, finding.layer
    names = {"package": package.name, "version": finding.fixed_version}
    if not finding.fixed_version:
        why = UNFIXED_REASONS.get(finding.status, gettext_lazy("There is no fixed version yet."))
        advice = _(
            "Remove %(package)s if the image does not need it, or make sure that the vulnerability cannot be exploited."
        )
        return f"{why} {advice % names}"
    if package.type not in SYSTEM_PACKAGE_TYPES:
        return _("Upgrade %(package)s to %(version)s or later where the build declares it, then rebuild.") % names
    if layer and layer.is_base:
        return _("Rebuild on a newer release of the base image, one that has %(package)s %(version)s or later.") % names
    return _("Rebuild without the build cache, so that %(package)s %(version)s or later is installed.") % names

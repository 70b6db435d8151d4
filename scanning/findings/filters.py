"""Filters of findings."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from console.i18n.search import message_contains
from console.jobs.models import State
from console.listing import AnyCondition, AnyOf, ListingFilterSet, ValuesOf
from console.visibility import current
from scanning.findings.taxonomy import PACKAGE_TYPES
from scanning.models import ImagePackage, MalwareFinding, PackageVulnerability, Scan, ScanRun, SecretFinding
from scanning.models.packages import SeverityRank

VULNERABLE_CHOICES = [("yes", _("Has vulnerabilities")), ("no", _("Has no known vulnerabilities"))]
SEVERITY_CHOICES = [(rank.name.lower(), rank.label) for rank in sorted(SeverityRank, reverse=True)]


class SeverityFilter(AnyOf):
    """Findings of any of the chosen severities."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(label=_("Severity"), choices=SEVERITY_CHOICES, **kwargs)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows of the chosen severities; values are names, the column holds ranks."""
        return super().filter(qs, [SeverityRank[name.upper()] for name in value])


class FixableFilter(django_filters.MultipleChoiceFilter):  # type: ignore[misc]
    """Vulnerabilities with a fixed version."""

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return qs.exclude(fixed_version="") if value else qs


class VulnerabilityFilters(ListingFilterSet):
    severity = SeverityFilter()
    fixable = FixableFilter(
        label=_("Fixable"),
        choices=[("yes", _("Has a fixed version"))],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "check"}),
    )
    placeholder = _("Name or package")
    prominent = ("severity", "fixable")

    class Meta:
        model = PackageVulnerability
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(vulnerability__name__icontains=word) | Q(package__name__icontains=word)


class MalwareFilters(ListingFilterSet):
    severity = SeverityFilter()
    kind = AnyOf(label=_("Type"), choices=MalwareFinding.Kind.choices)
    placeholder = _("File name, rule or family")
    prominent = ("severity", "kind")

    class Meta:
        model = MalwareFinding
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return (
            Q(path__icontains=word) | Q(rule__icontains=word) | Q(family__icontains=word) | Q(sha256__istartswith=word)
        )


class SecretFilters(ListingFilterSet):
    severity = SeverityFilter()
    title = ValuesOf(label=_("Name"), field_name="title")
    category = ValuesOf(label=_("Type"), field_name="category")
    placeholder = _("Name, type or file name")
    prominent = ("severity", "title", "category")

    class Meta:
        model = SecretFinding
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return (
            Q(title__icontains=word) | Q(rule__icontains=word) | Q(category__icontains=word) | Q(path__icontains=word)
        )


VARIANT_VULNERABILITIES = PackageVulnerability._base_manager.filter(variant=OuterRef("variant"))


class PackageFilters(ListingFilterSet):
    type = AnyOf(label=_("Package type"), choices=list(PACKAGE_TYPES.items()), field_name="package__type")
    risk = AnyCondition(
        label=_("Vulnerabilities"),
        choices=VULNERABLE_CHOICES,
        conditions={"yes": Q(Exists(VARIANT_VULNERABILITIES)), "no": ~Q(Exists(VARIANT_VULNERABILITIES))},
    )
    placeholder = _("Name, version or path")
    prominent = ("type", "risk")

    class Meta:
        model = ImagePackage
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(package__name__icontains=word) | Q(package__version__icontains=word) | Q(path__icontains=word)


IS_STOPPED = Q(cancel_requested_at__isnull=False)  # by a person, after all its scans were queued
_IS_ENDED = Q(finished_at__isnull=False, state=State.SUCCEEDED)
RUN_RESULTS = {  # word in the address → what it says on screen, and which runs are meant
    "running": (_("In progress"), Q(finished_at=None)),
    "done": (_("Done"), _IS_ENDED & ~IS_STOPPED & Q(images__gt=0, failed=0, cancelled=0)),
    "nothing": (_("Nothing queued"), _IS_ENDED & ~IS_STOPPED & Q(images=0, failed=0, cancelled=0)),
    "exceptions": (_("Scan exceptions"), _IS_ENDED & ~IS_STOPPED & Q(failed__gt=0, cancelled=0)),
    "cancelled": (
        _("Cancelled"),
        Q(finished_at__isnull=False, state=State.CANCELLED) | (_IS_ENDED & (IS_STOPPED | Q(cancelled__gt=0))),
    ),
    "failed": (_("Failed"), Q(finished_at__isnull=False, state=State.FAILED)),
}


def run_conditions() -> dict[str, Q]:
    """Return which runs the words of RUN_RESULTS mean: by their scans in scope, where not everything is seen."""
    if current() is None:
        return {name: condition for name, (_label, condition) in RUN_RESULTS.items()}
    scans = Scan.objects.filter(run=OuterRef("pk"))
    failed, cancelled = (Q(Exists(scans.filter(state=state))) for state in (State.FAILED, State.CANCELLED))
    queued, cancelled = Q(Exists(scans)), cancelled | IS_STOPPED
    return {
        "running": Q(finished_at=None),
        "done": _IS_ENDED & queued & ~failed & ~cancelled,
        "nothing": _IS_ENDED & ~queued & ~IS_STOPPED,
        "exceptions": _IS_ENDED & failed & ~cancelled,
        "cancelled": Q(finished_at__isnull=False, state=State.CANCELLED) | (_IS_ENDED & cancelled),
        "failed": Q(finished_at__isnull=False, state=State.FAILED),
    }


class RunFilters(ListingFilterSet):
    """What Scan runs can be narrowed to."""

    result = AnyCondition(
        label=_("Result"),
        choices=[(name, label) for name, (label, _condition) in RUN_RESULTS.items()],
        conditions=run_conditions,
    )
    trigger = AnyOf(label=_("Started by"), choices=ScanRun.Trigger.choices)
    placeholder = _("Person or schedule")
    prominent = ("result", "trigger")

    class Meta:
        model = ScanRun
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(requested_by__username__icontains=word) | Q(schedule__name__icontains=word)


class ScanFilters(ListingFilterSet):
    """What the scans of a run can be narrowed to."""

    state = AnyOf(label=_("Result"), choices=State.choices)
    placeholder = _("Address or reason")
    prominent = ("state",)

    class Meta:
        model = Scan
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(address__icontains=word) | message_contains("reason", word)

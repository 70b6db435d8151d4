"""Filters of vulnerabilities and packages across images."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.listing import AnyCondition, AnyOf, ListingFilterSet
from console.visibility import current
from registries.tables.filters import RegistryFilter
from scanning.exposure import scoped_queries as seen
from scanning.findings.filters import SEVERITY_CHOICES, VULNERABLE_CHOICES
from scanning.findings.taxonomy import PACKAGE_TYPES
from scanning.models import Package, PackageExposure, Vulnerability, VulnerabilityExposure
from scanning.models.packages import SeverityRank

PACKAGE_TYPE_CHOICES = list(PACKAGE_TYPES.items())


class ExposureRegistryFilter(RegistryFilter):
    """What any of the chosen registries holds. ``reach`` is the table that knows, ``thing`` its column."""

    def __init__(self, *, reach: type[Any], thing: str) -> None:
        self.reach, self.thing = reach, thing
        super().__init__()

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        chosen = [row.pk for row in value]
        held = self.reach.objects.filter(**{self.thing: OuterRef("pk")}, registry__in=chosen)
        return qs.filter(Exists(held)) if chosen else qs


class FirstSeenFilter(AnyOf):
    """What was first seen in the longest of the chosen times."""

    def __init__(self) -> None:
        choices = [("1", _("In the last day")), ("7", _("In 7 days")), ("30", _("In 30 days")), ("90", _("In 90 days"))]
        super().__init__(label=_("First seen"), choices=choices)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows first seen within the longest of the chosen numbers of days."""
        days = max((int(one) for one in value), default=0)
        return qs.filter(first_seen__gte=timezone.now() - timedelta(days=days)) if days else qs


class HighestSeverityFilter(AnyOf):
    """What any of the chosen severities is the worst of."""

    def __init__(self) -> None:
        super().__init__(label=_("Severity"), choices=SEVERITY_CHOICES, field_name="highest")

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows by highest severity, as the current scope sees it where the query says so."""
        ranks = [SeverityRank[name.upper()] for name in value]
        if ranks and "seen_highest" in qs.query.annotations:
            return qs.filter(seen_highest__in=ranks)
        return super().filter(qs, ranks)


def _fixable_conditions() -> dict[str, Q | Exists]:
    fixable = Q(fixable=True) if current() is None else Q(seen.in_visible_registry(fixable=True))
    return {"yes": fixable, "no": ~fixable}


def _type_conditions() -> dict[str, Q | Exists]:
    held: dict[str, Any] = {kind: {"package_types__contains": f" {kind} "} for kind in PACKAGE_TYPES}
    return {kind: Q(**one) if current() is None else Q(seen.in_visible_registry(**one)) for kind, one in held.items()}


class VulnerabilityExposureFilters(ListingFilterSet):
    """What Vulnerabilities can be narrowed to."""

    severity = HighestSeverityFilter()
    fixable = AnyCondition(
        label=_("Fixable"),
        choices=[("yes", _("Has a fixed version")), ("no", _("Has none"))],
        conditions=_fixable_conditions,
    )
    type = AnyCondition(
        label=_("Package type"),
        choices=PACKAGE_TYPE_CHOICES,
        conditions=_type_conditions,
    )
    registry = ExposureRegistryFilter(reach=VulnerabilityExposure, thing="vulnerability")
    seen = FirstSeenFilter()
    placeholder = _("Any part of an ID, name or package")
    prominent = ("severity", "fixable", "type", "registry", "seen")

    class Meta:
        model = Vulnerability
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        """Match ID, title or package name; to a limited person only packages in visible registries count."""
        named = Q(package_names__icontains=word)
        held = named if current() is None else Q(seen.in_visible_registry(package_names__icontains=word))
        return Q(name__icontains=word) | Q(title__icontains=word) | held


def _vulnerable_conditions() -> dict[str, Q | Exists]:
    found = "findings" if current() is None else "seen_findings"
    return {"yes": Q(**{f"{found}__gt": 0}), "no": Q(**{found: 0})}


class PackageExposureFilters(ListingFilterSet):
    """What Packages can be narrowed to."""

    severity = HighestSeverityFilter()
    risk = AnyCondition(
        label=_("Vulnerabilities"),
        choices=VULNERABLE_CHOICES,
        conditions=_vulnerable_conditions,
    )
    type = AnyOf(label=_("Package type"), choices=PACKAGE_TYPE_CHOICES, field_name="type")
    registry = ExposureRegistryFilter(reach=PackageExposure, thing="package")
    seen = FirstSeenFilter()
    placeholder = _("Any part of a name, or a version")
    prominent = ("risk", "severity", "type", "registry", "seen")

    class Meta:
        model = Package
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        """Match any part of the name or source name, or the beginning of a version."""
        return Q(name__icontains=word) | Q(source_name__icontains=word) | Q(version__istartswith=word)

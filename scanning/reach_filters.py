"""Filters of vulnerabilities and packages across images."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.listing import AnyCondition, AnyOf, ListingFilterSet, ModelAnyOf
from registries.models import Registry
from scanning.filters import SEVERITIES
from scanning.kinds import PACKAGE_TYPES
from scanning.models import Package, PackageReach, Vulnerability, VulnerabilityReach
from scanning.models.packages import SeverityRank

TYPES = list(PACKAGE_TYPES.items())


class InRegistries(ModelAnyOf):
    """What any of the chosen registries holds. ``reach`` is the table that knows, ``thing`` its column."""

    def __init__(self, *, reach: type[Any], thing: str) -> None:
        self.reach, self.thing = reach, thing
        super().__init__(label=_("Registry"), queryset=Registry.objects.present().only("name").order_by("name", "pk"))

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        chosen = [row.pk for row in value]
        held = self.reach.objects.filter(**{self.thing: OuterRef("pk")}, registry__in=chosen)
        return qs.filter(Exists(held)) if chosen else qs


class Since(AnyOf):
    """What was first seen in the longest of the chosen times."""

    def __init__(self) -> None:
        choices = [("1", _("In the last day")), ("7", _("In 7 days")), ("30", _("In 30 days")), ("90", _("In 90 days"))]
        super().__init__(label=_("First seen"), choices=choices)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        days = max((int(one) for one in value), default=0)
        return qs.filter(first_seen__gte=timezone.now() - timedelta(days=days)) if days else qs


class Highest(AnyOf):
    """What any of the chosen severities is the worst of."""

    def __init__(self) -> None:
        super().__init__(label=_("Severity"), choices=SEVERITIES, field_name="highest")

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        return super().filter(qs, [SeverityRank[name.upper()] for name in value])


class ReachFilters(ListingFilterSet):
    """What Vulnerabilities can be narrowed to."""

    severity = Highest()
    fixable = AnyCondition(
        label=_("Fixable"),
        choices=[("yes", _("Has a fixed version")), ("no", _("Has none"))],
        conditions={"yes": Q(fixable=True), "no": Q(fixable=False)},
    )
    type = AnyCondition(
        label=_("Package type"),
        choices=TYPES,
        conditions={kind: Q(package_types__contains=f" {kind} ") for kind in PACKAGE_TYPES},
    )
    registry = InRegistries(reach=VulnerabilityReach, thing="vulnerability")
    seen = Since()
    placeholder = _("Any part of an ID, name or package")
    prominent = ("severity", "fixable", "type", "registry", "seen")

    class Meta:
        model = Vulnerability
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(name__icontains=word) | Q(title__icontains=word) | Q(package_names__icontains=word)


class PackageReachFilters(ListingFilterSet):
    """What Packages can be narrowed to."""

    severity = Highest()
    risk = AnyCondition(
        label=_("Vulnerabilities"),
        choices=[("yes", _("Has vulnerabilities")), ("no", _("Has none that are known"))],
        conditions={"yes": Q(findings__gt=0), "no": Q(findings=0)},
    )
    type = AnyOf(label=_("Package type"), choices=TYPES, field_name="type")
    registry = InRegistries(reach=PackageReach, thing="package")
    seen = Since()
    placeholder = _("Any part of a name, or a version")
    prominent = ("risk", "severity", "type", "registry", "seen")

    class Meta:
        model = Package
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(name__icontains=word) | Q(source_name__icontains=word) | Q(version__istartswith=word)

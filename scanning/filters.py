"""Filters of findings."""

from __future__ import annotations

from typing import Any

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

from console.listing import AnyOf, ListingFilterSet, ValuesOf
from scanning.models import ImagePackage, MalwareFinding, PackageVulnerability, SecretFinding
from scanning.models.packages import SeverityRank

SEVERITIES = [(rank.name.lower(), rank.label) for rank in sorted(SeverityRank, reverse=True)]


class SeverityFilter(AnyOf):
    """Findings of any of the chosen severities."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(label=_("Severity"), choices=SEVERITIES, **kwargs)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
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


class PackageFilters(ListingFilterSet):
    placeholder = _("Name, version or path")

    class Meta:
        model = ImagePackage
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(package__name__icontains=word) | Q(package__version__icontains=word) | Q(path__icontains=word)

"""The lists of vulnerabilities and of packages across images."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _

from console.i18n.lists import listed
from console.listing import Column, Listing, Needs
from console.visibility import Seen
from scanning.exposure import scoped_queries
from scanning.exposure.filters import PackageExposureFilters, VulnerabilityExposureFilters
from scanning.findings.taxonomy import risk_kinds, type_label
from scanning.models import Package, Vulnerability

RISK_GROUP, EXPOSURE_GROUP, ORIGIN_GROUP = _("Risk"), _("Exposure"), _("Origin")


def _number_column(
    name: str, label: Any, *, default: bool = True, group: Any = EXPOSURE_GROUP, slot: str = ""
) -> Column[Any]:
    return Column(
        name=name,
        label=label,
        value=lambda row: getattr(row, name),
        sort=(Seen(name),),
        needs=Needs(fields=(name,)),
        template="scanning/cells/images.html" if name == "images" else "console/listing/number.html",
        default=default,
        descending_first=True,
        css="num",
        group=group,
        slot=slot,
    )


def _time_column(name: str, label: Any, *, default: bool = True) -> Column[Any]:
    return Column(
        name=name.removesuffix("_at"),
        label=label,
        value=lambda row: getattr(row, name),
        sort=(name,),
        needs=Needs(fields=(name,)),
        template="console/listing/time.html",
        default=default,
        descending_first=True,
        group=ORIGIN_GROUP,
    )


def _severity_column(*order: str, slot: str = "status") -> Column[Any]:
    return Column(
        name="severity",
        label=_("Severity"),
        value=lambda row: row.get_highest_display(),
        sort=tuple(map(Seen, ("highest", *order))),
        needs=Needs(fields=("highest",)),
        template="scanning/cells/highest_severity.html",
        descending_first=True,
        group=RISK_GROUP,
        slot=slot,
    )


def _lines(text: str) -> str:
    return ", ".join(text.splitlines())


VULNERABILITIES = Listing[Vulnerability](
    name="reach",
    title=_("Vulnerabilities"),
    noun=_("vulnerabilities"),
    singular=_("vulnerability"),
    queryset=scoped_queries.vulnerabilities,
    apply_scope=scoped_queries.set_visible_counts,
    filterset=VulnerabilityExposureFilters,
    default_sort="-severity",
    columns=(
        Column(
            name="name",
            label=_("Vulnerability"),
            value=lambda row: row.name,
            sort=("name",),
            needs=Needs(fields=("name", "title")),
            template="scanning/cells/vulnerability.html",
            locked=True,
            css="grow pin",
            slot="addr",
        ),
        _severity_column("images"),
        Column(
            name="cvss",
            label=_("CVSS"),
            value=lambda row: row.cvss_score,
            sort=("cvss_score",),
            needs=Needs(fields=("cvss_score", "cvss_vector")),
            template="scanning/cells/cvss.html",
            descending_first=True,
            css="num",
            group=RISK_GROUP,
        ),
        Column(
            name="packages",
            label=_("Packages"),
            value=lambda row: _lines(row.package_names),
            sort=(Seen("package_names"),),
            needs=Needs(fields=("package_names",)),
            template="scanning/cells/package_names.html",
            group=EXPOSURE_GROUP,
            slot="risks",
        ),
        Column(
            name="fixed",
            label=_("Fixed versions"),
            value=lambda row: _lines(row.fixed_versions),
            needs=Needs(fields=("fixed_versions",)),
            template="scanning/cells/fixed_versions.html",
            group=RISK_GROUP,
        ),
        _number_column("images", _("Images"), slot="ver"),
        _number_column("tags", _("Tags")),
        _time_column("first_seen", _("First seen")),
        Column(
            name="kinds",
            label=_("Type of risk"),
            value=lambda row: listed(risk_kinds(cwes=row.cwes, vector=row.cvss_vector)),
            needs=Needs(fields=("cwes", "cvss_vector")),
            template="scanning/cells/risk_types.html",
            group=RISK_GROUP,
        ),
        Column(
            name="types",
            label=_("Package types"),
            value=lambda row: listed(type_label(kind) for kind in row.package_types.split()),
            sort=(Seen("package_types"),),
            needs=Needs(fields=("package_types",)),
            default=False,
            group=EXPOSURE_GROUP,
        ),
        Column(
            name="weaknesses",
            label=_("Weaknesses"),
            value=lambda row: ", ".join(row.cwes),
            needs=Needs(fields=("cwes",)),
            default=False,
            group=RISK_GROUP,
        ),
        Column(
            name="versions",
            label=_("Package versions"),
            value=lambda row: getattr(row, "versions", None),
            needs=Needs(annotate=lambda: {"versions": scoped_queries.affected_version_count()}),
            template="console/listing/number.html",
            default=False,
            css="num",
            group=EXPOSURE_GROUP,
        ),
        _time_column("published_at", _("Published"), default=False),
        _time_column("modified_at", _("Changed"), default=False),
    ),
    bulk="scanning/_export_bulk.html",
    tools="scanning/_export_tools.html",
    empty="scanning/_no_vulnerabilities.html",
    columns_view="scanning:vulnerability-columns",
)

PACKAGES = Listing[Package](
    name="reach-packages",
    title=_("Packages"),
    noun=_("packages"),
    singular=_("package"),
    queryset=scoped_queries.packages,
    apply_scope=scoped_queries.set_visible_counts,
    filterset=PackageExposureFilters,
    default_sort="-images",
    columns=(
        Column(
            name="name",
            label=_("Package"),
            value=lambda row: row.name,
            sort=("name", "version"),
            needs=Needs(fields=("name", "purl", "varied")),
            template="scanning/cells/package_name.html",
            locked=True,
            css="grow pin",
            slot="addr",
        ),
        Column(
            name="version",
            label=_("Version"),
            value=lambda row: row.version,
            needs=Needs(fields=("version",)),
            template="inventory/cells/version.html",
            slot="ver",
            group=EXPOSURE_GROUP,
        ),
        Column(
            name="type",
            label=_("Type"),
            value=lambda row: type_label(row.type),
            sort=("type", "name"),
            needs=Needs(fields=("type",)),
            group=ORIGIN_GROUP,
        ),
        _number_column("images", _("Images"), slot="risks"),
        _number_column("tags", _("Tags")),
        _number_column("findings", _("Vulnerabilities"), group=RISK_GROUP),
        _severity_column("findings"),
        _time_column("first_seen", _("First seen")),
        Column(
            name="licenses",
            label=_("Licences"),
            value=lambda row: ", ".join(scoped_queries.licenses_of(row)),
            needs=Needs(prefetch=(scoped_queries.licenses_prefetch,)),
            default=False,
            group=ORIGIN_GROUP,
        ),
        Column(
            name="source",
            label=_("Source package"),
            value=lambda row: " ".join(filter(None, (row.source_name, row.source_version))),
            sort=("source_name",),
            needs=Needs(fields=("source_name", "source_version")),
            default=False,
            group=ORIGIN_GROUP,
        ),
        Column(
            name="purl",
            label=_("Package URL"),
            value=lambda row: row.purl,
            needs=Needs(fields=("purl",)),
            default=False,
            group=ORIGIN_GROUP,
        ),
    ),
    bulk="scanning/_export_bulk.html",
    tools="scanning/_export_tools.html",
    empty="scanning/_no_packages.html",
    columns_view="scanning:package-columns",
)

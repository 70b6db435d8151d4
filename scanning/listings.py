"""The lists of findings in the drawer of an image. The rows of each are narrowed to that image by its view."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.utils.translation import gettext_lazy as _

from console.listing import Column, Listing, Needs
from scanning.filters import MalwareFilters, PackageFilters, SecretFilters, VulnerabilityFilters
from scanning.models import ImagePackage, MalwareFinding, PackageVulnerability, SecretFinding


def _severity(order: tuple[str, ...]) -> Column[Any]:
    """The column that each list of findings begins with; ``order`` comes after the severity itself."""
    return Column(
        name="severity",
        label=_("Severity"),
        value=lambda row: row.get_severity_display(),
        sort=("severity", *order),
        needs=Needs(fields=("severity",)),
        locked=True,
        descending_first=True,
    )


VULNERABILITIES = Listing[PackageVulnerability](
    name="vulnerabilities",
    title=_("Vulnerabilities"),
    noun=_("vulnerabilities"),
    queryset=PackageVulnerability.objects.all,
    filterset=VulnerabilityFilters,
    default_sort="-severity",
    columns=(
        _severity(("vulnerability__cvss_score",)),
        Column(
            name="name",
            label=_("Name"),
            value=lambda row: row.vulnerability.name,
            sort=("vulnerability__name",),
            needs=Needs(fields=("vulnerability__name", "vulnerability__title")),
        ),
        Column(
            name="package",
            label=_("Package"),
            value=lambda row: row.package.name,
            sort=("package__name",),
            needs=Needs(fields=("package__name",)),
        ),
        Column(
            name="installed",
            label=_("Installed"),
            value=lambda row: row.package.version,
            needs=Needs(fields=("package__version",)),
        ),
        Column(
            name="fixed",
            label=_("Fixed"),
            value=lambda row: row.fixed_version,
            needs=Needs(fields=("fixed_version", "status")),
        ),
    ),
    needs=Needs(
        fields=(
            "severity_source",
            "url",
            "first_seen",
            "package__type",
            *(
                f"vulnerability__{name}"
                for name in ("description", "cvss_score", "cvss_vector", "references", "cwes", "published_at")
            ),
        )
    ),
)

MALWARE = Listing[MalwareFinding](
    name="malware",
    title=_("Viruses and trojans"),
    noun=_("viruses and trojans"),
    queryset=MalwareFinding.objects.all,
    filterset=MalwareFilters,
    default_sort="-severity",
    columns=(
        _severity(("rule",)),
        Column(name="kind", label=_("Type"), value=lambda row: row.get_kind_display(), needs=Needs(fields=("kind",))),
        Column(
            name="rule",
            label=_("Rule or signature"),
            value=lambda row: row.rule,
            sort=("rule",),
            needs=Needs(fields=("rule", "family", "engine")),
        ),
        Column(name="path", label=_("Path"), value=lambda row: row.path, sort=("path",), needs=Needs(fields=("path",))),
    ),
    needs=Needs(fields=("description", "reference", "size", "sha256", "diff_id", "first_seen")),
)

SENSITIVE = Listing[SecretFinding](
    name="sensitive",
    title=_("Sensitive data"),
    noun=_("findings"),
    queryset=SecretFinding.objects.all,
    filterset=SecretFilters,
    default_sort="-severity",
    columns=(
        _severity(("title",)),
        Column(
            name="title",
            label=_("Name"),
            value=lambda row: row.title or row.rule,
            sort=("title",),
            needs=Needs(fields=("title", "rule")),
        ),
        Column(
            name="category",
            label=_("Type"),
            value=lambda row: row.category,
            sort=("category",),
            needs=Needs(fields=("category",)),
        ),
        Column(name="path", label=_("Path"), value=lambda row: row.path, sort=("path",), needs=Needs(fields=("path",))),
        Column(name="masked", label=_("Masked"), value=lambda row: row.masked, needs=Needs(fields=("masked",))),
    ),
    needs=Needs(fields=("start_line", "end_line", "diff_id", "first_seen")),
)

PACKAGES = Listing[ImagePackage](
    name="packages",
    title=_("Packages"),
    noun=_("packages"),
    queryset=ImagePackage.objects.all,
    filterset=PackageFilters,
    default_sort="name",
    columns=(
        Column(
            name="name",
            label=_("Name"),
            value=lambda row: row.package.name,
            sort=("package__name", "package__version"),
            needs=Needs(fields=("package__name",)),
            locked=True,
            css="clip",
            slot="addr",
            template="scanning/cells/package.html",
        ),
        Column(
            name="version",
            label=_("Version"),
            value=lambda row: row.package.version,
            needs=Needs(fields=("package__version",)),
            template="inventory/cells/version.html",
            slot="ver",
        ),
        Column(
            name="type",
            label=_("Type"),
            value=lambda row: row.package.type,
            sort=("package__type", "package__name"),
            needs=Needs(fields=("package__type",)),
        ),
        Column(
            name="licenses",
            label=_("Licences"),
            value=lambda row: ", ".join(str(one) for one in row.package.licenses),
            needs=Needs(fields=("package__licenses",)),
            template="scanning/cells/licenses.html",
        ),
        Column(
            name="findings",
            label=_("Vulnerabilities"),
            value=lambda row: getattr(row, "findings", 0),
            sort=("findings",),
            descending_first=True,
            template="console/listing/number.html",
            css="num",
            slot="status",
        ),
    ),
    needs=Needs(fields=("path", "diff_id", "package__purl")),
)

NEWS = Listing[PackageVulnerability](
    name="news",
    title=_("New vulnerabilities"),
    noun=_("vulnerabilities of packages"),
    queryset=PackageVulnerability.objects.all,
    filterset=VulnerabilityFilters,
    default_sort="-severity",
    columns=(
        replace(_severity(("images",)), template="scanning/cells/severity.html"),
        Column(
            name="name",
            label=_("Name"),
            value=lambda row: row.vulnerability.name,
            sort=("vulnerability__name",),
            needs=Needs(fields=("vulnerability__name",)),
            template="scanning/cells/new_name.html",
        ),
        Column(
            name="package",
            label=_("Package"),
            value=lambda row: row.package.name,
            sort=("package__name",),
            needs=Needs(fields=("package__name",)),
        ),
        Column(
            name="installed",
            label=_("Installed"),
            value=lambda row: row.package.version,
            needs=Needs(fields=("package__version",)),
        ),
        Column(
            name="fixed",
            label=_("Fixed"),
            value=lambda row: row.fixed_version,
            needs=Needs(fields=("fixed_version", "status")),
        ),
        Column(
            name="images",
            label=_("Images"),
            value=lambda row: getattr(row, "images", 0),
            sort=("images",),
            descending_first=True,
            template="console/listing/number.html",
            css="num",
        ),
    ),
    needs=Needs(fields=("url", "vulnerability__title")),
)

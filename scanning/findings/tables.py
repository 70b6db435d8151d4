"""The lists of findings in the drawer of an image. The rows of each are narrowed to that image by its view."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter
from typing import Any

from django.db.models import Count, Max, OuterRef, Prefetch, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from console.listing import Column, Listing, Needs
from inventory.models import Tag
from scanning.findings.filters import MalwareFilters, PackageFilters, SecretFilters, VulnerabilityFilters
from scanning.models import ImagePackage, MalwareFinding, PackageVulnerability, SecretFinding


def _severity_column(order: tuple[str, ...]) -> Column[Any]:
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


def _image_of(tag_id: int) -> Any:
    return Tag.objects.filter(pk=tag_id).values("image")


def vulnerabilities_of(tag_id: int) -> QuerySet[PackageVulnerability]:
    """Return the vulnerabilities of the packages in the image of a tag, each package with its ``places`` there."""
    held = ImagePackage.objects.filter(image__in=_image_of(tag_id))
    # By the image, which is seen or not; that its packages are counted by registry may take a while.
    return PackageVulnerability._base_manager.filter(variant__in=held.values("variant")).prefetch_related(
        Prefetch("variant__image_packages", held.order_by("path", "pk"), to_attr="places")
    )


def malware_of(tag_id: int) -> QuerySet[MalwareFinding]:
    """Return the viruses and trojans in the image of a tag."""
    return MalwareFinding.objects.filter(image__in=_image_of(tag_id))


def sensitive_of(tag_id: int) -> QuerySet[SecretFinding]:
    """Return the sensitive data in the image of a tag."""
    return SecretFinding.objects.filter(image__in=_image_of(tag_id))


def packages_of(tag_id: int) -> QuerySet[ImagePackage]:
    """Return the packages in the image of a tag, with how many vulnerabilities each has and the worst of them."""
    matches = PackageVulnerability._base_manager.filter(variant=OuterRef("variant")).order_by().values("variant")
    return ImagePackage.objects.filter(image__in=_image_of(tag_id)).annotate(
        findings=Coalesce(Subquery(matches.annotate(n=Count("pk")).values("n")), Value(0)),
        worst=Subquery(matches.annotate(worst=Max("severity")).values("worst")),
    )


def _plain_column(name: str, label: Any, path: str, **more: Any) -> Column[Any]:
    """A column that shows the field at ``path`` as it is."""
    return Column(name=name, label=label, value=attrgetter(path.replace("__", ".")), needs=Needs((path,)), **more)


VULNERABILITIES = Listing[PackageVulnerability](
    name="vulnerabilities",
    title=_("Vulnerabilities"),
    noun=_("vulnerabilities"),
    singular=_("vulnerability"),
    queryset=PackageVulnerability.objects.all,
    filterset=VulnerabilityFilters,
    within=vulnerabilities_of,
    page_sizes=(20, 40),  # each row brings all of its details
    tools="scanning/_finding_tools.html",
    default_sort="-severity",
    columns=(
        _severity_column(("vulnerability__cvss_score",)),
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
        _plain_column("title", _("Title"), "vulnerability__title"),
        _plain_column("source", _("Severity from"), "severity_source"),
        _plain_column("score", _("CVSS score"), "vulnerability__cvss_score", sort=("vulnerability__cvss_score",)),
        _plain_column("vector", _("CVSS vector"), "vulnerability__cvss_vector"),
        _plain_column("type", _("Package type"), "package__type"),
        Column(
            name="path",
            label=_("Path"),
            value=lambda row: ", ".join(place.path for place in getattr(row.variant, "places", ()) if place.path),
            needs=Needs(fields=("variant__id",)),
        ),
        _plain_column(
            "published", _("Published"), "vulnerability__published_at", sort=("vulnerability__published_at",)
        ),
        _plain_column("first_seen", _("First seen"), "first_seen", sort=("first_seen",)),
    ),
    needs=Needs(
        fields=(
            "severity_source",
            "url",
            "first_seen",
            "package__type",
            "variant__id",
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
    singular=_("virus or trojan"),
    queryset=MalwareFinding.objects.all,
    filterset=MalwareFilters,
    within=malware_of,
    tools="scanning/_finding_tools.html",
    default_sort="-severity",
    columns=(
        _severity_column(("rule",)),
        Column(name="kind", label=_("Type"), value=lambda row: row.get_kind_display(), needs=Needs(fields=("kind",))),
        Column(
            name="rule",
            label=_("Rule or signature"),
            value=lambda row: row.rule,
            sort=("rule",),
            needs=Needs(fields=("rule", "family", "engine")),
        ),
        Column(name="path", label=_("Path"), value=lambda row: row.path, sort=("path",), needs=Needs(fields=("path",))),
        _plain_column("family", _("Family"), "family"),
        _plain_column("engine", _("Engine"), "engine"),
        _plain_column("size", _("Size"), "size", sort=("size",)),
        _plain_column("sha256", _("SHA-256"), "sha256"),
        _plain_column("first_seen", _("First seen"), "first_seen", sort=("first_seen",)),
    ),
    needs=Needs(fields=("description", "reference", "size", "sha256", "diff_id", "first_seen")),
)

SENSITIVE = Listing[SecretFinding](
    name="sensitive",
    title=_("Sensitive data"),
    noun=_("findings"),
    singular=_("finding"),
    queryset=SecretFinding.objects.all,
    filterset=SecretFilters,
    within=sensitive_of,
    tools="scanning/_finding_tools.html",
    default_sort="-severity",
    columns=(
        _severity_column(("title",)),
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
        _plain_column("line", _("Line"), "start_line"),
        _plain_column("first_seen", _("First seen"), "first_seen", sort=("first_seen",)),
    ),
    needs=Needs(fields=("start_line", "end_line", "diff_id", "first_seen")),
)

PACKAGES = Listing[ImagePackage](
    name="packages",
    title=_("Packages"),
    noun=_("packages"),
    singular=_("package"),
    queryset=ImagePackage.objects.all,
    filterset=PackageFilters,
    within=packages_of,
    tools="scanning/_finding_tools.html",
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
            value=lambda row: ", ".join(str(one) for one in row.variant.licenses),
            needs=Needs(fields=("variant__licenses",)),
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

NEW_VULNERABILITIES = Listing[PackageVulnerability](
    name="news",
    title=_("New vulnerabilities"),
    noun=_("vulnerabilities of packages"),
    singular=_("vulnerability of a package"),
    queryset=PackageVulnerability.objects.all,
    filterset=VulnerabilityFilters,
    default_sort="-severity",
    columns=(
        replace(_severity_column(("images",)), template="scanning/cells/severity.html", slot="status"),
        Column(
            name="name",
            label=_("Name"),
            value=lambda row: row.vulnerability.name,
            sort=("vulnerability__name",),
            needs=Needs(fields=("vulnerability__name",)),
            template="scanning/cells/advisory.html",
            slot="addr",
        ),
        Column(
            name="package",
            label=_("Package"),
            value=lambda row: row.package.name,
            sort=("package__name",),
            needs=Needs(fields=("package__name",)),
            slot="ver",
        ),
        Column(
            name="installed",
            label=_("Installed"),
            value=lambda row: row.package.version,
            needs=Needs(fields=("package__version",)),
            slot="fact",
        ),
        Column(
            name="fixed",
            label=_("Fixed"),
            value=lambda row: row.fixed_version,
            needs=Needs(fields=("fixed_version", "status")),
            template="scanning/cells/fixed_version.html",
            slot="fact",
        ),
        Column(
            name="images",
            label=_("Images"),
            value=lambda row: getattr(row, "images", 0),
            sort=("images",),
            descending_first=True,
            template="console/listing/number.html",
            css="num",
            slot="fact",
        ),
    ),
    needs=Needs(fields=("url", "vulnerability__title")),
)

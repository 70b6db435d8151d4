"""Packages and vulnerabilities as somebody sees them who is limited to some registries: the figures of these alone.

Images and tags are counted by registry, and images again by each set of registries that hold the same ones: what all
registries of a person hold together is the sum of what each holds, less what was counted twice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import (
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    Min,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce

from console.visibility import Scope, current
from scanning.exposure.recount import MAX_FIXED_VERSIONS
from scanning.models import (
    Package,
    PackageExposure,
    PackageOverlap,
    PackageVariant,
    PackageVulnerability,
    RegistrySet,
    VariantExposure,
    Vulnerability,
    VulnerabilityExposure,
    VulnerabilityOverlap,
)

EXPOSURE_MODELS: dict[type[Any], tuple[type[Any], type[Any], str]] = {
    Package: (PackageExposure, PackageOverlap, "package"),
    Vulnerability: (VulnerabilityExposure, VulnerabilityOverlap, "vulnerability"),
}


def packages() -> QuerySet[Package]:
    """Return the packages that are in an image, to sort by what is seen of them."""
    rows: QuerySet[Package] = _in_images(Package)
    if current() is None:
        return rows
    # Where all variants of a package have the same vulnerabilities, its own figures hold for whoever sees any.
    found = PackageVulnerability.objects.filter(package=OuterRef("pk")).order_by().values("package")
    number = Coalesce(Subquery(found.annotate(n=Count("vulnerability", distinct=True)).values("n")), 0)
    worst = Subquery(found.annotate(n=Max("severity")).values("n"))
    return rows.annotate(
        seen_findings=Case(When(varied=True, then=number), default=F("findings"), output_field=IntegerField()),
        seen_highest=Case(When(varied=True, then=worst), default=F("highest"), output_field=IntegerField()),
    )


def licenses_prefetch() -> Prefetch[Any]:
    """Return what fetches of packages the variants that are in an image, with their licences, as ``shown``."""
    rows = PackageVariant.objects.filter(in_use("pk")).only("package_id", "licenses").order_by("pk")
    return Prefetch("variants", rows, to_attr="shown")


def licenses_of(package: Package) -> list[str]:
    """Return the licences of a package that was fetched with :func:`licenses_prefetch`: of all its variants."""
    return sorted({str(one) for variant in getattr(package, "shown", ()) for one in variant.licenses})


def in_use(variant: str) -> Exists:
    """Return where an image that is seen holds the variant at the path ``variant``, as far as that is counted."""
    return Exists(VariantExposure.objects.filter(variant=OuterRef(variant)))


def vulnerabilities() -> QuerySet[Vulnerability]:
    """Return the vulnerabilities that are in an image, to sort by what is seen of them."""
    rows: QuerySet[Vulnerability] = _in_images(Vulnerability)
    if current() is None:
        return rows
    here = VulnerabilityExposure.objects.filter(vulnerability=OuterRef("pk")).order_by().values("vulnerability")
    return rows.annotate(
        seen_highest=Subquery(here.annotate(n=Max("highest")).values("n")),
        seen_package_names=Subquery(here.annotate(n=Min("package_names")).values("n")),
        seen_package_types=Subquery(here.annotate(n=Min("package_types")).values("n")),
    )


def in_visible_registry(**conditions: Any) -> Exists:
    """Return where any registry that is seen has a row for a vulnerability which meets ``conditions``."""
    return Exists(VulnerabilityExposure.objects.filter(vulnerability=OuterRef("pk"), **conditions))


def matches(vulnerability: Vulnerability) -> QuerySet[PackageVulnerability]:
    """Return the packages in use that have ``vulnerability``, those in most images first, each once."""
    rows = PackageVulnerability.objects.filter(vulnerability=vulnerability, package__images__gt=0)
    rows = _worst_of_each(rows.filter(in_use("variant")), "package", "vulnerability").select_related("package")
    if current() is None:
        return rows.order_by("-package__images", "package__name", "pk")
    held = PackageExposure.objects.filter(package=OuterRef("package")).order_by().values("package")
    most = Subquery(held.annotate(n=Sum("images")).values("n"))
    return rows.annotate(held=most).order_by("-held", "package__name", "pk")


def partly_affected(vulnerability: Vulnerability, rows: Iterable[PackageVulnerability]) -> set[int]:
    """Return the ids of those packages that images also hold in a variant without ``vulnerability``.

    In one query; in none where the variants of no package differ.
    """
    varied = [row.package_id for row in rows if row.package.varied]
    if not varied:
        return set()
    having = PackageVulnerability._base_manager.filter(vulnerability=vulnerability).values("variant")
    without = PackageVariant.objects.filter(in_use("pk"), package__in=varied).exclude(pk__in=having)
    return set(without.values_list("package_id", flat=True))


def matches_of(package: Package) -> QuerySet[PackageVulnerability]:
    """Return the vulnerabilities of the variants of ``package`` that images hold, the worst first, each once."""
    rows = _worst_of_each(
        PackageVulnerability.objects.filter(in_use("variant"), package=package), "package", "vulnerability"
    )
    return rows.select_related("vulnerability").order_by("-severity", "vulnerability__name", "pk")


def _worst_of_each(rows: QuerySet[PackageVulnerability], *fields: str) -> QuerySet[PackageVulnerability]:
    """Return of the ``rows`` that agree in ``fields`` the worst one alone."""
    same = PackageVulnerability.objects.filter(in_use("variant"), **{field: OuterRef(field) for field in fields})
    worse = Q(severity__gt=OuterRef("severity")) | Q(severity=OuterRef("severity"), pk__lt=OuterRef("pk"))
    return rows.filter(~Exists(same.filter(worse)))


def set_visible_counts(rows: Iterable[Package] | Iterable[Vulnerability]) -> None:
    """Set on ``rows`` (unsaved), all of one model, what is seen of them, in three queries; nothing without a limit.

    Of packages whose variants differ it takes a fourth.
    """
    scope = current()
    found: dict[int, Any] = {row.pk: row for row in rows}
    if scope is None or not found:
        return
    model = type(next(iter(found.values())))
    reach, shared, thing = EXPOSURE_MODELS[model]
    parts: dict[int, list[Any]] = defaultdict(list)
    for part in reach.objects.filter(**{f"{thing}__in": list(found)}):
        parts[getattr(part, f"{thing}_id")].append(part)
    twice: dict[int, int] = defaultdict(int)
    for weight, holders in _overcounted(scope).items():
        rows_of = shared.objects.filter(**{f"{thing}__in": list(found)}, holders__in=holders)
        for key, images in rows_of.values_list(f"{thing}_id").annotate(n=Sum("images")):
            twice[key] += weight * images
    for key, row in found.items():
        row.images = sum(part.images for part in parts[key]) - twice[key]
        row.tags = sum(part.tags for part in parts[key])
        if model is Vulnerability:
            _describe(row, parts[key])
    if varied := [key for key, row in found.items() if model is Package and row.varied]:
        told = PackageVulnerability.objects.filter(package__in=varied).order_by().values("package_id")
        figures = told.annotate(n=Count("vulnerability", distinct=True), worst=Max("severity"))
        rated = {package: (n, worst) for package, n, worst in figures.values_list("package_id", "n", "worst")}
        for key in varied:
            found[key].findings, found[key].highest = rated.get(key, (0, None))


def _describe(row: Vulnerability, parts: Sequence[VulnerabilityExposure]) -> None:
    row.highest = max((part.highest for part in parts), default=1)
    row.fixable = any(part.fixable for part in parts)
    row.package_names = "\n".join(_merged(part.package_names.splitlines() for part in parts))
    row.package_types = " ".join(_merged(part.package_types.split() for part in parts))
    row.fixed_versions = "\n".join(_merged(part.fixed_versions.splitlines() for part in parts)[:MAX_FIXED_VERSIONS])


def _merged(lists: Iterable[Iterable[str]]) -> list[str]:
    return sorted({each for one in lists for each in one})


def _in_images(model: type[Any]) -> QuerySet[Any]:
    rows: QuerySet[Any] = model.objects.filter(images__gt=0)
    scope = current()
    if scope is None:
        return rows
    reach, shared, thing = EXPOSURE_MODELS[model]

    def total(of: QuerySet[Any], name: str) -> Combinable:
        counted = of.filter(**{thing: OuterRef("pk")}).order_by().values(thing).annotate(n=Sum(name)).values("n")
        return Coalesce(Subquery(counted, output_field=IntegerField()), 0)

    images = total(reach.objects.all(), "images")
    for weight, holders in _overcounted(scope).items():
        images = images - Value(weight) * total(shared.objects.filter(holders__in=holders), "images")
    annotated: QuerySet[Any] = rows.annotate(seen_images=images, seen_tags=total(reach.objects.all(), "tags"))
    return annotated


def _overcounted(scope: Scope) -> dict[int, list[int]]:
    """Return how many times too often images are counted → the sets of registries that hold them."""
    found: dict[int, list[int]] = defaultdict(list)
    for holders in RegistrySet.objects.all():
        if (times := len(holders.ids & scope.registries) - 1) > 0:
            found[times].append(holders.pk)
    return found


def affected_version_count() -> Subquery:
    """Return how many versions of packages in use have a vulnerability."""
    rows = PackageVulnerability.objects.filter(in_use("variant"), vulnerability=OuterRef("pk")).order_by()
    counted = rows.values("vulnerability").annotate(n=Count("package", distinct=True)).values("n")
    return Subquery(counted, output_field=IntegerField())

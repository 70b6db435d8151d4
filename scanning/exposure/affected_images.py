"""The tags whose images have a vulnerability or hold a package, as lists."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db.models import Case, Max, Prefetch, Q, QuerySet, When
from django.utils.translation import gettext_lazy as _

from console.listing import Column, Listing, Needs
from inventory.filters import ImageFilters
from inventory.models import Tag
from inventory.tables import IMAGES, STANDARD_GROUP
from scanning.models import ImagePackage, Package, PackageVariant, PackageVulnerability, Vulnerability

FEW_IMAGES = 500  # images
TAGS_PER_IMAGE_LOOKUP = 35  # looking up the tags of an image takes about as long as passing over so many tags
DEFAULT_IMAGE_COLUMNS = ("address", "version", "registry", "last_scanned", "status")  # of the columns of images


def affected_packages(tag: Tag) -> str:
    """Return the packages for which the image of ``tag`` is in a list of affected ones."""
    rows = getattr(tag.image, "held", ())
    return ", ".join(dict.fromkeys(f"{row.package.name} {row.package.version}" for row in rows))


def _images_of(name: str) -> Column[Tag]:
    column = IMAGES.column(name)
    assert column is not None, name  # noqa: S101
    return replace(column, default=True)


def _affected_tags(variants: QuerySet[Any], *, images: int) -> QuerySet[Tag]:
    """Return the tags whose images hold any of ``variants`` (ids); ``images`` is about how many those are.

    A few are looked up first: else a database may walk all tags in their order to find the first ones of a few. Where
    they are many, it is kept from looking up the tags of each to sort them all: within a CASE the images are put
    together once, and tags are asked for in whichever order an index gives whether theirs is among them.
    """
    holders = ImagePackage.objects.filter(variant__in=variants)
    shown = holders.select_related("package").only("image", "path", "package__name", "package__version")
    if images > FEW_IMAGES:
        among = Q(image__in=holders.values("image"))
        newest = Tag.objects.aggregate(pk=Max("pk"))["pk"] or 0  # about how many tags there are
        many = images * TAGS_PER_IMAGE_LOOKUP > newest
        condition: Any = Case(When(among, then=True), default=False) if many else among
    else:
        condition = Q(image__in=list(holders.values_list("image", flat=True).distinct()))
    found = Tag.objects.filter(condition)
    return found.prefetch_related(Prefetch("image__image_packages", shown.order_by("pk"), to_attr="held"))


def _of_vulnerability(pk: int) -> QuerySet[Tag]:
    images = Vulnerability.objects.filter(pk=pk).values_list("images", flat=True).first() or 0
    # Whether an image is seen is asked of the image.
    return _affected_tags(PackageVulnerability._base_manager.filter(vulnerability=pk).values("variant"), images=images)


def _of_package(pk: int) -> QuerySet[Tag]:
    images = Package.objects.filter(pk=pk).values_list("images", flat=True).first() or 0
    return _affected_tags(PackageVariant._base_manager.filter(package=pk).values("pk"), images=images)


AFFECTED_IMAGES = Listing[Tag](
    name="affected",
    title=_("Affected images"),
    noun=_("tags"),
    singular=_("tag"),
    queryset=Tag.objects.none,
    within=_of_vulnerability,
    filterset=ImageFilters,
    default_sort="address",
    columns=(
        *map(_images_of, DEFAULT_IMAGE_COLUMNS[:2]),
        Column(
            name="held",
            label=_("Installed"),
            group=STANDARD_GROUP,
            value=affected_packages,
            needs=Needs(fields=("image__id",)),
            template="scanning/cells/installed_versions.html",
            slot="risks",
        ),
        *map(_images_of, DEFAULT_IMAGE_COLUMNS[2:]),
        *(replace(column, default=False) for column in IMAGES.columns if column.name not in DEFAULT_IMAGE_COLUMNS),
    ),
    needs=IMAGES.needs,
    above="inventory/_page_reasons.html",
    bulk="scanning/_export_bulk.html",
    tools="scanning/_export_tools.html",
)


IMAGES_WITH_PACKAGE = replace(AFFECTED_IMAGES, name="holders", title=_("Images with the package"), within=_of_package)

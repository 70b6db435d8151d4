"""The list of Repository images. A row is a tag, joined with its image, repository and registry."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.i18n.lists import listed
from console.listing import Column, Listing, Needs, Ranks
from inventory.filters import ImageFilters
from inventory.models import Image, Tag
from registries.models import Registry

SEVERITIES = ("critical", "high", "medium", "low", "unknown")
RISK_FIELDS = (*SEVERITIES, "viruses", "trojans", "sensitive")
ORIGIN_GROUP, IMAGE_GROUP, RISK_GROUP, STANDARD_GROUP = (
    gettext_lazy("Origin"),
    gettext_lazy("Image"),
    gettext_lazy("Risk"),
    gettext_lazy("Standard"),
)


def security(tag: Tag) -> str:
    """Return the word for what is known of the security of the tag's image."""
    return str(Image.Security(tag.image.security if tag.image else Image.Security.NOT_KNOWN).label)


def risks(tag: Tag) -> str:
    """Return what was found in words, as in "4 critical, 18 high, 1 virus".

    "0 found" only where everything was looked for in everything; else "Partly scanned" or "Not known".
    """
    image = tag.image
    if image is None or image.security in (Image.Security.NOT_KNOWN, Image.Security.PARTLY_SCANNED):
        return security(tag)
    counts = {name: getattr(image, name) for name in RISK_FIELDS}
    words = {
        "critical": _("critical"),
        "high": _("high"),
        "medium": _("medium"),
        "low": _("low"),
        "unknown": _("unknown"),
        "viruses": _("viruses"),
        "trojans": _("trojans"),
        "sensitive": _("sensitive data"),
    }
    return listed(f"{counts[name]} {words[name]}" for name in RISK_FIELDS if counts[name]) or _("0 found")


def status(tag: Tag) -> str:
    """Return the word for where the scan of the tag's image stands."""
    state = tag.image.scan_state if tag.image else Image.ScanState.NOT_SCANNED
    return str(Image.ScanState(state).label)


def _image_needs(field: str) -> Needs:
    return Needs(fields=(f"image__{field}",))


def _image_value(tag: Tag, field: str) -> str | int | datetime | None:
    value: str | int | datetime | None = getattr(tag.image, field) if tag.image else None
    return value


def _severity(tag: Tag) -> str | None:
    """Return the word for the worst finding; "None" only where everything was looked for in everything."""
    if tag.image is None or tag.image.highest is None:
        return None
    partly = tag.image.security == Image.Security.PARTLY_SCANNED
    return security(tag) if partly else str(Image.Severity(tag.image.highest).label)


def _fixable(tag: Tag) -> int | None:
    """Return how many vulnerabilities have a fix; 0 only where all were looked for."""
    image = tag.image
    done = image is not None and image.vulnerabilities_coverage == Image.Coverage.DONE
    return image.fixable if image is not None and (image.fixable or done) else None


def _by_registry(*order: str) -> Ranks:
    """Rank tags by columns of their registry: those that hold any of the rows, in that order."""

    def conditions(rows: QuerySet[Any]) -> list[Q]:
        holders = Registry.objects.filter(Exists(rows.order_by().filter(registry=OuterRef("pk")))).order_by(*order)
        return [Q(registry=pk) for pk in holders.values_list("pk", flat=True)]

    return Ranks(conditions, within=("address", "name"))


ADDRESS_COLUMN = Column[Tag](
    name="address",
    label=gettext_lazy("Image repository address"),
    value=lambda tag: tag.address,
    sort=("address", "name"),
    needs=Needs(fields=("address",)),
    template="inventory/cells/address.html",
    locked=True,
    css="grow pin",
    slot="addr",
)
IMAGES = Listing[Tag](
    name="images",
    title=gettext_lazy("Repository images"),
    noun=gettext_lazy("tags"),
    singular=gettext_lazy("tag"),
    queryset=Tag.objects.all,
    filterset=ImageFilters,
    default_sort="address",
    columns=(
        ADDRESS_COLUMN,
        Column(
            name="type",
            label=gettext_lazy("Repository type"),
            value=lambda tag: tag.registry.get_type_display(),
            sort=("registry__type", "registry__name", "address", "name"),
            ranks=_by_registry("type", "name"),
            needs=Needs(fields=("registry__type",)),
            slot="type",
            group=STANDARD_GROUP,
        ),
        Column(
            name="version",
            label=gettext_lazy("Image version"),
            value=lambda tag: tag.name,
            sort=("name", "address"),
            needs=Needs(fields=("name", "missing_since")),
            template="inventory/cells/version.html",
            slot="ver",
            group=STANDARD_GROUP,
        ),
        Column(
            name="last_scanned",
            label=gettext_lazy("Last scanned"),
            value=lambda tag: _image_value(tag, "last_scanned_at"),
            sort=("image__last_scanned_at", "image"),
            needs=_image_needs("last_scanned_at"),
            template="inventory/cells/last_scanned.html",
            descending_first=True,
            slot="when",
            group=STANDARD_GROUP,
        ),
        Column(
            name="risks",
            label=gettext_lazy("Risks"),
            value=risks,
            sort=("image__risk_order", "image"),
            needs=Needs(
                fields=tuple(f"image__{name}" for name in (*RISK_FIELDS, *Image.COVERAGES, "security", "scan_state"))
            ),
            template="inventory/cells/risks.html",
            descending_first=True,
            slot="risks",
            group=STANDARD_GROUP,
        ),
        Column(
            name="status",
            label=gettext_lazy("Status"),
            value=status,
            sort=("image__scan_order", "image"),
            needs=Needs(
                fields=tuple(
                    f"image__{name}"
                    for name in (
                        "scan_state",
                        "scan_stage",
                        "scan_percent",
                        "scan_started_at",
                        "scan_reason",
                        "scan_remedy",
                        "scan_resumes_at",
                        "scanned_from",
                    )
                )
            ),
            template="inventory/cells/status.html",
            slot="status",
            group=STANDARD_GROUP,
        ),
        Column(
            name="registry",
            label=gettext_lazy("Registry name"),
            value=lambda tag: tag.registry.name,
            sort=("registry__name", "address", "name"),
            ranks=_by_registry("name"),
            needs=Needs(fields=("registry__name",)),
            default=False,
            group=ORIGIN_GROUP,
        ),
        Column(
            name="region",
            label=gettext_lazy("Region"),
            value=lambda tag: tag.registry.region or _("Default region"),
            sort=("registry__region", "registry__name", "address", "name"),
            ranks=_by_registry("region", "name"),
            needs=Needs(fields=("registry__region",)),
            default=False,
            group=ORIGIN_GROUP,
        ),
        Column(
            name="created",
            label=gettext_lazy("Created"),
            value=lambda tag: _image_value(tag, "created"),
            sort=("image__created", "image"),
            needs=_image_needs("created"),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
            group=ORIGIN_GROUP,
        ),
        Column(
            name="pushed",
            label=gettext_lazy("Pushed"),
            value=lambda tag: tag.pushed_at,
            sort=("pushed_at",),
            needs=Needs(fields=("pushed_at",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
            group=ORIGIN_GROUP,
        ),
        Column(
            name="first_seen",
            label=gettext_lazy("First seen"),
            value=lambda tag: tag.first_seen,
            sort=("first_seen",),
            needs=Needs(fields=("first_seen",)),
            template="console/listing/time.html",
            default=False,
            descending_first=True,
            group=ORIGIN_GROUP,
        ),
        Column(
            name="security",
            label=gettext_lazy("Security status"),
            value=security,
            sort=("image__security", "image"),
            needs=_image_needs("security"),
            default=False,
            group=RISK_GROUP,
        ),
        Column(
            name="highest",
            label=gettext_lazy("Highest severity"),
            value=_severity,
            sort=("image__risk_order", "image"),
            needs=Needs(fields=("image__highest", "image__security")),
            template="inventory/cells/severity.html",
            default=False,
            descending_first=True,
            group=RISK_GROUP,
        ),
        Column(
            name="fixable",
            label=gettext_lazy("Fixable"),
            value=_fixable,
            sort=("image__fixable", "image"),
            needs=Needs(fields=("image__fixable", "image__vulnerabilities_coverage")),
            template="console/listing/number.html",
            default=False,
            descending_first=True,
            css="num",
            group=RISK_GROUP,
        ),
        Column(
            name="image_id",
            label=gettext_lazy("Image ID"),
            value=lambda tag: _image_value(tag, "image_id"),
            sort=("image__image_id",),
            needs=_image_needs("image_id"),
            template="console/listing/digest.html",
            default=False,
            group=IMAGE_GROUP,
        ),
        Column(
            name="digest",
            label=gettext_lazy("Digest"),
            value=lambda tag: tag.digest,
            sort=("digest",),
            needs=Needs(fields=("digest",)),
            template="console/listing/digest.html",
            default=False,
            group=IMAGE_GROUP,
        ),
        Column(
            name="size",
            label=gettext_lazy("Size"),
            value=lambda tag: tag.size,
            sort=("size",),
            needs=Needs(fields=("size",)),
            template="console/listing/size.html",
            default=False,
            descending_first=True,
            css="num",
            group=IMAGE_GROUP,
        ),
        Column(
            name="platform",
            label=gettext_lazy("Platform"),
            value=lambda tag: tag.image.platform if tag.image else None,
            sort=("image__os", "image__architecture", "image__variant", "image"),
            needs=Needs(fields=("image__os", "image__architecture", "image__variant")),
            default=False,
            group=IMAGE_GROUP,
        ),
        Column(
            name="os",
            label=gettext_lazy("OS"),
            value=lambda tag: _image_value(tag, "os_name"),
            sort=("image__os_name", "image"),
            needs=_image_needs("os_name"),
            default=False,
            group=IMAGE_GROUP,
        ),
        Column(
            name="layers",
            label=gettext_lazy("Layers"),
            value=lambda tag: _image_value(tag, "layer_count"),
            sort=("image__layer_count", "image"),
            needs=_image_needs("layer_count"),
            template="console/listing/number.html",
            default=False,
            descending_first=True,
            css="num",
            group=IMAGE_GROUP,
        ),
        Column(
            name="packages",
            label=gettext_lazy("Packages"),
            value=lambda tag: _image_value(tag, "packages"),
            sort=("image__packages", "image"),
            needs=_image_needs("packages"),
            template="console/listing/number.html",
            default=False,
            descending_first=True,
            css="num",
            group=IMAGE_GROUP,
        ),
    ),
    needs=Needs(
        fields=(
            *("name", "address", "image__highest", "image__security"),
            *(f"image__{name}" for name in ("scan_state", "scan_reason", "scan_remedy", "scanned_from")),
        )
    ),
    actions="inventory/cells/actions.html",
    bulk="inventory/_bulk.html",
    tools="inventory/_tools.html",
    above="inventory/_above.html",
    empty="inventory/_no_images.html",
    columns_view="inventory:image-columns",
    act="scanning:scan",
)

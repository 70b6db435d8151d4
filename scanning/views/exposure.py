"""Vulnerabilities and packages across images: where is CVE-…, where is log4j?"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import operator_required
from console.exports import list_export
from console.listing import Listing, column_picker
from console.listing import views as lists
from inventory.models import Tag
from scanning.exposure import aggregate, visible
from scanning.exposure import tables as exposure_tables
from scanning.findings.taxonomy import risk_kinds, type_label
from scanning.models import Package, Vulnerability

MAX_MATCHES_SHOWN = 20

vulnerability_columns = column_picker.make_columns_view(exposure_tables.VULNERABILITIES)
package_columns = column_picker.make_columns_view(exposure_tables.PACKAGES)
vulnerability_export = list_export.make_export_view(exposure_tables.VULNERABILITIES)
package_export = list_export.make_export_view(exposure_tables.PACKAGES)


@require_GET
def vulnerability_list(request: HttpRequest) -> HttpResponse:
    """All vulnerabilities that are in an image."""
    return _list(request, exposure_tables.VULNERABILITIES, "scanning/vulnerability_list.html", "vulnerability")


@require_GET
def package_list(request: HttpRequest) -> HttpResponse:
    """All packages that are in an image, vulnerable or not."""
    return _list(request, exposure_tables.PACKAGES, "scanning/package_list.html", "package")


@require_GET
def vulnerability(request: HttpRequest, name: str) -> HttpResponse:
    """One vulnerability: what it is, which packages have it, and the images that hold them."""
    found = get_object_or_404(Vulnerability, name=name)
    shown = list(visible.matches(found)[: MAX_MATCHES_SHOWN + 1])
    visible.set_visible_counts([found])
    visible.set_visible_counts([match.package for match in shown])
    context = {
        "vulnerability": found,
        "kinds": risk_kinds(cwes=found.cwes, vector=found.cvss_vector),
        "matches": shown[:MAX_MATCHES_SHOWN],
        "partly": visible.partly_affected(found, shown),
        "more_matches": len(shown) > MAX_MATCHES_SHOWN,
        "columns_url": reverse("scanning:affected-columns", args=[found.pk]),
        "export_url": reverse("scanning:vulnerability-images", args=[found.pk]),
    }
    return _images_page(request, exposure_tables.AFFECTED_IMAGES, found.pk, "scanning/vulnerability.html", context)


@require_GET
def package(request: HttpRequest, pk: int) -> HttpResponse:
    """One version of a package: its vulnerabilities, and the images that hold it."""
    found = get_object_or_404(Package.objects.prefetch_related(visible.licenses_prefetch()), pk=pk)
    shown = list(visible.matches_of(found)[: MAX_MATCHES_SHOWN + 1])
    visible.set_visible_counts([found])
    visible.set_visible_counts([match.vulnerability for match in shown])
    context = {
        "package": found,
        "licenses": visible.licenses_of(found),
        "type": type_label(found.type),
        "matches": shown[:MAX_MATCHES_SHOWN],
        "more_matches": len(shown) > MAX_MATCHES_SHOWN,
        "columns_url": reverse("scanning:holder-columns", args=[found.pk]),
        "export_url": reverse("scanning:package-images", args=[found.pk]),
    }
    return _images_page(request, exposure_tables.IMAGES_WITH_PACKAGE, found.pk, "scanning/package.html", context)


@require_http_methods(["GET", "POST"])
def affected_columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Custom list management of the images that have a vulnerability."""
    found = get_object_or_404(Vulnerability, pk=pk)
    return column_picker.choose(
        request, exposure_tables.AFFECTED_IMAGES, back=reverse("scanning:vulnerability", args=[found.name])
    )


@require_http_methods(["GET", "POST"])
def package_image_columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Custom list management of the images that hold a package."""
    get_object_or_404(Package, pk=pk)
    return column_picker.choose(
        request, exposure_tables.IMAGES_WITH_PACKAGE, back=reverse("scanning:package", args=[pk])
    )


@require_POST
@operator_required
def vulnerability_images(request: HttpRequest, pk: int) -> HttpResponse:
    """A workbook of the images that have a vulnerability."""
    found = get_object_or_404(Vulnerability, pk=pk)
    back = reverse("scanning:vulnerability", args=[found.name])
    return list_export.export(request, exposure_tables.AFFECTED_IMAGES, back=back, within=pk, target=found.name)


@require_POST
@operator_required
def package_images(request: HttpRequest, pk: int) -> HttpResponse:
    """A workbook of the images that hold a package."""
    found = get_object_or_404(Package, pk=pk)
    back = reverse("scanning:package", args=[pk])
    return list_export.export(request, exposure_tables.IMAGES_WITH_PACKAGE, back=back, within=pk, target=found.purl)


def _list(request: HttpRequest, listing: Listing[Any], template: str, kind: str) -> HttpResponse:
    context = {"export_url": reverse(f"scanning:{kind}-export"), "counted_at": aggregate.counted_at()}
    return lists.show(request, listing, template=template, context=context)


def _images_page(
    request: HttpRequest, listing: Listing[Tag], pk: int, template: str, context: dict[str, Any]
) -> HttpResponse:
    """Answer with the page of one thing and the images behind it, or with the list of those alone."""
    context |= {"counted_at": aggregate.counted_at()}
    return lists.show(request, listing, template=template, rows=listing.within_rows(pk), context=context)

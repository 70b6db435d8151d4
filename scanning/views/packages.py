"""Packages across images: where is log4j?"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import operator_required
from console.exports import list_export
from console.listing import column_picker
from console.listing import views as lists
from scanning.exposure import recount, scoped_queries, tables
from scanning.exposure.affected_images import IMAGES_WITH_PACKAGE
from scanning.findings.taxonomy import type_label
from scanning.models import Package

MAX_MATCHES_SHOWN = 20

package_columns = column_picker.make_columns_view(tables.PACKAGES)
package_export = list_export.make_export_view(tables.PACKAGES)


@require_GET
def package_list(request: HttpRequest) -> HttpResponse:
    """All packages that are in an image, vulnerable or not."""
    context = {"counted_at": recount.counted_at(), "export_url": reverse("scanning:package-export")}
    return lists.show(request, tables.PACKAGES, template="scanning/package_list.html", context=context)


@require_GET
def package(request: HttpRequest, pk: int) -> HttpResponse:
    """One version of a package: its vulnerabilities, and the images that hold it."""
    found = get_object_or_404(Package.objects.prefetch_related(scoped_queries.licenses_prefetch()), pk=pk)
    shown = list(scoped_queries.matches_of(found)[: MAX_MATCHES_SHOWN + 1])
    scoped_queries.set_visible_counts([found])
    scoped_queries.set_visible_counts([match.vulnerability for match in shown])
    context = {
        "counted_at": recount.counted_at(),
        "package": found,
        "licenses": scoped_queries.licenses_of(found),
        "type": type_label(found.type),
        "matches": shown[:MAX_MATCHES_SHOWN],
        "more_matches": len(shown) > MAX_MATCHES_SHOWN,
        "columns_url": reverse("scanning:holder-columns", args=[found.pk]),
        "export_url": reverse("scanning:package-images", args=[found.pk]),
    }
    rows = IMAGES_WITH_PACKAGE.within_rows(found.pk)
    return lists.show(request, IMAGES_WITH_PACKAGE, template="scanning/package.html", rows=rows, context=context)


@require_http_methods(["GET", "POST"])
def package_image_columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Custom list management of the images that hold a package."""
    get_object_or_404(Package, pk=pk)
    return column_picker.choose(request, IMAGES_WITH_PACKAGE, back=reverse("scanning:package", args=[pk]))


@require_POST
@operator_required
def package_images(request: HttpRequest, pk: int) -> HttpResponse:
    """A workbook of the images that hold a package."""
    found = get_object_or_404(Package, pk=pk)
    back = reverse("scanning:package", args=[pk])
    return list_export.export(request, IMAGES_WITH_PACKAGE, back=back, within=pk, target=found.purl)

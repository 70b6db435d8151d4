"""Vulnerabilities across images: where is CVE-…?"""

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
from scanning.exposure.affected_images import AFFECTED_IMAGES
from scanning.findings.taxonomy import risk_kinds
from scanning.models import Vulnerability

MAX_MATCHES_SHOWN = 20

vulnerability_columns = column_picker.make_columns_view(tables.VULNERABILITIES)
vulnerability_export = list_export.make_export_view(tables.VULNERABILITIES)


@require_GET
def vulnerability_list(request: HttpRequest) -> HttpResponse:
    """All vulnerabilities that are in an image."""
    context = {"counted_at": recount.counted_at(), "export_url": reverse("scanning:vulnerability-export")}
    return lists.show(request, tables.VULNERABILITIES, template="scanning/vulnerability_list.html", context=context)


@require_GET
def vulnerability(request: HttpRequest, name: str) -> HttpResponse:
    """One vulnerability: what it is, which packages have it, and the images that hold them."""
    found = get_object_or_404(Vulnerability, name=name)
    shown = list(scoped_queries.matches(found)[: MAX_MATCHES_SHOWN + 1])
    scoped_queries.set_visible_counts([found])
    scoped_queries.set_visible_counts([match.package for match in shown])
    context = {
        "counted_at": recount.counted_at(),
        "vulnerability": found,
        "kinds": risk_kinds(cwes=found.cwes, vector=found.cvss_vector),
        "matches": shown[:MAX_MATCHES_SHOWN],
        "partly": scoped_queries.partly_affected(found, shown),
        "more_matches": len(shown) > MAX_MATCHES_SHOWN,
        "columns_url": reverse("scanning:affected-columns", args=[found.pk]),
        "export_url": reverse("scanning:vulnerability-images", args=[found.pk]),
    }
    rows = AFFECTED_IMAGES.within_rows(found.pk)
    return lists.show(request, AFFECTED_IMAGES, template="scanning/vulnerability.html", rows=rows, context=context)


@require_http_methods(["GET", "POST"])
def affected_columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Custom list management of the images that have a vulnerability."""
    found = get_object_or_404(Vulnerability, pk=pk)
    return column_picker.choose(request, AFFECTED_IMAGES, back=reverse("scanning:vulnerability", args=[found.name]))


@require_POST
@operator_required
def vulnerability_images(request: HttpRequest, pk: int) -> HttpResponse:
    """A workbook of the images that have a vulnerability."""
    found = get_object_or_404(Vulnerability, pk=pk)
    back = reverse("scanning:vulnerability", args=[found.name])
    return list_export.export(request, AFFECTED_IMAGES, back=back, within=pk, target=found.name)

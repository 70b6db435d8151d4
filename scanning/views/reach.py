"""Vulnerabilities and packages across images: where is CVE-…, where is log4j?"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console import audit
from console.accounts import operator
from console.listing import Listing, Page
from console.listing import views as lists
from scanning import reach, reach_listings
from scanning.kinds import kinds, type_label
from scanning.models import Package, PackageVulnerability, Vulnerability

MATCHES_SHOWN = 20


@require_GET
def vulnerability_list(request: HttpRequest) -> HttpResponse:
    """All vulnerabilities that are in an image."""
    return _list(request, reach_listings.VULNERABILITIES, "scanning/vulnerabilities.html", "vulnerability")


@require_GET
def package_list(request: HttpRequest) -> HttpResponse:
    """All packages that are in an image, vulnerable or not."""
    return _list(request, reach_listings.PACKAGES, "scanning/packages.html", "package")


@require_http_methods(["GET", "POST"])
def vulnerability_columns(request: HttpRequest) -> HttpResponse:
    """Custom list management."""
    return lists.choose(request, reach_listings.VULNERABILITIES, back="scanning:vulnerability-list")


@require_http_methods(["GET", "POST"])
def package_columns(request: HttpRequest) -> HttpResponse:
    """Custom list management."""
    return lists.choose(request, reach_listings.PACKAGES, back="scanning:package-list")


@require_POST
@operator
def vulnerability_export(request: HttpRequest) -> HttpResponse:
    """A workbook of the vulnerabilities that match."""
    return _export(request, reach_listings.VULNERABILITIES, "vulnerability")


@require_POST
@operator
def package_export(request: HttpRequest) -> HttpResponse:
    """A workbook of the packages that match."""
    return _export(request, reach_listings.PACKAGES, "package")


@require_GET
def vulnerability(request: HttpRequest, name: str) -> HttpResponse:
    """One vulnerability: what it is, which packages have it, and the images that hold them."""
    found = get_object_or_404(Vulnerability, name=name)
    matches = (
        PackageVulnerability.objects.filter(vulnerability=found, package__images__gt=0)
        .select_related("package")
        .order_by("-package__images", "package__name", "pk")
    )
    shown = list(matches[: MATCHES_SHOWN + 1])
    context = {
        "vulnerability": found,
        "kinds": kinds(cwes=found.cwes, vector=found.cvss_vector),
        "matches": shown[:MATCHES_SHOWN],
        "more_matches": len(shown) > MATCHES_SHOWN,
        "export_url": reverse("scanning:vulnerability-images", args=[found.pk]),
    }
    return _behind(request, found, _of_vulnerability(found), "scanning/vulnerability.html", context)


@require_GET
def package(request: HttpRequest, pk: int) -> HttpResponse:
    """One version of a package: its vulnerabilities, and the images that hold it."""
    found = get_object_or_404(Package, pk=pk)
    matches = found.matches.select_related("vulnerability").order_by("-severity", "vulnerability__name")
    shown = list(matches[: MATCHES_SHOWN + 1])
    context = {
        "package": found,
        "type": type_label(found.type),
        "matches": shown[:MATCHES_SHOWN],
        "more_matches": len(shown) > MATCHES_SHOWN,
        "export_url": reverse("scanning:package-images", args=[found.pk]),
    }
    return _behind(request, found, Package.objects.filter(pk=found.pk), "scanning/package.html", context)


@require_POST
@operator
def vulnerability_images(request: HttpRequest, pk: int) -> HttpResponse:
    """A workbook of the images that have a vulnerability."""
    found = get_object_or_404(Vulnerability, pk=pk)
    return _export(
        request, reach_listings.affected(_of_vulnerability(found), images=found.images), "vulnerability", found.name
    )


@require_POST
@operator
def package_images(request: HttpRequest, pk: int) -> HttpResponse:
    """A workbook of the images that hold a package."""
    found = get_object_or_404(Package, pk=pk)
    return _export(
        request, reach_listings.affected(Package.objects.filter(pk=pk), images=found.images), "package", found.purl
    )


def _of_vulnerability(found: Vulnerability) -> QuerySet[Package]:
    return Package.objects.filter(matches__vulnerability=found)


def _list(request: HttpRequest, listing: Listing[Any], template: str, kind: str) -> HttpResponse:
    context = {"export_url": reverse(f"scanning:{kind}-export"), "counted_at": reach.counted_at()}
    return lists.show(request, listing, template=template, context=context)


def _behind(
    request: HttpRequest,
    found: Vulnerability | Package,
    packages: QuerySet[Package],
    template: str,
    context: dict[str, Any],
) -> HttpResponse:
    """Answer with the page of one thing and the images behind it, or with the list of those alone."""
    partial = lists.is_partial(request, "list")
    page = Page(reach_listings.affected(packages, images=found.images), request.GET, path=request.path)
    context |= {"page": page, "counted_at": reach.counted_at()}
    response = render(request, "console/listing/list.html" if partial else template, context)
    if partial:
        response["HX-Push-Url"] = f"{request.path}{page.here if page.here != '?' else ''}"
    patch_vary_headers(response, ["HX-Request"])
    return response


def _export(request: HttpRequest, listing: Listing[Any], kind: str, of: str = "") -> HttpResponse:
    response = lists.export(request, listing, back=f"scanning:{kind}-list")
    if response.status_code == 200:
        audit.record(request, f"{kind}.export", of or request.POST.get("view", ""))
    return response

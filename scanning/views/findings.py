"""The findings tabs in the drawer of an image."""

from __future__ import annotations

from io import BytesIO
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import operator_required
from console.audit import trail
from console.exports import list_export, make
from console.listing import Listing, Page, column_picker
from console.listing.registered_listings import get_listing
from inventory import image_detail
from inventory.content.built_layers import built_layers
from inventory.models import Tag
from scanning.findings import coverage
from scanning.findings import tables as findings_tables
from scanning.findings.build_history import STEP_COLUMNS, StepPage

TAB_TARGET_ID = "findings"  # id of the element that holds the open tab


@require_GET
def vulnerabilities(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Vulnerabilities of the packages of an image."""
    return _tab(request, _tag(tag_id), findings_tables.VULNERABILITIES, "vulnerabilities")


@require_GET
def malware(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Viruses and trojans in an image."""
    return _tab(request, _tag(tag_id), findings_tables.MALWARE, "malware")


@require_GET
def sensitive(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Sensitive data in an image."""
    return _tab(request, _tag(tag_id), findings_tables.SENSITIVE, "sensitive")


@require_GET
def packages(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Packages in an image, with how many vulnerabilities each has."""
    return _tab(request, _tag(tag_id), findings_tables.PACKAGES, "vulnerabilities")


@require_http_methods(["GET", "POST"])
def columns(request: HttpRequest, tag_id: int, name: str) -> HttpResponse:
    """Custom list management of the findings of one kind: what is exported of each, and what they are sorted by."""
    return column_picker.choose(request, get_listing(name), back=reverse(f"scanning:{name}", args=[_tag(tag_id).pk]))


@require_GET
def history(request: HttpRequest, tag_id: int) -> HttpResponse:
    """The steps that built an image, each with its layer, its size and what was found in it."""
    tag = _tag(tag_id)
    page = StepPage(tag, request.GET, path=reverse("scanning:history", args=[tag.pk]), target=TAB_TARGET_ID)
    return _respond(request, tag, "history", {"page": page})


@require_POST
@operator_required
def history_export(request: HttpRequest, tag_id: int) -> HttpResponse:
    """A file of the steps that match, all of them."""
    tag, view = _tag(tag_id), QueryDict(request.POST.get("view", "").removeprefix("?"))
    page, format = StepPage(tag, view, path="", target=TAB_TARGET_ID), list_export.requested_format(request)
    file = BytesIO()
    make.write_file(file, format, title=_("Image build history"), columns=STEP_COLUMNS, rows=page.lines)
    detail = {
        "view": page.here.removeprefix("?"),
        "format": format.value,
        "columns": [each.name for each in STEP_COLUMNS],
    }
    trail.record(request, "export", f"history {tag.pk}", detail | {"background": False})
    return list_export.file_response(file, "history", format)


def _tag(tag_id: int) -> Tag:
    return get_object_or_404(image_detail.tags_with_detail(), pk=tag_id)


def _tab(request: HttpRequest, tag: Tag, listing: Listing[Any], category: str) -> HttpResponse:
    rows = listing.within_rows(tag.pk)
    path, chosen = reverse(f"scanning:{listing.name}", args=[tag.pk]), column_picker.chosen_columns(request, listing)
    page = Page(listing, request.GET, chosen=chosen, rows=rows, target=TAB_TARGET_ID, path=path)
    layers = {layer.diff_id: layer for layer in built_layers(tag)}
    for row in page.rows:
        diff_ids = (
            [place.diff_id for place in row.variant.places]
            if hasattr(row, "variant") and hasattr(row.variant, "places")
            else [row.diff_id]
        )
        row.layer = next((layers[one] for one in diff_ids if one in layers), None)
    known = coverage.coverage_of(tag.image, category) if tag.image else coverage.Coverage("not-scanned", busy=False)
    context = {"listing": listing, "columns_url": reverse(f"scanning:{listing.name}-columns", args=[tag.pk])}
    return _respond(request, tag, listing.name, context | {"page": page, "coverage": known})


def _respond(request: HttpRequest, tag: Tag, name: str, context: dict[str, Any]) -> HttpResponse:
    """Answer htmx with the tab alone, anybody else with the page of the image that has this tab open."""
    context |= {"tab_template": f"scanning/_{name}.html", "image": tag.image, "row": tag, "tab": name}
    page: Page[Any] | StepPage = context["page"]
    if getattr(request, "htmx", None) and not request.htmx.history_restore_request:  # type: ignore[attr-defined]
        response = render(request, "scanning/_findings_tab.html", context)
        if request.htmx.trigger != TAB_TARGET_ID:  # type: ignore[attr-defined]
            state = page.here.removeprefix("?")
            address = f"{reverse('inventory:image', args=[tag.pk])}?{urlencode({'tab': name})}"
            response["HX-Replace-Url"] = f"{address}{state and '&'}{state}"
    else:
        whole = image_detail.context(tag, tab=name, query=request.GET)
        response = render(request, "inventory/image.html", {**whole, **context, "panel": "scanning/_findings_tab.html"})
    patch_vary_headers(response, ["HX-Request"])
    return response

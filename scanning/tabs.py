"""The findings tabs in the drawer of an image."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, Model, QuerySet, Value
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET, require_http_methods

from console.listing import Listing, Page
from console.listing import views as lists
from console.listing.declared import declared
from inventory import build, details
from inventory.models import Image, Tag
from scanning import coverage, listings
from scanning.models import ImagePackage, MalwareFinding, SecretFinding

TARGET = "findings"  # id of the element that holds the open tab
STEPS_SHOWN = 500


@require_GET
def vulnerabilities(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Vulnerabilities of the packages of an image."""
    return _tab(request, _tag(tag_id), listings.VULNERABILITIES, "vulnerabilities")


@require_GET
def malware(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Viruses and trojans in an image."""
    return _tab(request, _tag(tag_id), listings.MALWARE, "malware")


@require_GET
def sensitive(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Sensitive data in an image."""
    return _tab(request, _tag(tag_id), listings.SENSITIVE, "sensitive")


@require_GET
def packages(request: HttpRequest, tag_id: int) -> HttpResponse:
    """Packages in an image, with how many vulnerabilities each has."""
    return _tab(request, _tag(tag_id), listings.PACKAGES, "vulnerabilities")


@require_http_methods(["GET", "POST"])
def columns(request: HttpRequest, tag_id: int, name: str) -> HttpResponse:
    """Custom list management of the findings of one kind: what is exported of each, and what they are sorted by."""
    return lists.choose(request, declared(name), back=reverse(f"scanning:{name}", args=[_tag(tag_id).pk]))


@require_GET
def history(request: HttpRequest, tag_id: int) -> HttpResponse:
    """The steps that built an image, each with its layer, its size and what was found in it."""
    tag = _tag(tag_id)
    layers = build.layers(tag)
    by_step = {layer.step: layer for layer in layers if layer.step}
    found = _found_by_layer(tag.image) if tag.image else {}
    image_history = tag.image.history if tag.image else []
    steps = [
        {
            "number": number,
            "command": build.command(tag.image, number - 1) if tag.image else "",
            "layer": (layer := by_step.get(number)),
            "found": found.get(layer.diff_id) if layer else None,
        }
        for number in range(1, min(len(image_history), STEPS_SHOWN) + 1)
    ]
    untold = [{"layer": layer, "found": found.get(layer.diff_id)} for layer in layers if not layer.step]
    hidden = max(0, len(image_history) - STEPS_SHOWN)
    return _answer(request, tag, "history", {"steps": steps, "untold": untold, "hidden": hidden})


def _found_by_layer(image: Image) -> dict[str, dict[str, int]]:
    """Return what was found in each layer of ``image``: diff ID → kind of finding → how many."""
    found: dict[str, dict[str, int]] = {}
    queries: list[tuple[QuerySet[Any], str]] = [
        (
            ImagePackage.objects.filter(image=image, package__matches__isnull=False)
            .values("diff_id", "package__matches__severity")
            .annotate(n=Count("package__matches", distinct=True))
            .values_list("diff_id", "package__matches__severity", "n"),
            "",
        ),
        (_counted(MalwareFinding, image, "malware"), "malware"),
        (_counted(SecretFinding, image, "sensitive"), "sensitive"),
    ]
    for rows, name in queries:
        for diff_id, severity, n in rows:
            kind = name or Image.Severity(severity).name.lower()
            kinds = found.setdefault(diff_id, dict.fromkeys(("critical", "high", "medium", "low", "unknown"), 0))
            kinds[kind] = kinds.get(kind, 0) + n
    return found


def _counted(model: type[Model], image: Image, kind: str) -> QuerySet[Any]:
    rows = model._default_manager.filter(image=image).order_by().values("diff_id")
    counted: QuerySet[Any] = rows.annotate(n=Count("pk")).values_list("diff_id", Value(kind), "n")
    return counted


def _tag(tag_id: int) -> Tag:
    return get_object_or_404(details.tags(), pk=tag_id)


def _tab(request: HttpRequest, tag: Tag, listing: Listing[Any], category: str) -> HttpResponse:
    rows = listing.within_rows(tag.pk)
    path, chosen = reverse(f"scanning:{listing.name}", args=[tag.pk]), lists.chosen_columns(request, listing)
    page = Page(listing, request.GET, chosen=chosen, rows=rows, target=TARGET, path=path)
    layers = {layer.diff_id: layer for layer in build.layers(tag)}
    for row in page.rows:
        diff_ids = (
            [place.diff_id for place in row.package.places]
            if hasattr(row, "package") and hasattr(row.package, "places")
            else [row.diff_id]
        )
        row.layer = next((layers[one] for one in diff_ids if one in layers), None)
    known = coverage.of(tag.image, category) if tag.image else coverage.Coverage("not-scanned", busy=False)
    context = {"listing": listing, "columns_url": reverse(f"scanning:{listing.name}-columns", args=[tag.pk])}
    return _answer(request, tag, listing.name, context | {"page": page, "coverage": known})


def _answer(request: HttpRequest, tag: Tag, name: str, context: dict[str, Any]) -> HttpResponse:
    """Answer htmx with the tab alone, anybody else with the page of the image that has this tab open."""
    context |= {"tab_template": f"scanning/_{name}.html", "image": tag.image, "row": tag, "tab": name}
    page: Page[Any] | None = context.get("page")
    if getattr(request, "htmx", None) and not request.htmx.history_restore_request:  # type: ignore[attr-defined]
        response = render(request, "scanning/_tab.html", context)
        if request.htmx.trigger != TARGET:  # type: ignore[attr-defined]
            state = page.here.removeprefix("?") if page else ""
            address = f"{reverse('inventory:image', args=[tag.pk])}?{urlencode({'tab': name})}"
            response["HX-Replace-Url"] = f"{address}{state and '&'}{state}"
    else:
        whole = details.context(tag, tab=name, query=request.GET)
        response = render(request, "inventory/image.html", {**whole, **context, "panel": "scanning/_tab.html"})
    patch_vary_headers(response, ["HX-Request"])
    return response

"""What the views of every list do: show it, and export it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.cache import patch_vary_headers
from django_htmx.middleware import HtmxDetails

from console.accounts.permissions import signed_in_user
from console.listing import saved_views
from console.listing.column_picker import chosen_columns
from console.listing.columns import Row
from console.listing.listing import Listing
from console.listing.page import Page
from console.listing.registered_listings import page_url_name as page_name


def build_page(request: HttpRequest, listing: Listing[Row], rows: QuerySet[Row] | None = None) -> Page[Row]:
    """Return the page of ``listing`` that the address asks for, with the saved views where it has a page of its own."""
    user = signed_in_user(request)
    views = list(saved_views.visible_views(user, listing.name)) if page_name(listing.name) else None
    chosen = chosen_columns(request, listing)
    return Page(listing, request.GET, chosen=chosen, path=request.path, rows=rows, views=views, own=user.pk)


def show(
    request: HttpRequest,
    listing: Listing[Any],
    *,
    template: str,
    fragment: str = "console/listing/list.html",
    target: str = "list",
    rows: QuerySet[Any] | None = None,
    context: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Answer with the page ``template``, or with ``fragment`` where htmx asks for the element of the id ``target``.

    A bare address leads to the default view of the person, and one with nothing but a view to all that view holds.
    """
    page = build_page(request, listing, rows)
    partial = is_partial(request, target)
    if not partial and (address := _saved_view_query(request, page)):
        return redirect(f"{request.path}{address}")
    response = render(request, fragment if partial else template, {**(context or {}), "page": page})
    if partial:
        response["HX-Push-Url"] = f"{request.path}{page.here if page.here != '?' else ''}"
    patch_vary_headers(response, ["HX-Request"])
    return response


def _saved_view_query(request: HttpRequest, page: Page[Any]) -> str:
    """Return the whole address of the saved view that is asked for by its name alone, or by nothing as the default."""
    view = page.view if set(request.GET) == {"view"} else None if request.GET else page.default
    address = saved_views.view_query(view) if view else ""
    return address if address != f"?{request.META['QUERY_STRING']}" else ""


def is_partial(request: HttpRequest, target: str) -> bool:
    """Return whether htmx asks for the element with the id ``target`` alone. A return by history wants the page."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.history_restore_request and htmx.target == target

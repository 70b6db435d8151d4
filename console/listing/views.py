"""What the views of every list do: show it, and export it."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django_htmx.middleware import HtmxDetails

from console.accounts.sign_in import person
from console.audit import trail
from console.db import primary_keys, statement_timeout
from console.exports import enqueue as exports_enqueue
from console.exports import make
from console.exports.files import CONTENT_TYPES
from console.exports.models import Export
from console.listing import filters as filtering
from console.listing import saved_views
from console.listing.column_picker import choose, chosen_columns
from console.listing.columns import Row
from console.listing.listing import Listing, SelectionError
from console.listing.page import Page
from console.listing.registration import page_of as page_name

__all__ = ["as_file", "choose", "chosen_columns", "export", "format_of", "is_partial", "page_of", "show"]

EXPORTED_AT_ONCE = 5_000  # rows; more are written in the background


def page_of(request: HttpRequest, listing: Listing[Row], rows: QuerySet[Row] | None = None) -> Page[Row]:
    """Return the page of ``listing`` that the address asks for, with the saved views where it has a page of its own."""
    user = person(request)
    views = list(saved_views.visible(user, listing.name)) if page_name(listing.name) else None
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
    page = page_of(request, listing, rows)
    partial = is_partial(request, target)
    if not partial and (address := _address_of_view(request, page)):
        return redirect(f"{request.path}{address}")
    response = render(request, fragment if partial else template, {**(context or {}), "page": page})
    if partial:
        response["HX-Push-Url"] = f"{request.path}{page.here if page.here != '?' else ''}"
    patch_vary_headers(response, ["HX-Request"])
    return response


def _address_of_view(request: HttpRequest, page: Page[Any]) -> str:
    """Return the whole address of the saved view that is asked for by its name alone, or by nothing as the default."""
    view = page.view if set(request.GET) == {"view"} else None if request.GET else page.default
    address = saved_views.address(view) if view else ""
    return address if address != f"?{request.META['QUERY_STRING']}" else ""


def is_partial(request: HttpRequest, target: str) -> bool:
    """Return whether htmx asks for the element with the id ``target`` alone. A return by history wants the page."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.history_restore_request and htmx.target == target


def export(
    request: HttpRequest, listing: Listing[Any], *, back: str, within: int | None = None, target: str = ""
) -> HttpResponse:
    """Answer with a file of the chosen rows in the columns and the order of the view they were chosen in.

    Many rows are written in the background, and the answer leads to the page of exports. ``back`` is the URL name of
    the list, or its address. ``within`` narrows the list to the rows of one thing; ``target`` names that in the trail.
    """
    view = QueryDict(request.POST.get("view", "").removeprefix("?"))
    format = format_of(request)
    columns = listing.chosen(chosen_columns(request, listing, view=view))
    ids = [] if request.POST.get("all") else primary_keys.keys(request.POST.getlist("ids"))
    detail = {"view": view.urlencode(), "format": format.value, "columns": [column.name for column in columns]}
    try:
        rows = listing.selected(view=view, chosen=request.POST, within=within)
        many = rows.order_by()[: EXPORTED_AT_ONCE + 1].count() > EXPORTED_AT_ONCE
        if many:
            exports_enqueue.ask(
                user=person(request),
                listing=listing.name,
                view=view.urlencode(),
                columns=detail["columns"],
                format=format,
                ids=ids,
                within=within,
                description=_in_words(listing, view, len(ids)),
            )
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return redirect(_address(back, view))
    except exports_enqueue.TooMany:
        messages.error(
            request,
            _("%(n)d exports of yours are under way. Wait for one of them, or cancel it.")
            % {"n": exports_enqueue.AT_WORK},
        )
        return redirect("console:export-list")
    trail.record(request, "export", target or listing.name, detail | {"background": many})
    if many:
        messages.info(request, _("These are many rows: the file is being written in the background, and appears here."))
        return redirect("console:export-list")
    file = BytesIO()
    with statement_timeout.longer():
        keys = make.keys_of(listing, rows, sort=view.get("sort"))
        values = make.values(listing, keys, columns, within=within)
        make.write(file, format, title=str(listing.title), columns=columns, rows=values)
    return as_file(file, listing.name, format)


def format_of(request: HttpRequest) -> Export.Format:
    """Return the format that an export is asked for in, Excel where that is none."""
    asked = request.POST.get("format", "")
    return Export.Format(asked) if asked in Export.Format.values else Export.Format.XLSX


def as_file(file: BytesIO, name: str, format: Export.Format) -> HttpResponse:
    """Answer with what an export has written, under ``name`` and the time."""
    whole = f"{name}-{timezone.localtime():%Y-%m-%d-%H%M}.{format.value}"
    return HttpResponse(
        file.getvalue(),
        content_type=CONTENT_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{whole}"'},
    )


def _in_words(listing: Listing[Any], view: QueryDict, selected: int) -> str:
    """Return which rows of ``listing`` are meant by a selection, or by all that match ``view``."""
    if selected:
        return ngettext("%(n)d selected row", "%(n)d selected rows", selected) % {"n": selected}
    filters, _notices = filtering.read(listing.filterset, view, listing.queryset())
    parts = [f"{one.label}: {one.text}" for one in filtering.active(filters)] or [_("All rows")]
    column, _descending = (
        listing.sorting(view.get("sort", "")) or listing.sorting(listing.default_sort) or (None, False)
    )
    if column:
        parts.append(_("sorted by %(column)s") % {"column": column.label})
    return " · ".join(parts)


def _address(back: str, view: QueryDict) -> str:
    query = view.urlencode()
    return f"{back if back.startswith('/') else reverse(back)}{query and '?'}{query}"

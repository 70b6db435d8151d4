"""A list as a file: sent at once where it is short, written in the background where it is long."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.accounts.permissions import operator_required, signed_in_user
from console.audit import trail
from console.db import primary_keys, statement_timeout
from console.exports import enqueue, make
from console.exports.files import CONTENT_TYPES
from console.exports.models import Export
from console.listing import filters as filtering
from console.listing.column_picker import chosen_columns
from console.listing.listing import Listing, SelectionError
from console.listing.registration import page_url_name

MAX_IMMEDIATE_EXPORT_ROWS = 5_000  # rows; more are written in the background


def make_export_view(listing: Listing[Any]) -> Callable[[HttpRequest], HttpResponse]:
    """Return the view that lets operators export a ``listing`` with a page of its own: what is selected, or all that
    matches.
    """

    @require_POST
    @operator_required
    def view(request: HttpRequest) -> HttpResponse:
        return export(request, listing, back=page_url_name(listing.name))

    return view


def export(
    request: HttpRequest, listing: Listing[Any], *, back: str, within: int | None = None, target: str = ""
) -> HttpResponse:
    """Answer with a file of the chosen rows in the columns and the order of the view they were chosen in.

    Many rows are written in the background, and the answer leads to the page of exports. ``back`` is the URL name of
    the list, or its address. ``within`` narrows the list to the rows of one thing; ``target`` names that in the trail.
    """
    view = QueryDict(request.POST.get("view", "").removeprefix("?"))
    format = requested_format(request)
    columns = listing.chosen(chosen_columns(request, listing, view=view))
    ids = [] if request.POST.get("all") else primary_keys.parse_keys(request.POST.getlist("ids"))
    detail = {"view": view.urlencode(), "format": format.value, "columns": [column.name for column in columns]}
    try:
        rows = listing.selected(view=view, chosen=request.POST, within=within)
        many = rows.order_by()[: MAX_IMMEDIATE_EXPORT_ROWS + 1].count() > MAX_IMMEDIATE_EXPORT_ROWS
        if many:
            enqueue.request_export(
                user=signed_in_user(request),
                listing=listing.name,
                view=view.urlencode(),
                columns=detail["columns"],
                format=format,
                ids=ids,
                within=within,
                description=_describe_rows(listing, view, len(ids)),
            )
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return redirect(_list_url(back, view))
    except enqueue.TooManyExports:
        messages.error(
            request,
            _("You have %(n)d unfinished exports. Wait for one of them, or cancel it.")
            % {"n": enqueue.MAX_UNFINISHED_EXPORTS},
        )
        return redirect("console:export-list")
    trail.record(request, "export", target or listing.name, detail | {"background": many})
    if many:
        messages.info(request, _("The export is large: the file is written in the background and is listed here."))
        return redirect("console:export-list")
    file = BytesIO()
    with statement_timeout.allow_export_time():
        keys = make.ordered_keys(listing, rows, sort=view.get("sort"))
        values = make.row_values(listing, keys, columns, within=within)
        make.write_file(file, format, title=str(listing.title), columns=columns, rows=values)
    return file_response(file, listing.name, format)


def requested_format(request: HttpRequest) -> Export.Format:
    """Return the format that an export is asked for in, Excel where that is none."""
    requested = request.POST.get("format", "")
    return Export.Format(requested) if requested in Export.Format.values else Export.Format.XLSX


def file_response(file: BytesIO, name: str, format: Export.Format) -> HttpResponse:
    """Answer with what an export has written, under ``name`` and the time."""
    whole = f"{name}-{timezone.localtime():%Y-%m-%d-%H%M}.{format.value}"
    return HttpResponse(
        file.getvalue(),
        content_type=CONTENT_TYPES[format],
        headers={"Content-Disposition": f'attachment; filename="{whole}"'},
    )


def _describe_rows(listing: Listing[Any], view: QueryDict, selected: int) -> str:
    """Return which rows of ``listing`` are meant by a selection, or by all that match ``view``."""
    if selected:
        return ngettext("%(n)d selected row", "%(n)d selected rows", selected) % {"n": selected}
    filters, _notices = filtering.read_filters(listing.filterset, view, listing.queryset())
    parts = [f"{one.label}: {one.text}" for one in filtering.active_filters(filters)] or [_("All rows")]
    column, _descending = (
        listing.sorting(view.get("sort", "")) or listing.sorting(listing.default_sort) or (None, False)
    )
    if column:
        parts.append(_("sorted by %(column)s") % {"column": column.label})
    return " · ".join(parts)


def _list_url(back: str, view: QueryDict) -> str:
    query = view.urlencode()
    return f"{back if back.startswith('/') else reverse(back)}{query and '?'}{query}"

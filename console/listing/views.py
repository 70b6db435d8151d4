"""What the views of every list do: show it, choose its columns, export it."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django_htmx.middleware import HtmxDetails

from console.accounts import person
from console.listing import workbook
from console.listing.columns import Column, Row
from console.listing.listing import COUNTED_EXACTLY, Listing, SelectionError
from console.listing.page import Page

EXPORTED_AT_ONCE = COUNTED_EXACTLY  # rows; more belong into the background
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def chosen_columns(request: HttpRequest, listing: Listing[Any]) -> list[str] | None:
    """Return the names of the columns this person has chosen for ``listing``, None where none were."""
    names = getattr(request.user, "columns", {}).get(listing.name)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else None


def page_of(request: HttpRequest, listing: Listing[Row]) -> Page[Row]:
    """Return the page of ``listing`` that the address asks for."""
    return Page(listing, request.GET, chosen=chosen_columns(request, listing), path=request.path)


def show(
    request: HttpRequest,
    listing: Listing[Any],
    *,
    template: str,
    fragment: str = "console/listing/list.html",
    target: str = "list",
    context: Mapping[str, Any] | None = None,
) -> HttpResponse:
    """Answer with the page ``template``, or with ``fragment`` where htmx asks for the element of the id ``target``."""
    page = page_of(request, listing)
    partial = is_partial(request, target)
    response = render(request, fragment if partial else template, {**(context or {}), "page": page})
    if partial:
        response["HX-Push-Url"] = f"{request.path}{page.here if page.here != '?' else ''}"
    patch_vary_headers(response, ["HX-Request"])
    return response


def is_partial(request: HttpRequest, target: str) -> bool:
    """Return whether htmx asks for the element with the id ``target`` alone. A return by history wants the page."""
    htmx: HtmxDetails | None = getattr(request, "htmx", None)
    return htmx is not None and bool(htmx) and not htmx.history_restore_request and htmx.target == target


def choose(request: HttpRequest, listing: Listing[Any], *, back: str) -> HttpResponse:
    """Show the dialog in which columns are chosen and ordered, and keep the choice for this person.

    The form carries the order as repeated ``shown``; its buttons move, hide or show one column and send it back, so
    that it works without scripts as well.
    """
    user = person(request)
    if request.method == "POST":
        names = _arranged(listing, request.POST)
        if "save" in request.POST or "reset" in request.POST:
            kept = {**user.columns, listing.name: names}
            if "reset" in request.POST:
                del kept[listing.name]
            user.columns = kept
            user.save(update_fields=["columns"])
            query = request.META["QUERY_STRING"]
            return redirect(f"{reverse(back)}{query and '?'}{query}")
        shown = listing.chosen(names)
    else:
        shown = listing.chosen(chosen_columns(request, listing))
    groups: dict[str, list[Column[Any]]] = {}
    for column in listing.columns:
        if not column.locked:
            groups.setdefault(str(column.group), []).append(column)
    template = "_columns.html" if getattr(request, "htmx", None) else "columns.html"
    others = [column for column in listing.columns if column not in shown]
    context = {"listing": listing, "shown": shown, "others": others, "groups": groups, "back": reverse(back)}
    return render(request, f"console/listing/{template}", context)


def _arranged(listing: Listing[Any], form: QueryDict) -> list[str]:
    """Return the names of the columns in the order the form asks for, at least one of them."""
    boxes = set(form.getlist("box"))
    names = [name for name in dict.fromkeys(form.getlist("shown")) if name in boxes]
    names += [column.name for column in listing.columns if column.name in boxes and column.name not in names]
    for step, name in ((-1, form.get("up")), (1, form.get("down"))):
        if name in names:
            here = names.index(name)
            there = min(max(here + step, 0), len(names) - 1)
            names[here], names[there] = names[there], names[here]
    return [name for name in names if name != form.get("hide")] or names


def export(request: HttpRequest, listing: Listing[Any], *, back: str) -> HttpResponse:
    """Answer with a workbook of the chosen rows in the columns and the order of the view they were chosen in."""
    view = QueryDict(request.POST.get("view", "").removeprefix("?"))
    try:
        rows = listing.selected(view=view, chosen=request.POST)
        if rows.order_by()[: EXPORTED_AT_ONCE + 1].count() > EXPORTED_AT_ONCE:
            raise SelectionError(
                _("More than %(n)s rows match. Narrow the filters, then export again.") % {"n": f"{EXPORTED_AT_ONCE:,}"}
            )
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return redirect(f"{reverse(back)}?{view.urlencode()}")
    columns = listing.chosen(chosen_columns(request, listing))
    file = BytesIO()
    workbook.write(
        file,
        title=str(listing.title),
        labels=[str(column.label) for column in columns],
        rows=(
            [column.value(row) for column in columns]
            for row in listing.rows(rows, columns, sort=view.get("sort")).iterator(chunk_size=1000)
        ),
    )
    name = f"{listing.name}-{timezone.localtime():%Y-%m-%d-%H%M}.xlsx"
    return HttpResponse(
        file.getvalue(), content_type=XLSX, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )

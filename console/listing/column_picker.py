"""Custom list management: which columns of a list somebody sees, in which order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console.accounts.models import User
from console.accounts.permissions import signed_in_user
from console.feedback import undo
from console.listing import saved_views
from console.listing.columns import Column
from console.listing.listing import Listing
from console.listing.models import SavedView
from console.listing.registration import page_url_name


def chosen_columns(request: HttpRequest, listing: Listing[Any], *, view: QueryDict | None = None) -> list[str] | None:
    """Return the names of the columns this person has chosen for ``listing``, None where none were.

    Those of the saved view that ``view``, the query of a page, names come first.
    """
    names = None
    if view and view.get("view") and (found := _find_view(signed_in_user(request), listing, view)):
        names = found.columns
    names = names or getattr(request.user, "columns", {}).get(listing.name)
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else None


def _find_view(user: User, listing: Listing[Any], view: QueryDict) -> SavedView | None:
    return saved_views.find_view(list(saved_views.visible_views(user, listing.name)), view.get("view", ""))


def save_columns(user: User, listing: str, names: list[str] | None) -> None:
    """Keep the columns of ``listing`` for ``user``; None goes back to the default ones."""
    columns_by_listing = {name: columns for name, columns in user.columns.items() if name != listing}
    user.columns = columns_by_listing | ({listing: names} if names else {})
    user.save(update_fields=["columns"])


def restore(user: User, values: dict[str, Any]) -> None:
    """Take back a choice of columns."""
    if values.get("view"):
        SavedView.objects.filter(pk=values["view"], user=user).update(columns=values["columns"])
    else:
        save_columns(user, values["listing"], values["columns"])


def make_columns_view(listing: Listing[Any]) -> Callable[[HttpRequest], HttpResponse]:
    """Return the view with the dialog of :func:`choose` for a ``listing`` that has a page of its own."""

    @require_http_methods(["GET", "POST"])
    def view(request: HttpRequest) -> HttpResponse:
        return choose(request, listing, back=page_url_name(listing.name))

    return view


def choose(request: HttpRequest, listing: Listing[Any], *, back: str) -> HttpResponse:
    """Show the dialog in which columns are chosen and ordered, and keep the choice for this person.

    The form carries the order as repeated ``shown``; its buttons move, hide or show one column and send it back, so
    that it works without scripts as well. Where a saved view of this person is open, the choice becomes part of it.
    ``back`` is the URL name of the list, or its address.
    """
    back = back if back.startswith("/") else reverse(back)
    if request.method == "POST":
        names = _reordered(listing, request.POST)
        if "save" in request.POST or "reset" in request.POST:
            return _save_choice(request, listing, None if "reset" in request.POST else names, back=back)
        shown = listing.chosen(names)
    else:
        shown = listing.chosen(chosen_columns(request, listing, view=request.GET))
    groups: dict[str, list[Column[Any]]] = {}
    for column in listing.columns:
        if not column.locked:
            groups.setdefault(str(column.group), []).append(column)
    template = "_columns.html" if getattr(request, "htmx", None) else "columns.html"
    others = [column for column in listing.columns if column not in shown]
    context = {"listing": listing, "shown": shown, "others": others, "groups": groups, "back": back}
    return render(request, f"console/listing/{template}", context)


def _save_choice(request: HttpRequest, listing: Listing[Any], names: list[str] | None, *, back: str) -> HttpResponse:
    user = signed_in_user(request)
    view = _find_view(user, listing, request.GET) if request.GET.get("view") else None
    before: dict[str, Any] = {"listing": listing.name, "columns": user.columns.get(listing.name)}
    if view is not None and view.user_id == user.pk:
        before = {"listing": listing.name, "view": view.pk, "columns": view.columns}
        view.columns = names
        view.save(update_fields=["columns"])
    else:
        save_columns(user, listing.name, names)
    text = _("The columns are reset to the default.") if names is None else _("Your columns are saved.")
    undo.offer_undo(request, text, action="columns.change", values=before)
    query = request.META["QUERY_STRING"]
    return redirect(f"{back}{query and '?'}{query}")


def _reordered(listing: Listing[Any], form: QueryDict) -> list[str]:
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

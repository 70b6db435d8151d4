"""Saving views of lists, and the page on which they are managed."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import signed_in_user
from console.feedback import undo
from console.listing import filters as filtering
from console.listing import saved_views
from console.listing.column_picker import chosen_columns
from console.listing.listing import Listing
from console.listing.models import SavedView
from console.listing.registered_listings import get_listing, page_url_name


@require_GET
def view_list(request: HttpRequest, listing: str) -> HttpResponse:
    """The views of one list: the own ones, which can be changed here, and those that others share."""
    found, page = _listing_and_url(listing)
    user = signed_in_user(request)
    rows: list[dict[str, Any]] = []
    for view in saved_views.visible_views(user, listing):
        filters, _notices = filtering.read_filters(found.filterset, QueryDict(view.query), found.queryset())
        sorting = found.sorting(QueryDict(view.query).get("sort", "")) or found.sorting(found.default_sort)
        rows.append(
            {
                "view": view,
                "own": view.user_id == user.pk,
                "url": f"{page}{saved_views.view_query(view)}",
                "filters": list(filtering.active_filters(filters)),
                "sorting": sorting,
                "columns": [column.label for column in found.chosen(view.columns)] if view.columns else [],
            }
        )
    context = {"listing": found, "rows": rows, "page_url": page}
    return render(request, "console/listing/view_list.html", context)


@require_POST
def save(request: HttpRequest, listing: str) -> HttpResponse:
    """Keep the view of the form: under ``name`` as a new one, or with ``update`` in the own view that is open."""
    found, page = _listing_and_url(listing)
    user = signed_in_user(request)
    here = QueryDict(request.POST.get("view", "").removeprefix("?"))
    query = saved_views.query_to_save(here.urlencode())
    columns = chosen_columns(request, found, view=here)
    if "update" in request.POST:
        key = request.POST["update"]
        if not (key.isascii() and key.isdecimal()):
            raise Http404
        view = get_object_or_404(SavedView, pk=key, user=user, listing=listing)
        view.query, view.columns = query, columns
        view.save(update_fields=["query", "columns"])
        messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
        return redirect(f"{page}{saved_views.view_query(view)}")
    name = " ".join(request.POST.get("name", "").split())
    problem = _name_problem(user.pk, listing, name)
    if not problem and SavedView.objects.filter(user=user, listing=listing).count() >= saved_views.MAX_VIEWS_PER_LIST:
        problem = _("You have %(n)d views of this list. Remove one first.") % {"n": saved_views.MAX_VIEWS_PER_LIST}
    if problem:
        messages.error(request, problem)
        return redirect(f"{page}{'?' if here else ''}{here.urlencode()}")
    with transaction.atomic():
        view = SavedView.objects.create(user=user, listing=listing, name=name, query=query, columns=columns)
        if request.POST.get("default"):
            saved_views.make_default(view, user=user, listing=listing)
    messages.success(request, _("The view “%(name)s” is saved.") % {"name": view.name})
    return redirect(f"{page}{saved_views.view_query(view)}")


@require_POST
def default(request: HttpRequest, listing: str) -> HttpResponse:
    """Let the list open with the own view ``view`` of the form, or with none."""
    _listing_and_url(listing)
    user = signed_in_user(request)
    key = request.POST.get("view", "")
    view = get_object_or_404(SavedView, pk=key, user=user, listing=listing) if key.isdecimal() else None
    saved_views.make_default(view, user=user, listing=listing)
    return redirect("console:view-list", listing)


@require_POST
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """Rename, share or remove an own view. A removal can be undone."""
    user = signed_in_user(request)
    view = get_object_or_404(SavedView, pk=pk, user=user)
    if "remove" in request.POST:
        fields = ("listing", "name", "query", "columns", "is_default", "shared")
        values = {field: getattr(view, field) for field in fields}
        view.delete()
        text = _("The view “%(name)s” is removed.") % {"name": view.name}
        undo.offer_undo(request, text, action="view.remove", values=values)
    elif "share" in request.POST:
        view.shared = request.POST["share"] == "1"
        view.save(update_fields=["shared"])
    else:
        name = " ".join(request.POST.get("name", "").split())
        if problem := _name_problem(user.pk, view.listing, name, but=view.pk):
            messages.error(request, problem)
        else:
            view.name = name
            view.save(update_fields=["name"])
    return redirect("console:view-list", view.listing)


def _listing_and_url(name: str) -> tuple[Listing[Any], str]:
    """Return the list and the address of its page. Raises Http404 where it has none."""
    if not page_url_name(name):
        raise Http404
    return get_listing(name), reverse(page_url_name(name))


def _name_problem(user_id: int, listing: str, name: str, *, but: int | None = None) -> str:
    """Return why a view cannot have this name, "" where it can."""
    if not name:
        return _("Give the view a name.")
    if len(name) > 60:
        return _("A name has 60 characters at most.")
    same = SavedView.objects.filter(user=user_id, listing=listing, name__iexact=name)
    if (same.exclude(pk=but) if but is not None else same).exists():
        return _("You have a view named “%(name)s” already.") % {"name": name}
    return ""

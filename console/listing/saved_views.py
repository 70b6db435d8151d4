"""Saved views: filters, order and columns of a list under a name. Each person may have one as default per list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import QueryDict

from console.accounts.models import User
from console.listing.models import SavedView

NO_VIEW_KEY = "all"  # in place of a view in the address: none of them, also where one is the default
UNSAVED_PARAMETERS = ("view", "page", "csrfmiddlewaretoken")
MAX_VIEWS_PER_LIST = 50  # views of one person for one list


def visible_views(user: User, listing: str) -> QuerySet[SavedView]:
    """Return the views of ``listing`` that ``user`` may open: the own ones and those others share."""
    return SavedView.objects.filter(Q(user=user) | Q(shared=True), listing=listing).select_related("user")


def find_view(views: Sequence[SavedView], key: str) -> SavedView | None:
    """Return which of ``views`` an address means by ``key``. Its number decides, so that a new name breaks no link."""
    number = key.partition("-")[0]
    return next((view for view in views if str(view.pk) == number), None)


def view_query(view: SavedView) -> str:
    """Return the query of ``view``, with its key and all it holds: "?view=3-critical&severity=critical"."""
    params = QueryDict(mutable=True)
    params["view"] = view.key
    return f"?{params.urlencode()}{view.query and '&'}{view.query}"


def query_to_save(query: str) -> str:
    """Return what of the query of a page a view keeps."""
    params = QueryDict(query.removeprefix("?"), mutable=True)
    for name in UNSAVED_PARAMETERS:
        params.pop(name, None)
    return params.urlencode()


def is_same_query(one: str, other: str) -> bool:
    """Return whether two queries mean the same, in whatever order their values stand."""
    first, second = (
        {name: sorted(values) for name, values in QueryDict(query.removeprefix("?")).lists()} for query in (one, other)
    )
    return first == second


def make_default(view: SavedView | None, *, user: User, listing: str) -> None:
    """Let ``listing`` open with ``view`` for ``user``, with none of them where it is None."""
    with transaction.atomic():
        SavedView.objects.filter(user=user, listing=listing, is_default=True).update(is_default=False)
        if view is not None:
            SavedView.objects.filter(pk=view.pk, user=user).update(is_default=True)


def restore(user: User, values: dict[str, Any]) -> str:
    """Bring a view back that was removed, and return its list; where its name is taken by now, under another one."""
    values = dict(values)
    names = set(SavedView.objects.filter(user=user, listing=values["listing"]).values_list("name", flat=True))
    name, number = values["name"], 2
    while values["name"].lower() in {one.lower() for one in names}:
        values["name"], number = f"{name[:55]} {number}", number + 1
    if SavedView.objects.filter(user=user, listing=values["listing"], is_default=True).exists():
        values["is_default"] = False
    SavedView.objects.create(user=user, **values)
    return str(values["listing"])

"""A page in the drawer of the list that it was opened from.

The address of an open drawer holds that of the list, so that a reload, a return by history and a link that somebody is
sent show the same rows below the same drawer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import Resolver404, ResolverMatch, resolve
from django.utils.cache import patch_vary_headers

from console.listing.registered_listings import has_drawer
from console.listing.views import is_partial

LIST_PARAMETER = "list"  # of an address: path and query of the list below the drawer


def render_panel(request: HttpRequest, *, page: str, content: str, context: Mapping[str, Any]) -> HttpResponse:
    """Answer with the template ``page``; where htmx asks for the drawer with ``content`` alone; and where the address
    names a list whose rows open in the drawer, with that list and ``content`` in its drawer.
    """
    if is_partial(request, "drawer"):
        response = render(request, content, context)
    elif found := _underlying_list(request):
        response = _with_list(request, *found, content=content, context=context)
    else:
        response = render(request, page, context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _underlying_list(request: HttpRequest) -> tuple[str, str, ResolverMatch] | None:
    """Return path, query and view of the list that the address names, None where it names none that can be."""
    try:
        parts = urlsplit(request.GET.get(LIST_PARAMETER, ""))
        match = resolve(parts.path)
    except (Resolver404, ValueError):
        return None
    local = not parts.scheme and not parts.netloc
    return (parts.path, parts.query, match) if local and has_drawer(match.view_name) else None


def _with_list(
    request: HttpRequest, path: str, query: str, match: ResolverMatch, *, content: str, context: Mapping[str, Any]
) -> HttpResponse:
    """Answer with the page of the list, as if it had been asked for, and ``content`` for base.html to show in it."""
    back = f"{path}{query and '?'}{query}"
    shown = render_to_string(content, {**context, "back": back}, request)
    request.path = request.path_info = path
    request.META |= {"PATH_INFO": path, "QUERY_STRING": query}
    request.GET = QueryDict(query)
    request.resolver_match = match
    request.detail_panel = {"list": back, "shown": shown}  # type: ignore[attr-defined]
    response: HttpResponse = match.func(request, *match.args, **match.kwargs)
    return response

"""What each person has chosen, what the console tells that person after an action, and that no cache keeps it."""

from __future__ import annotations

import json
import zoneinfo
from collections.abc import Callable

from django.contrib.messages import get_messages
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone, translation

from console import visibility
from console.accounts.models import User
from console.feedback import toasts


class NoStoreMiddleware:
    """Let no cache keep what a person may see: pages, fragments and files. Static files, which tell nothing, may be.

    Stands after WhiteNoise, whose answers never come here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if "no-store" not in response.headers.get("Cache-Control", ""):
            response.headers["Cache-Control"] = "no-store, private"
        return response


class NullByteMiddleware:
    """Nothing is at an address with a zero character: PostgreSQL looks for no such name, but raises."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if "\0" in request.path_info:
            raise Http404
        return self.get_response(request)


class PreferencesMiddleware:
    """Speak the language of who is signed in, else that of the browser; show times in the person's time zone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        language, name = getattr(request.user, "language", ""), getattr(request.user, "time_zone", "")
        if translation.check_for_language(language):  # LocaleMiddleware chooses anew for every request
            translation.activate(language)
            request.LANGUAGE_CODE = language
        if not name:
            return self.get_response(request)
        try:
            zone = zoneinfo.ZoneInfo(name)
        except (zoneinfo.ZoneInfoNotFoundError, ValueError):
            return self.get_response(request)
        with timezone.override(zone):
            return self.get_response(request)


class ScopeMiddleware:
    """Set what may be seen to what the person sees who is signed in, whatever was set before: see console.visibility.

    If nobody is signed in nothing is set, and a query raises. What a response streams is made as its view would.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with visibility.set_to(visibility.of(request.user if isinstance(request.user, User) else None)):
            response = self.get_response(request)
            # A file stays as it is: the server may send it in larger parts, and reading it asks for no rows.
            if isinstance(response, StreamingHttpResponse) and getattr(response, "file_to_stream", None) is None:
                response.streaming_content = visibility.streamed(response)
            return response


class ToastMiddleware:
    """Give the messages of a view to htmx as toasts, where the answer is a fragment that has no place for them.

    A view only says ``messages.success(request, …)``: a page shows it, a redirect keeps it for the page behind it, and
    a fragment carries it in ``HX-Trigger``. Stands after MessageMiddleware and HtmxMiddleware.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        leaves = {"HX-Redirect", "HX-Location", "HX-Refresh", "HX-Trigger"}.intersection(response.headers)
        if not request.headers.get("HX-Request") or response.status_code >= 300 or leaves:
            return response
        shown = []
        for message in get_messages(request):
            extras = {"undo": toasts.undo_token(message), "links": toasts.toast_links(message)}
            here = {"level": message.level_tag, "text": str(message)}
            shown.append(here | {name: value for name, value in extras.items() if value})
        if shown:
            response.headers["HX-Trigger"] = json.dumps({"toasts": shown})
        return response

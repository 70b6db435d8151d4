"""How long a session lasts: so long without a sign of the person, and so long altogether."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse

from console.audit import trail

STARTED_SESSION_KEY, ACTIVE_SESSION_KEY = "session-began", "session-seen"
ACTIVITY_INTERVAL_SECONDS = 60  # seconds between notes of the last sign: not every request writes


class SessionTimeoutMiddleware:
    """Ends sessions of people who have gone. What a page asks for by itself (its polls) is no sign of a person.

    Stands after AuthenticationMiddleware, before what asks for somebody to be signed in.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated:
            now = int(time.time())
            began = request.session.get(STARTED_SESSION_KEY)
            if began is None:
                request.session[STARTED_SESSION_KEY] = request.session[ACTIVE_SESSION_KEY] = now
            elif self._is_over(request, now):
                trail.record(request, "sign-out.expired")
                logout(request)
            elif not is_poll(request) and now - request.session.get(ACTIVE_SESSION_KEY, 0) >= ACTIVITY_INTERVAL_SECONDS:
                request.session[ACTIVE_SESSION_KEY] = now
        return self.get_response(request)

    def _is_over(self, request: HttpRequest, now: int) -> bool:
        idle, whole = settings.SESSION_IDLE_MINUTES * 60, settings.SESSION_HOURS * 3600
        return bool(
            now - request.session[STARTED_SESSION_KEY] >= whole
            or (idle and now - request.session.get(ACTIVE_SESSION_KEY, 0) >= idle)
        )


def is_poll(request: HttpRequest) -> bool:
    """Return whether a page has asked this by itself, to show how far something is."""
    return request.method == "GET" and bool(request.headers.get("HX-Request")) and "progress" in request.path

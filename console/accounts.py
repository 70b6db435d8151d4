"""Signing in and out, roles, and what each person has chosen."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from datetime import timedelta
from functools import update_wrapper
from typing import Any, Concatenate, ParamSpec

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import views
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from console import audit, navigation
from console.models import AuditEvent, User

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def person(request: HttpRequest) -> User:
    """Return who is signed in. Raises PermissionDenied where nobody is."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _only(may: Callable[[User], bool], message: Callable[[], str]) -> Callable[[View[P]], View[P]]:
    def decorate(view: View[P]) -> View[P]:
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not may(person(request)):
                audit.record(request, "access.denied", request.path, {"method": request.method})
                raise PermissionDenied(message())
            return view(request, *args, **kwargs)

        update_wrapper(guarded, view)
        return guarded

    return decorate


def operator(view: View[P]) -> View[P]:
    """Let only those through who may scan, sync and export; all others get the page 403, and the trail an event."""
    return _only(lambda user: user.may_operate, lambda: _("This is for operators and administrators."))(view)


def administrator(view: View[P]) -> View[P]:
    """Let only administrators through; all others get the page 403, and the trail an event."""
    return _only(lambda user: user.may_administer, lambda: _("This is for administrators."))(view)


class SignIn(views.LoginView):
    """The sign-in page. It leads on only to addresses of this console."""

    template_name = "console/sign_in.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponseRedirect:
        response = super().form_valid(form)
        audit.record(self.request, "sign-in")
        return response  # type: ignore[return-value]

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        audit.record(self.request, "sign-in.refused", str(form.data.get("username", ""))[:150])
        return super().form_invalid(form)


class SignOut(views.LogoutView):
    """Ends the session; a form posts here."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        audit.record(request, "sign-out")
        return super().post(request, *args, **kwargs)


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Answer a sign-in that was tried too often."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    name = str((credentials or {}).get("username", ""))[:150]
    since = timezone.now() - timedelta(minutes=minutes)
    if not AuditEvent.objects.filter(action="sign-in.locked", target=name, at__gte=since).exists():  # one is enough
        audit.record(request, "sign-in.locked", name)
    return render(request, "console/locked_out.html", {"minutes": minutes}, status=429)


def home(request: HttpRequest) -> HttpResponse:
    """Lead to the first page of the sidebar."""
    return redirect(navigation.sections(request)[0]["links"][0]["url"])


@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Show and keep what somebody prefers; a post answers 204 to a script, and leads back where none asked."""
    user, chosen = person(request), []
    if request.method == "GET":
        context = {
            "zones": sorted(zoneinfo.available_timezones()),
            "console_zone": settings.TIME_ZONE,
            "themes": User.Theme.choices,
            "densities": User.Density.choices,
        }
        return render(request, "console/preferences.html", context)
    for name, values in (
        ("theme", User.Theme.values),
        ("density", User.Density.values),
        ("time_zone", {"", *zoneinfo.available_timezones()}),
    ):
        value = request.POST.get(name)
        if value is not None and value in values:
            setattr(user, name, value)
            chosen.append(name)
    if chosen:
        user.save(update_fields=chosen)
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204)
    if "time_zone" in chosen:
        messages.success(request, _("Your preferences are kept."))
    back = request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else reverse("console:home"))

"""Signing in and out, roles, and what each person has chosen."""

from __future__ import annotations

import unicodedata
import zoneinfo
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, views
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from console.accounts import mfa, sso
from console.accounts.models import User
from console.accounts.permissions import signed_in_user
from console.audit import trail
from console.audit.models import AuditEvent

MAX_FAILED_SIGN_INS_PER_NAME = 20  # wrong ones for one name, within the time that five from one address close it for
MAX_USERNAME_CHARACTERS = 150  # of an account


def _submitted_username(request: HttpRequest) -> str:
    """Return the name that a sign-in is for, in the form that accounts have (as Django's own form makes it)."""
    return trail.database_safe(unicodedata.normalize("NFKC", request.POST.get("username", "").strip()))[
        :MAX_USERNAME_CHARACTERS
    ]


class SignInForm(AuthenticationForm):
    """Django's own; a name that no account can have is judged by nobody, for no database keeps it."""

    def clean_username(self) -> str:
        """Refuse a longer name than there can be, in the words for a wrong one."""
        name = str(self.cleaned_data["username"])
        if len(name) > MAX_USERNAME_CHARACTERS:
            raise self.get_invalid_login_error()
        return name


class SignInView(views.LoginView):
    """The sign-in page. It leads on only to addresses of this console; a second factor is asked for where one is on."""

    template_name = "console/sign_in.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        named = settings.OIDC_NAME if sso.is_enabled() else ""
        return super().get_context_data(**kwargs) | {"single_sign_on": named}

    def form_valid(self, form: AuthenticationForm) -> HttpResponseRedirect:
        """Sign in, or go on to the second factor where the account has one: a password alone then opens no session."""
        user = form.get_user()
        if isinstance(user, User) and mfa.is_enabled(user):
            backend = getattr(user, "backend", sso.BACKEND)
            session = self.request.session
            mfa.begin_code_step(session, user, backend=backend, next_url=self.get_success_url())
            return HttpResponseRedirect(reverse("console:sign-in-code"))
        response = super().form_valid(form)
        trail.record(self.request, "sign-in", detail={"by": "password"})
        return response  # type: ignore[return-value]

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Record the refused attempt in the audit trail, and show the form again."""
        trail.record(self.request, "sign-in.refused", _submitted_username(self.request))
        return super().form_invalid(form)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Judge a name and a password, unless the name is guessed at from many addresses, five times from each."""
        name = _submitted_username(request)
        since = timezone.now() - timedelta(hours=settings.AXES_COOLOFF_TIME)
        tried = AuditEvent.objects.filter(action="sign-in.refused", target=name, at__gte=since)
        if name and tried[:MAX_FAILED_SIGN_INS_PER_NAME].count() >= MAX_FAILED_SIGN_INS_PER_NAME:
            return locked_out(request, credentials={"username": name})
        return super().post(request, *args, **kwargs)


@login_not_required
@never_cache
@require_http_methods(["GET", "POST"])
def sign_in_code(request: HttpRequest) -> HttpResponse:
    """Ask who has given the right password for a code."""
    waiting = mfa.pending_sign_in(request.session)
    if waiting is None:
        return redirect("console:sign-in")
    user, backend, next_url = waiting
    used = ""
    with mfa.attempt_lock(user):
        if mfa.is_locked_out(user):
            minutes = round(mfa.LOCKOUT_DURATION.total_seconds() / 60)
            return render(request, "console/locked_out.html", {"minutes": minutes}, status=429)
        if request.method == "POST":
            used = mfa.use_code(user, request.POST.get("code", "")[:40])
            if not used:
                trail.record(request, "sign-in.code-refused", user)
    if not used:
        return render(request, "console/sign_in_code.html", {"wrong": request.method == "POST"})
    login(request, user, backend=backend)
    request.session.pop(mfa.PENDING_SESSION_KEY, None)
    trail.record(request, "sign-in", detail={"by": "password", "second_factor": used})
    return redirect(next_url)


@login_not_required
def admin_sign_in(request: HttpRequest) -> HttpResponse:
    """Lead from Django admin to the one sign-in page there is. Who is signed in and still comes here is no staff."""
    if request.user.is_authenticated:
        trail.record(request, "access.denied", request.GET.get("next", request.path), {"method": request.method})
        raise PermissionDenied(_("Django admin is for support staff."))
    following = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(following, {request.get_host()}, require_https=request.is_secure())
    return redirect(f"{reverse('console:sign-in')}?{urlencode({'next': following if safe else '/admin/'}, safe='/')}")


class SignOutView(views.LogoutView):
    """Ends the session; a form posts here."""

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Record the sign-out while the session still names who leaves, then end it."""
        trail.record(request, "sign-out")
        return super().post(request, *args, **kwargs)


def locked_out(request: HttpRequest, response: HttpResponse | None = None, credentials: Any = None) -> HttpResponse:
    """Answer a sign-in that was tried too often."""
    minutes = round(settings.AXES_COOLOFF_TIME * 60)
    name = str((credentials or {}).get("username", ""))[:150]
    since = timezone.now() - timedelta(minutes=minutes)
    if not AuditEvent.objects.filter(action="sign-in.locked", target=name, at__gte=since).exists():  # one is enough
        trail.record(request, "sign-in.locked", name)
    return render(request, "console/locked_out.html", {"minutes": minutes}, status=429)


@require_http_methods(["GET", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Show and keep what somebody prefers; a post answers 204 to a script, and leads back where none asked."""
    user, chosen = signed_in_user(request), []
    if request.method == "GET":
        context = {
            "zones": sorted(zoneinfo.available_timezones()),
            "console_zone": settings.TIME_ZONE,
            "themes": User.Theme.choices,
            "densities": User.Density.choices,
            "languages": settings.LANGUAGES,
        }
        return render(request, "console/preferences.html", context)
    for name, values in (
        ("theme", User.Theme.values),
        ("density", User.Density.values),
        ("language", {"", *dict(settings.LANGUAGES)}),
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
        messages.success(request, _("Your preferences are saved."))
    back = request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    return redirect(back if safe else reverse("console:home"))

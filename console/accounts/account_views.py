"""The page "Your account": the password, the second factor, and the end of all sessions."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.contrib.auth import logout, update_session_auth_hash
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_GET, require_POST

from console import visibility
from console.accounts import mfa
from console.accounts.models import User
from console.accounts.permissions import signed_in_user
from console.audit import trail


class PasswordForm(PasswordChangeForm):
    """Django's own, without the focus and with the words of the page."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.fields["old_password"].label = _("Current password")
        self.fields["new_password2"].label = _("New password again")
        del self.fields["old_password"].widget.attrs["autofocus"]
        for name in ("new_password1", "new_password2"):
            self.fields[name].help_text = ""
        self.failed = False

    def clean_old_password(self) -> str:
        """Look at the proof, as often as the sign-in does."""
        if mfa.is_locked_out(self.user):
            raise forms.ValidationError(_("Too many wrong attempts. Try again in 15 minutes."))
        try:
            return super().clean_old_password()
        except forms.ValidationError:
            self.failed = True
            raise


class ReauthenticationForm(forms.Form):
    """Asks who is signed in to prove it again: by the password, or where there is none, by a code of the app."""

    password = forms.CharField(
        label=gettext_lazy("Current password"),
        strip=False,
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )

    def __init__(self, *args: object, user: User) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.user = user
        self.failed = False
        if not user.has_usable_password():
            del self.fields["password"]

    def clean(self) -> None:
        """Look at the proof, as often as the sign-in does."""
        if mfa.is_locked_out(self.user):
            raise forms.ValidationError(_("Too many wrong attempts. Try again in 15 minutes."))
        if "password" in self.fields and not self.user.check_password(self.cleaned_data.get("password", "")):
            self.failed = True
            self.add_error("password", _("This is not your password."))


class EnableSecondFactorForm(ReauthenticationForm):
    """Also asks for a code of the app that is being set up."""

    code = forms.CharField(
        label=gettext_lazy("Code from the app"),
        max_length=12,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric"}),
    )

    def __init__(self, *args: object, user: User, secret: str) -> None:
        super().__init__(*args, user=user)
        self.secret = secret

    def clean_code(self) -> str:
        """Refuse a code that the app cannot have shown."""
        code = str(self.cleaned_data["code"])
        if not mfa.code_matches(self.secret, code):
            raise forms.ValidationError(_("This code does not match. Check the clock of the device."))
        return code


def _is_reauthenticated(request: HttpRequest, form: ReauthenticationForm) -> bool:
    """Return whether ``form`` holds what it asks for; a wrong proof is recorded, and counts."""
    with mfa.attempt_lock(form.user):
        proven = form.is_valid()
        if form.failed:
            trail.record(request, "sign-in.code-refused", form.user, {"for": "second factor"})
    return proven


@require_GET
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    """The page."""
    return _page(request)


@sensitive_post_parameters()
@require_POST
def change_password(request: HttpRequest) -> HttpResponse:
    """Take a new password; it ends all other sessions."""
    user = signed_in_user(request)
    form = PasswordForm(user, request.POST)
    with mfa.attempt_lock(user):
        right = user.has_usable_password() and form.is_valid()
        if form.failed:
            trail.record(request, "sign-in.code-refused", user, {"for": "password"})
    if not right:
        return _page(request, password=form)
    form.save()
    user.end_sessions()
    update_session_auth_hash(request, user)
    trail.record(request, "user.password", user)
    messages.success(request, _("The password is changed. All other sessions have ended."))
    return redirect("console:account")


@sensitive_post_parameters()
@require_POST
def second_factor_on(request: HttpRequest) -> HttpResponse:
    """Ask for codes from now on, and show the codes for paper this once."""
    user = signed_in_user(request)
    secret = request.session.get(mfa.PENDING_SETUP_KEY, "")
    if not secret or mfa.is_enabled(user):
        return redirect("console:account")
    form = EnableSecondFactorForm(request.POST, user=user, secret=secret)
    if not _is_reauthenticated(request, form):
        return _page(request, switch_on=form)
    codes = mfa.enable(user, secret)
    del request.session[mfa.PENDING_SETUP_KEY]
    user.end_sessions()
    update_session_auth_hash(request, user)
    trail.record(request, "user.second-factor-on", user)
    return _page(request, codes=codes)


@sensitive_post_parameters()
@require_POST
def second_factor_off(request: HttpRequest) -> HttpResponse:
    """Ask for no codes any more."""
    user = signed_in_user(request)
    form = ReauthenticationForm(request.POST, user=user)
    if not _is_reauthenticated(request, form):
        return _page(request, switch_off=form)
    if mfa.is_enabled(user):
        mfa.disable(user)
        trail.record(request, "user.second-factor-off", user)
        messages.success(request, _("The second factor is off."))
    return redirect("console:account")


@require_POST
def end_sessions(request: HttpRequest) -> HttpResponse:
    """Sign out everywhere, here too."""
    user = signed_in_user(request)
    user.end_sessions()
    trail.record(request, "sign-out.everywhere", user)
    logout(request)
    return redirect("console:sign-in")


def _page(
    request: HttpRequest,
    *,
    password: PasswordChangeForm | None = None,
    switch_on: EnableSecondFactorForm | None = None,
    switch_off: ReauthenticationForm | None = None,
    codes: list[str] | None = None,
) -> HttpResponse:
    user = signed_in_user(request)
    context = {
        "password": password or PasswordForm(user),
        "is_on": mfa.is_enabled(user),
        "left": mfa.unused_recovery_codes(user),
        "switch_off": switch_off or ReauthenticationForm(user=user),
        "codes": codes,
        "registries": visibility.registries_of(user),
        "teams": user.teams.all(),
    }
    if not context["is_on"]:
        secret = request.session.get(mfa.PENDING_SETUP_KEY) or mfa.new_secret()
        request.session[mfa.PENDING_SETUP_KEY] = secret
        # SVG that a library has drawn from the secret; nothing of it comes from outside.
        picture = mfa.qr_code(user, secret).partition("?>")[2]
        context["picture"] = mark_safe(picture)  # noqa: S308  # nosec B308 B703
        context["secret"] = " ".join(secret[at : at + 4] for at in range(0, len(secret), 4))
        context["switch_on"] = switch_on or EnableSecondFactorForm(user=user, secret=secret)
    status = 422 if password or switch_on or switch_off else 200
    return render(request, "console/account.html", context, status=status)

"""Undo: a toast that offers to take back what was just done, for as long as it stands on the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.accounts.models import User
from console.accounts.permissions import signed_in_user
from console.audit import trail
from console.extension_points import ExtensionPoint
from console.feedback import toasts

SIGNING_SALT = "console.feedback.undo"
TOKEN_SECONDS = 120  # a token is good for; the toast stands for ten seconds and longer while it is pointed at


Undo = Callable[[User, dict[str, Any]], object]
UNDO_ACTIONS: ExtensionPoint[Undo] = ExtensionPoint("action to undo")


class UndoRefusedError(Exception):
    """What was done cannot be taken back any more; says why, for a person."""


def register(action: str, undo: Undo) -> None:
    """Have ``undo(user, values)`` take back what :func:`offer_undo` calls ``action``.

    It asks for the permission that the deed needs, and raises UndoRefusedError where that cannot be taken back.
    """
    UNDO_ACTIONS.register(action, undo)


def offer_undo(request: HttpRequest, text: str, *, action: str, values: dict[str, Any]) -> None:
    """Tell what was done, with a button that calls what is registered for ``action``. ``values`` are JSON.

    The button carries all that is needed, signed and for this person alone; nothing is kept here.
    """
    token = signing.dumps(
        {"user": signed_in_user(request).pk, "action": action, "values": values}, salt=SIGNING_SALT, compress=True
    )
    toasts.add_toast(request, messages.SUCCESS, text, undo=token)


@require_POST
def undo(request: HttpRequest) -> HttpResponse:
    """Take back what the token says, and lead back to where its toast stood."""
    user = signed_in_user(request)
    back = request.headers.get("Referer", "")
    safe = url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure())
    try:
        token = signing.loads(request.POST.get("token", ""), salt=SIGNING_SALT, max_age=TOKEN_SECONDS)
        if token["user"] != user.pk:
            raise signing.BadSignature
        act = UNDO_ACTIONS[token["action"]]
    except (signing.BadSignature, KeyError, TypeError):
        messages.error(request, _("That can no longer be undone."))
        return redirect(back if safe else reverse("console:home"))
    try:
        act(user, token["values"])
    except UndoRefusedError as error:
        messages.error(request, str(error))
    else:
        trail.record(request, "undo", token["action"])
        messages.success(request, _("Undone."))
    return redirect(back if safe else reverse("console:home"))

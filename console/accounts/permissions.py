"""Who is signed in, and what that person may do."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Concatenate, ParamSpec

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from console.accounts.models import User
from console.audit import trail

P = ParamSpec("P")
View = Callable[Concatenate[HttpRequest, P], HttpResponse]


def signed_in_user(request: HttpRequest) -> User:
    """Return who is signed in. Raises PermissionDenied where nobody is."""
    if not isinstance(request.user, User):
        raise PermissionDenied
    return request.user


def _role_required(may: Callable[[User], bool], message: Callable[[], str]) -> Callable[[View[P]], View[P]]:
    def decorate(view: View[P]) -> View[P]:
        def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
            if not may(signed_in_user(request)):
                trail.record(request, "access.denied", request.path, {"method": request.method})
                raise PermissionDenied(message())
            return view(request, *args, **kwargs)

        update_wrapper(guarded, view)
        return guarded

    return decorate


def operator_required(view: View[P]) -> View[P]:
    """Let only those through who may scan, sync and export; all others get the page 403, and the trail an event."""
    return _role_required(lambda user: user.may_operate, lambda: _("Only operators and administrators can do this."))(
        view
    )


def administrator_required(view: View[P]) -> View[P]:
    """Let only administrators through; all others get the page 403, and the trail an event."""
    return _role_required(lambda user: user.may_administer, lambda: _("Only administrators can do this."))(view)

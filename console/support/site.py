"""The site of Django admin: as Django's, with the tables of packages read-only."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from django.contrib.admin import AdminSite, ModelAdmin
from django.db.models import Model
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from console import visibility
from console.accounts.models import User
from console.support.read_only import PACKAGE_ADMINS

V = TypeVar("V", bound=Callable[..., HttpResponseBase])


class ConsoleAdminSite(AdminSite):
    """Takes, for a table that only our code may write, our own admin in place of the one that comes with it."""

    site_header = site_title = "Tallyman"
    index_title = "Support"

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether somebody may come in: staff, as long as nothing is hidden from them. The tables here show it all."""
        limited = isinstance(request.user, User) and request.user.is_limited
        return super().has_permission(request) and not limited

    def admin_view(self, view: V, cacheable: bool = False) -> V:
        """Return ``view`` for those who may come in, who see everything there."""
        return super().admin_view(_showing_everything(view), cacheable)

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Register ``admin_class``, or our own from PACKAGE_ADMINS if a model has one there."""
        models = [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable
        for model in models:
            super().register(model, PACKAGE_ADMINS.get(model._meta.label_lower, admin_class), **options)


def _showing_everything(view: V) -> V:
    @functools.wraps(view)
    @visibility.unrestricted()
    def everything(*args: Any, **kwargs: Any) -> HttpResponseBase:
        response = view(*args, **kwargs)
        return response.render() if isinstance(response, SimpleTemplateResponse) else response

    return everything  # type: ignore[return-value]

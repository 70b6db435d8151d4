"""What the classes of Django admin share: rows that are read and never changed, jobs, and the tables of the queue."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from console.i18n.fields import MessageField
from console.i18n.messages import translate_message
from console.support.large_tables import BoundedPaginator, search_rows

# Columns that are never shown: credentials, encrypted or hashed, and what opens a door by being known.
HIDDEN_FIELDS = {"password", "key", "login", "refused_login", "fingerprint", "secret", "session_key", "session_hash"}
DIGEST_PATTERN = re.compile(r"(sha(?:256|512):[0-9a-f]{12})[0-9a-f]{20,}")  # too long for a list
JOB_FIELDS = (
    *("state", "stage", "progress_done", "progress_total", "reason", "remedy", "attempt", "losses", "retried"),
    *("created_at", "queued_at", "not_before", "started_at", "ended_at", "cancel_requested_at"),
    *("worker", "heartbeat_at", "lease_until"),
)


def is_hidden(field: models.Field[Any, Any]) -> bool:
    """Return whether a column must not be shown."""
    return field.name in HIDDEN_FIELDS or field.name.endswith("_token") or isinstance(field, models.BinaryField)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that nobody adds, changes or deletes here: a change by hand would break what the code relies on.

    All columns but the hidden ones are shown. ``related`` names what else belongs to a row, as ("app.Model", "field"),
    ``page`` the URL name of its page in the console, with the attribute that is the argument. A list shortens digests
    and links rows of other tables.
    """

    related: tuple[tuple[str, str], ...] = ()
    page: tuple[str, str] | None = None
    show_full_result_count = False
    list_per_page = 50
    paginator = BoundedPaginator

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        """Return the columns: digests are shortened, and rows of other tables are links to them."""
        first, *others = super().get_list_display(request)
        return [self._column(first, link=False), *(self._column(name, link=True) for name in others)]

    def _column(self, name: Any, *, link: bool) -> Any:
        """Return what shows a column of a list. The first one is a link already: to its own row."""
        try:
            field = self.model._meta.get_field(name) if isinstance(name, str) else None
        except FieldDoesNotExist:
            field = None
        if isinstance(field, MessageField):
            return _formatted_column(field, translate_message)
        if isinstance(field, models.ForeignKey) and field.related_model in self.admin_site._registry:
            return _formatted_column(field, _link_to if link else _shorten_digests)
        return (
            _formatted_column(field, _shorten_digests)
            if isinstance(field, models.CharField) and not field.choices
            else name
        )

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """Return the rows that contain the whole term, and False: no row is found twice."""
        term = search_term.strip()
        return search_rows(queryset, tuple(self.get_search_fields(request)), term) if term else queryset, False

    def view_on_site(self, obj: Any) -> str | None:
        """Return the address of the page of ``obj`` in the console, None where it has none."""
        name, attribute = self.page or ("", "pk")
        argument = getattr(obj, attribute)
        return reverse(name, args=[argument]) if name and argument else None

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        return None if obj is None else self.view_on_site(obj)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return all columns of the table but hidden ones (secrets), and the links to what belongs to the row."""
        columns = [field.name for field in self.model._meta.concrete_fields if not is_hidden(field)]
        return [*columns, *(["see_also"] if self.related else [])]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the groups of columns; stored messages are put into words."""
        messages = {
            field.name: _formatted_column(field, translate_message)
            for field in self.model._meta.concrete_fields
            if isinstance(field, MessageField)
        }
        return [
            (title, {**options, "fields": [messages.get(str(name), name) for name in options["fields"]]})
            for title, options in super().get_fieldsets(request, obj)
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [*super().get_readonly_fields(request, obj), *self.get_fields(request, obj)]

    @admin.display(description="See also")
    def see_also(self, row: Any) -> SafeString:
        """Return links to the lists of what belongs to ``row``."""
        links = []
        for label, field in self.related:
            meta = apps.get_model(label)._meta
            url = reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
            links.append((f"{url}?{field}__id__exact={row.pk}", meta.verbose_name_plural))
        return format_html_join(" · ", '<a href="{}">{}</a>', links) or format_html("–")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def _shorten_digests(value: Any) -> str:
    return DIGEST_PATTERN.sub(r"\1…", str(value))


def _link_to(row: models.Model) -> SafeString:
    meta = row._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, _shorten_digests(row))


@cache  # a column is known to Django by its identity
def _formatted_column(
    field: models.Field[Any, Any], show: Callable[[Any], str]
) -> Callable[[models.Model], str | None]:
    """Return a column of a list that shows ``field`` as ``show`` does."""

    @admin.display(description=field.verbose_name, ordering=field.name, empty_value="-")
    def column(row: models.Model) -> str | None:
        value = getattr(row, field.name)
        return None if value in (None, "") else show(value)

    column.__name__ = field.name
    return column


class JobAdmin(ReadOnlyAdmin):
    """Jobs of one kind: only workers move their state."""

    list_display: tuple[Any, ...] = (
        *("id", "state", "stage", "created_at", "started_at", "ended_at", "attempt", "worker", "reason"),
    )
    list_filter: ClassVar[tuple[Any, ...]] = ("state", "created_at")
    search_fields: ClassVar[tuple[str, ...]] = ("=id", "reason", "worker")
    date_hierarchy: ClassVar[str | None] = "created_at"


class QueuedTaskAdmin(ReadOnlyAdmin):
    """Messages that wait in the queue: ids of jobs, which are the truth. Their signed payload is of no use to read."""

    list_display = ("id", "key", "lock")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["id", "lock"]


class FinishedTaskAdmin(ReadOnlyAdmin):
    list_display = ("name", "func", "started", "stopped", "success")
    list_filter = ("success", "func")
    search_fields = ("name", "func")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["name", "func", "started", "stopped", "success", "attempt_count"]


class QueueScheduleAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "func", "schedule_type", "next_run", "repeats")
    search_fields = ("name", "func")


class SignInLogAdmin(ReadOnlyAdmin):
    """Sign-ins as django-axes keeps them. Only its attempts can be deleted, which ends a lock."""

    list_display = ("attempt_time", "username", "ip_address", "user_agent")
    list_filter = ("attempt_time",)
    search_fields = ("username", "ip_address")
    date_hierarchy = "attempt_time"


# Tables of packages, which come with an admin of their own that lets them be changed. Only the code writes them.
PACKAGE_ADMINS: dict[str, type[ReadOnlyAdmin]] = {
    "axes.accesslog": SignInLogAdmin,
    "axes.accessfailurelog": SignInLogAdmin,
    "django_q.schedule": QueueScheduleAdmin,
    "django_q.success": FinishedTaskAdmin,
    "django_q.failure": FinishedTaskAdmin,
    "django_q.ormq": QueuedTaskAdmin,
}

"""What the classes of Django admin share: rows that are read and never changed, jobs, and the tables of the queue."""

from __future__ import annotations

from typing import Any, ClassVar

from django.apps import apps
from django.contrib import admin
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

# Columns that are never shown: credentials, encrypted or hashed, and what opens a door by being known.
HIDDEN = {"password", "key", "login", "connection_login", "fingerprint", "secret", "session_key"}
JOB = (
    *("state", "stage", "progress_done", "progress_total", "reason", "remedy", "attempt", "losses", "retried"),
    *("created_at", "queued_at", "not_before", "started_at", "ended_at", "cancel_requested_at"),
    *("worker", "heartbeat_at", "lease_until"),
)


def is_hidden(field: models.Field[Any, Any]) -> bool:
    """Return whether a column must not be shown."""
    return field.name in HIDDEN or field.name.endswith("_token") or isinstance(field, models.BinaryField)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that nobody adds, changes or deletes here: a change by hand would break what the code relies on.

    All columns but the hidden ones are shown. ``related`` names what else belongs to a row, as ("app.Model", "field").
    """

    related: tuple[tuple[str, str], ...] = ()
    show_full_result_count = False
    list_per_page = 50

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        columns = [field.name for field in self.model._meta.concrete_fields if not is_hidden(field)]
        return [*columns, *(["see_also"] if self.related else [])]

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


class JobAdmin(ReadOnlyAdmin):
    """Jobs of one kind: only workers move their state."""

    list_display: tuple[Any, ...] = (
        *("id", "state", "stage", "created_at", "started_at", "ended_at", "attempt", "worker", "reason"),
    )
    list_filter: ClassVar[tuple[Any, ...]] = ("state", "created_at")
    search_fields: ClassVar[tuple[str, ...]] = ("=id", "reason", "worker")
    date_hierarchy: ClassVar[str | None] = "created_at"


class QueuedAdmin(ReadOnlyAdmin):
    """Messages that wait in the queue: ids of jobs, which are the truth. Their signed payload is of no use to read."""

    list_display = ("id", "key", "lock")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["id", "lock"]


class DoneAdmin(ReadOnlyAdmin):
    list_display = ("name", "func", "started", "stopped", "success")
    list_filter = ("success", "func")
    search_fields = ("name", "func")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["name", "func", "started", "stopped", "success", "attempt_count"]


class QueueScheduleAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "func", "schedule_type", "next_run", "repeats")
    search_fields = ("name", "func")


# Tables of the queue, which come with an admin of their own that lets them be changed. Only the code writes them.
OF_THE_QUEUE: dict[str, type[ReadOnlyAdmin]] = {
    "django_q.schedule": QueueScheduleAdmin,
    "django_q.success": DoneAdmin,
    "django_q.failure": DoneAdmin,
    "django_q.ormq": QueuedAdmin,
}

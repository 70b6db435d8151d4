"""Django admin of the console, for support staff: people can be changed, what happened can only be read."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from console.models import AuditEvent, JobEvent, User


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows that nobody adds, changes or deletes here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class PersonAdmin(UserAdmin):  # type: ignore[type-arg]
    list_display = ("username", "first_name", "last_name", "role", "is_active", "last_login")
    list_filter = ("role", "is_active", "is_staff")
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Tallyman", {"fields": ("role", "theme", "density", "time_zone")}))
    add_fieldsets = (*UserAdmin.add_fieldsets, ("Tallyman", {"fields": ("role",)}))


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor_name", "address", "action", "target")
    list_filter = ("action",)
    search_fields = ("actor_name", "target")
    date_hierarchy = "at"


@admin.register(JobEvent)
class JobEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "kind", "job_id", "from_state", "to_state", "attempt", "worker")
    list_filter = ("kind", "to_state")
    search_fields = ("job_id",)


def _take_over_queue() -> None:
    """Show what django-q2 holds, to be read: its own pages would let staff have any function called."""
    for model in apps.get_app_config("django_q").get_models():
        if admin.site.is_registered(model):
            pages = type(admin.site.get_model_admin(model))
            admin.site.unregister(model)
            admin.site.register(model, type(pages.__name__, (ReadOnlyAdmin, pages), {"actions": []}))


_take_over_queue()

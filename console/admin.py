"""Django admin of the console, for support staff: people can be changed, what happened can only be read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest

from console.models import AuditEvent, Export, JobEvent, SavedView, User


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


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    list_display = ("id", "requested_by", "listing", "format", "state", "rows", "created_at", "expires_at")
    list_filter = ("state", "listing", "format")
    list_select_related = ("requested_by",)
    search_fields = ("requested_by__username", "description")


@admin.register(SavedView)
class SavedViewAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "listing", "is_default", "shared")
    list_filter = ("listing", "shared")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")

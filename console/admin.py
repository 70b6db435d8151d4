"""Django admin of the console, for support staff: people can be changed, what happened can only be read."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from console.models import AuditEvent, Canary, JobEvent, ScanCanary, User
from console.read_only_admin import JobAdmin, ReadOnlyAdmin


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
    search_fields = ("=job_id", "worker")


admin.site.register((Canary, ScanCanary), JobAdmin)

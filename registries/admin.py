"""Django admin of the registries, for support staff: to read. The page of the console is where they are changed."""

from __future__ import annotations

from django.contrib import admin

from console.admin import ReadOnlyAdmin
from registries.models import CloudAccount, Registry, SyncRun


@admin.register(Registry)
class RegistryAdmin(ReadOnlyAdmin):
    list_display = ("name", "type", "address", "connection", "connection_checked_at")
    list_filter = ("type", "connection")
    search_fields = ("name", "address")
    exclude = ("password_token", "pull_password_token")


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "registry", "state", "trigger", "created_at", "ended_at", "tags", "errors")
    list_filter = ("state", "trigger")
    list_select_related = ("registry",)


@admin.register(CloudAccount)
class CloudAccountAdmin(ReadOnlyAdmin):
    list_display = ("name", "secret_id", "state", "checked_at", "instances", "namespaces")
    exclude = ("secret_key_token", "pull_password_token")

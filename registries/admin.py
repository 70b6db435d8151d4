"""Django admin of the registries, for support staff: to read. The page of the console is where they are changed.

The fields are named one by one, so that a column that is added later is not shown before somebody has thought of it.
No list holds a column with a credential.
"""

from __future__ import annotations

from django.contrib import admin

from console.admin import ReadOnlyAdmin
from registries.models import CloudAccount, Registry, Removal, SyncRun

JOB = (
    *("state", "stage", "progress_done", "progress_total", "reason", "remedy", "attempt", "losses", "retried"),
    *("created_at", "queued_at", "not_before", "started_at", "ended_at", "cancel_requested_at"),
    *("worker", "heartbeat_at", "lease_until"),
)


@admin.register(Registry)
class RegistryAdmin(ReadOnlyAdmin):
    list_display = ("name", "type", "version", "address", "connection", "connection_checked_at", "last_sync")
    list_filter = ("type", "connection", ("deleting_at", admin.EmptyFieldListFilter))
    list_select_related = ("last_sync",)
    search_fields = ("name", "address")
    fieldsets = (
        (None, {"fields": ("name", "type", "version", "network", "region", "address", "endpoint", "role")}),
        ("Access", {"fields": ("username", "has_password", "pull_username", "has_pull_password", "verify_tls")}),
        ("Cloud", {"fields": ("cloud_account", "cloud_id", "cloud_address", "cloud_state")}),
        ("Use", {"fields": ("limit", "repositories", "ca_bundle")}),
        (
            "Connection",
            {"fields": ("connection", "connection_reason", "connection_remedy", "connection_checked_at")},
        ),
        ("Syncs", {"fields": ("last_sync", "nightly_on")}),
        ("Row", {"fields": ("created_at", "updated_at", "deleting_at")}),
    )

    @admin.display(boolean=True, description="Password stored")
    def has_password(self, registry: Registry) -> bool:
        return registry.has_password

    @admin.display(boolean=True, description="Password for pulling stored")
    def has_pull_password(self, registry: Registry) -> bool:
        return registry.has_pull_password


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnlyAdmin):
    list_display = ("id", "registry", "state", "trigger", "created_at", "ended_at", "tags", "errors")
    list_filter = ("state", "trigger", "complete")
    list_select_related = ("registry",)
    search_fields = ("registry__name", "reason")
    date_hierarchy = "created_at"
    fields = (
        *("registry", "trigger", "requested_by", "forget_unlisted"),
        *("repositories", "tags", "tags_new", "tags_changed", "tags_gone", "not_images", "errors", "complete"),
        *JOB,
    )


@admin.register(Removal)
class RemovalAdmin(ReadOnlyAdmin):
    list_display = ("id", "name", "state", "requested_by", "created_at", "ended_at")
    list_filter = ("state",)
    list_select_related = ("requested_by",)
    fields = ("name", "registry", "requested_by", *JOB)


@admin.register(CloudAccount)
class CloudAccountAdmin(ReadOnlyAdmin):
    list_display = ("name", "secret_id", "state", "checked_at", "instances", "namespaces")
    exclude = ("secret_key_token", "pull_password_token")

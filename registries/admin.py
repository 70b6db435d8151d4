"""Django admin of the registries, for support staff: to read. The page of the console is where they are changed.

The fields of a registry are named one by one, so that a column that is added later is not shown before somebody has
thought of it. No list holds a column with a credential.
"""

from __future__ import annotations

from django.contrib import admin

from console.read_only_admin import JOB, JobAdmin, ReadOnlyAdmin
from registries.models import (
    CloudAccount,
    CloudDiscovery,
    ConnectionTest,
    PullUnit,
    PushAddress,
    PushEvent,
    Registry,
    Removal,
    SyncRun,
)


@admin.register(Registry)
class RegistryAdmin(ReadOnlyAdmin):
    page = ("registries:registry-detail", "pk")
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
        ("Row", {"fields": ("created_at", "updated_at", "deleting_at", "see_also")}),
    )
    readonly_fields = ("has_password", "has_pull_password")
    related = (
        ("registries.SyncRun", "registry"),
        ("registries.PushEvent", "registry"),
        ("registries.ConnectionTest", "registry"),
        ("inventory.Repository", "registry"),
        ("scanning.Scan", "registry"),
    )

    @admin.display(boolean=True, description="Password stored")
    def has_password(self, registry: Registry) -> bool:
        return registry.has_password

    @admin.display(boolean=True, description="Password for pulling stored")
    def has_pull_password(self, registry: Registry) -> bool:
        return registry.has_pull_password


@admin.register(SyncRun)
class SyncRunAdmin(JobAdmin):
    list_display = ("id", "registry", "state", "trigger", "created_at", "ended_at", "tags", "errors")
    list_filter = ("state", "trigger", "complete", "registry")
    list_select_related = ("registry",)
    search_fields = ("registry__name", "reason")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    *("registry", "trigger", "requested_by", "forget_unlisted"),
                    *("repositories", "tags", "tags_new", "tags_changed", "tags_gone", "not_images", "errors"),
                    *("complete", *JOB),
                )
            },
        ),
    )


@admin.register(Removal)
class RemovalAdmin(JobAdmin):
    list_display = ("id", "name", "state", "requested_by", "created_at", "ended_at")
    list_select_related = ("requested_by",)
    search_fields = ("name", "reason")


@admin.register(CloudAccount)
class CloudAccountAdmin(ReadOnlyAdmin):
    list_display = ("name", "secret_id", "state", "checked_at", "instances", "namespaces")
    list_filter = ("state",)
    search_fields = ("name", "secret_id")
    related = (("registries.Registry", "cloud_account"), ("registries.CloudDiscovery", "account"))


@admin.register(CloudDiscovery)
class CloudDiscoveryAdmin(JobAdmin):
    list_display = ("id", "account", "state", "trigger", "created_at", "ended_at", "reason")
    list_filter = ("state", "trigger", "account")
    list_select_related = ("account",)
    search_fields = ("account__name", "reason")


@admin.register(ConnectionTest)
class ConnectionTestAdmin(ReadOnlyAdmin):
    list_display = ("id", "registry", "user", "saved", "started_at", "ended_at")
    list_filter = ("saved", "registry")
    list_select_related = ("registry", "user")
    search_fields = ("registry__name", "user__username")


@admin.register(PullUnit)
class PullUnitAdmin(ReadOnlyAdmin):
    list_display = ("registry", "image_id", "taken_at")
    list_filter = ("registry",)
    list_select_related = ("registry",)
    search_fields = ("image_id__startswith",)


@admin.register(PushAddress)
class PushAddressAdmin(ReadOnlyAdmin):
    list_display = ("registry", "scans", "created_at", "received_at", "refused_at")
    list_filter = ("scans",)
    list_select_related = ("registry",)
    search_fields = ("registry__name",)


@admin.register(PushEvent)
class PushEventAdmin(JobAdmin):
    list_display = ("id", "registry", "repository", "tag", "state", "images", "created_at", "reason")
    list_filter = ("state", "registry")
    list_select_related = ("registry",)
    search_fields = ("repository", "tag")

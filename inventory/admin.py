"""Django admin of the inventory, for support staff: to read. Syncs write it, and the next one would undo a change."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from console.support.read_only import ReadOnlyAdmin
from inventory.models import (
    Image,
    ImageLayer,
    Layer,
    Manifest,
    ManifestLayer,
    PlatformManifest,
    RegistryLayer,
    Repository,
    Snapshot,
    Tag,
)


@admin.register(Repository)
class RepositoryAdmin(ReadOnlyAdmin):
    list_display = ("name", "registry", "first_seen", "synced_at")
    list_filter = ("registry",)
    list_select_related = ("registry",)
    search_fields = ("name",)
    related = (("inventory.Tag", "repository"),)


@admin.register(Tag)
class TagAdmin(ReadOnlyAdmin):
    page = ("inventory:image", "pk")
    list_display = ("address", "name", "digest", "image", "size", "first_seen", "changed_at")
    list_filter = ("registry",)
    list_select_related = ("image",)
    search_fields = ("address", "name", "digest__startswith")


class SecurityFilter(admin.SimpleListFilter):
    """By security status: the choices of a generated column are not known to Django admin."""

    title = "security"
    parameter_name = "security"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Image]) -> list[tuple[str, str]]:
        return [(value, str(label)) for value, label in Image.Security.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Image]) -> QuerySet[Image]:
        return queryset.filter(security=self.value()) if self.value() else queryset


@admin.register(Image)
class ImageAdmin(ReadOnlyAdmin):
    list_display = (
        *("image_id", "registry", "os_name", "platform", "scan_state", "security", "highest", "last_scanned_at"),
    )
    list_filter = ("scan_state", SecurityFilter, *Image.COVERAGES, "highest", "config_known", "registry")
    list_select_related = ("registry",)
    search_fields = ("image_id__startswith",)
    related = (
        ("inventory.Tag", "image"),
        ("inventory.ImageLayer", "image"),
        ("scanning.Scan", "image"),
        ("scanning.CategoryResult", "image"),
        ("scanning.ImagePackage", "image"),
        ("scanning.MalwareFinding", "image"),
        ("scanning.SecretFinding", "image"),
    )


@admin.register(Manifest)
class ManifestAdmin(ReadOnlyAdmin):
    list_display = ("digest", "registry", "kind", "media_type", "artifact_type", "size", "last_seen_at")
    list_filter = ("kind", "registry")
    list_select_related = ("registry",)
    search_fields = ("digest__startswith",)
    related = (
        ("inventory.Tag", "manifest"),
        ("inventory.ManifestLayer", "manifest"),
        ("inventory.PlatformManifest", "index"),
        ("inventory.Image", "manifest"),
    )


@admin.register(PlatformManifest)
class PlatformManifestAdmin(ReadOnlyAdmin):
    list_display = ("index", "position", "platform", "digest", "size", "absent")
    list_filter = ("absent",)
    list_select_related = ("index",)
    search_fields = ("digest__startswith", "platform")


@admin.register(Layer)
class LayerAdmin(ReadOnlyAdmin):
    list_display = ("digest", "diff_id", "size", "media_type", "verified")
    list_filter = ("verified",)
    search_fields = ("digest__startswith", "diff_id__startswith")
    related = (("inventory.ManifestLayer", "layer"), ("inventory.RegistryLayer", "layer"))


@admin.register(RegistryLayer)
class RegistryLayerAdmin(ReadOnlyAdmin):
    list_display = ("registry", "layer")
    list_filter = ("registry",)
    list_select_related = ("registry", "layer")
    search_fields = ("layer__digest__startswith",)


@admin.register(ManifestLayer)
class ManifestLayerAdmin(ReadOnlyAdmin):
    list_display = ("manifest", "position", "layer")
    list_select_related = ("manifest", "layer")
    search_fields = ("manifest__digest__startswith", "layer__digest__startswith")


@admin.register(ImageLayer)
class ImageLayerAdmin(ReadOnlyAdmin):
    list_display = ("image", "position", "diff_id", "step")
    list_select_related = ("image",)
    search_fields = ("diff_id__startswith", "image__image_id__startswith")


@admin.register(Snapshot)
class SnapshotAdmin(ReadOnlyAdmin):
    list_display = (
        "day",
        "at",
        "images",
        "scanned",
        "at_risk",
        "partly_scanned",
        "safe",
        "critical",
        "malware",
        "sensitive",
    )
    date_hierarchy = "day"

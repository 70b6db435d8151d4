"""Django admin of the inventory, for support staff: to read. Syncs write it, and the next one would undo a change."""

from __future__ import annotations

from django.contrib import admin

from console.admin import ReadOnlyAdmin
from inventory.models import Image, Layer, Manifest, Repository, Tag


class LargeTableAdmin(ReadOnlyAdmin):
    """Tables of which a full count takes long."""

    show_full_result_count = False
    list_per_page = 50


@admin.register(Repository)
class RepositoryAdmin(LargeTableAdmin):
    list_display = ("name", "registry", "first_seen")
    list_filter = ("registry",)
    list_select_related = ("registry",)
    search_fields = ("name",)


@admin.register(Tag)
class TagAdmin(LargeTableAdmin):
    list_display = ("address", "name", "digest", "image", "size", "first_seen", "changed_at")
    list_filter = ("repository__registry",)
    list_select_related = ("image",)
    search_fields = ("address", "name", "=digest")


@admin.register(Image)
class ImageAdmin(LargeTableAdmin):
    list_display = ("image_id", "os_name", "platform", "scan_state", "highest", "last_scanned_at")
    list_filter = ("scan_state", "highest", "config_known")
    search_fields = ("image_id__startswith",)


@admin.register(Manifest)
class ManifestAdmin(LargeTableAdmin):
    list_display = ("digest", "kind", "media_type", "artifact_type", "size")
    list_filter = ("kind",)
    search_fields = ("digest__startswith",)


@admin.register(Layer)
class LayerAdmin(LargeTableAdmin):
    list_display = ("digest", "diff_id", "size", "media_type")
    search_fields = ("digest__startswith", "diff_id__startswith")

"""Django admin of scans and findings, for support staff: to read. States move by jobs alone, findings by scans."""

from __future__ import annotations

from django.contrib import admin

from inventory.admin import LargeTableAdmin
from scanning.models import (
    CategoryResult,
    DatabaseUpdate,
    LayerEvidence,
    MalwareFinding,
    Package,
    PackageVulnerability,
    Scan,
    SecretFinding,
    Vulnerability,
)


@admin.register(Scan)
class ScanAdmin(LargeTableAdmin):
    list_display = ("id", "address", "state", "stage", "lane", "attempt", "worker", "created_at", "ended_at", "reason")
    list_filter = ("state", "lane", "registry")
    search_fields = ("address", "=manifest_digest", "worker")


@admin.register(DatabaseUpdate)
class DatabaseUpdateAdmin(LargeTableAdmin):
    list_display = ("id", "state", "source", "built_at", "created_at", "ended_at", "reason")
    list_filter = ("state",)


@admin.register(CategoryResult)
class CategoryResultAdmin(LargeTableAdmin):
    list_display = ("image", "category", "outcome", "engine_version", "database_updated_at", "ended_at", "reason")
    list_filter = ("category", "outcome")
    list_select_related = ("image",)
    search_fields = ("image__image_id__startswith",)


@admin.register(Package)
class PackageAdmin(LargeTableAdmin):
    list_display = ("name", "version", "type", "purl")
    list_filter = ("type",)
    search_fields = ("name__startswith", "=purl")


@admin.register(Vulnerability)
class VulnerabilityAdmin(LargeTableAdmin):
    list_display = ("name", "severity", "severity_source", "cvss_score", "title", "published_at")
    list_filter = ("severity",)
    search_fields = ("name__startswith",)


@admin.register(PackageVulnerability)
class PackageVulnerabilityAdmin(LargeTableAdmin):
    list_display = ("vulnerability", "package", "severity", "fixed_version", "status")
    list_filter = ("severity", "status")
    list_select_related = ("vulnerability", "package")
    search_fields = ("vulnerability__name__startswith", "package__name__startswith")


@admin.register(SecretFinding)
class SecretFindingAdmin(LargeTableAdmin):
    list_display = ("title", "rule", "severity", "path", "image", "first_seen")
    list_filter = ("severity", "category")
    list_select_related = ("image",)
    search_fields = ("path", "rule")


@admin.register(MalwareFinding)
class MalwareFindingAdmin(LargeTableAdmin):
    list_display = ("rule", "family", "kind", "severity", "path", "image", "first_seen")
    list_filter = ("kind", "severity", "engine")
    list_select_related = ("image",)
    search_fields = ("path", "rule", "=sha256")


@admin.register(LayerEvidence)
class LayerEvidenceAdmin(LargeTableAdmin):
    list_display = ("diff_id", "engine", "engine_version", "files", "bytes", "seen_at")
    list_filter = ("engine",)
    search_fields = ("diff_id__startswith",)

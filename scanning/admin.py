"""Django admin of scans and findings, for support staff: to read. States move by jobs alone, findings by scans."""

from __future__ import annotations

from django.contrib import admin

from console.support.read_only import JobAdmin, ReadOnlyAdmin
from scanning.models import (
    CategoryResult,
    ExposureRecount,
    ImagePackage,
    LayerResult,
    MalwareFinding,
    Package,
    PackageExposure,
    PackageOverlap,
    PackageVariant,
    PackageVulnerability,
    RegistrySet,
    Rematch,
    Scan,
    ScanRun,
    ScanSchedule,
    ScanSettings,
    ScanSubscription,
    ScheduleRun,
    SecretFinding,
    Selection,
    VariantExposure,
    VulndbUpdate,
    Vulnerability,
    VulnerabilityExposure,
    VulnerabilityOverlap,
)


@admin.register(ScanRun)
class ScanRunAdmin(JobAdmin):
    page = ("scanning:run", "pk")
    list_display = ("id", "state", "trigger", "scope", "tags", "images", "failed", "created_at", "finished_at")
    list_filter = ("state", "trigger", "scope")
    search_fields = ("=id", "requested_by__username", "schedule__name", "reason")
    related = (("scanning.Scan", "run"),)


@admin.register(Scan)
class ScanAdmin(JobAdmin):
    list_display = (
        "id",
        "address",
        "state",
        "stage",
        "priority",
        "attempt",
        "worker",
        "created_at",
        "ended_at",
        "reason",
    )
    list_filter = ("state", "priority", "registry")
    search_fields = ("=id", "address", "reason", "image__image_id__startswith")
    date_hierarchy = None


@admin.register(ScanSubscription)
class ScanSubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("scan", "run", "tags")
    list_select_related = ("scan", "run")
    search_fields = ("=scan__id", "=run__id")


@admin.register(ScanSchedule)
class ScanScheduleAdmin(ReadOnlyAdmin):
    page = ("scanning:schedule", "pk")
    list_display = ("name", "is_on", "every_days", "at", "until", "scope", "next_due_at")
    list_filter = ("is_on", "every_days", "scope")
    search_fields = ("name",)
    related = (("scanning.ScheduleRun", "schedule"), ("scanning.ScanRun", "schedule"))


@admin.register(ScheduleRun)
class ScheduleRunAdmin(ReadOnlyAdmin):
    list_display = ("schedule", "due_at", "outcome", "run", "at")
    list_filter = ("outcome", "schedule")
    list_select_related = ("schedule", "run")
    search_fields = ("schedule__name",)
    date_hierarchy = "due_at"


@admin.register(ScanSettings)
class ScanSettingsAdmin(ReadOnlyAdmin):
    list_display = ("id", "monthly_quota", "updated_at")


@admin.register(Selection)
class SelectionAdmin(ReadOnlyAdmin):
    list_display = ("owner", "purpose", "used_at")
    list_select_related = ("owner",)
    search_fields = ("owner__username", "purpose")


@admin.register(VulndbUpdate)
class VulndbUpdateAdmin(JobAdmin):
    list_display = ("id", "state", "source", "built_at", "created_at", "ended_at", "reason")
    search_fields = ("source", "reason")


@admin.register(Rematch)
class RematchAdmin(JobAdmin):
    list_display = ("id", "state", "database_version", "packages", "images", "new_matches", "gone_matches", "ended_at")
    search_fields = ("database_version", "reason")


@admin.register(ExposureRecount)
class ExposureRecountAdmin(JobAdmin):
    list_display = ("id", "state", "images", "changed", "created_at", "started_at", "ended_at", "reason")


@admin.register(CategoryResult)
class CategoryResultAdmin(ReadOnlyAdmin):
    list_display = ("image", "category", "outcome", "engine_version", "database_updated_at", "ended_at", "reason")
    list_filter = ("category", "outcome")
    list_select_related = ("image",)
    search_fields = ("image__image_id__startswith",)


@admin.register(Package)
class PackageAdmin(ReadOnlyAdmin):
    page = ("scanning:package", "pk")
    list_display = ("name", "version", "type", "images", "findings", "purl")
    list_filter = ("type",)
    search_fields = ("name__startswith", "=purl")
    related = (
        ("scanning.PackageVariant", "package"),
        ("scanning.PackageVulnerability", "package"),
        ("scanning.PackageExposure", "package"),
    )


@admin.register(PackageVariant)
class PackageVariantAdmin(ReadOnlyAdmin):
    list_display = ("id", "package", "system", "matched_with", "failed_with", "first_seen")
    list_select_related = ("package",)
    search_fields = ("=key", "package__name__startswith")
    related = (
        ("scanning.ImagePackage", "variant"),
        ("scanning.PackageVulnerability", "variant"),
        ("scanning.VariantExposure", "variant"),
    )


@admin.register(Vulnerability)
class VulnerabilityAdmin(ReadOnlyAdmin):
    page = ("scanning:vulnerability", "name")
    list_display = ("name", "severity", "severity_source", "cvss_score", "images", "title", "published_at")
    list_filter = ("severity", "fixable")
    search_fields = ("name__startswith",)
    related = (("scanning.PackageVulnerability", "vulnerability"), ("scanning.VulnerabilityExposure", "vulnerability"))


@admin.register(PackageVulnerability)
class PackageVulnerabilityAdmin(ReadOnlyAdmin):
    list_display = ("vulnerability", "package", "variant", "severity", "fixed_version", "status", "first_seen")
    list_filter = ("severity", "status")
    list_select_related = ("vulnerability", "package", "variant")
    search_fields = ("vulnerability__name__startswith", "package__name__startswith")


@admin.register(ImagePackage)
class ImagePackageAdmin(ReadOnlyAdmin):
    list_display = ("image", "package", "variant", "path", "diff_id")
    list_select_related = ("image", "package", "variant")
    search_fields = ("variant__package__name__startswith", "image__image_id__startswith")


@admin.register(PackageExposure)
class PackageExposureAdmin(ReadOnlyAdmin):
    list_display = ("package", "registry", "images", "tags")
    list_filter = ("registry",)
    list_select_related = ("package", "registry")
    search_fields = ("package__name__startswith",)


@admin.register(VariantExposure)
class VariantExposureAdmin(ReadOnlyAdmin):
    list_display = ("variant", "registry", "images")
    list_filter = ("registry",)
    list_select_related = ("variant", "registry")
    search_fields = ("variant__package__name__startswith",)


@admin.register(VulnerabilityExposure)
class VulnerabilityExposureAdmin(ReadOnlyAdmin):
    list_display = ("vulnerability", "registry", "images", "tags")
    list_filter = ("registry",)
    list_select_related = ("vulnerability", "registry")
    search_fields = ("vulnerability__name__startswith",)


@admin.register(RegistrySet)
class RegistrySetAdmin(ReadOnlyAdmin):
    list_display = ("id", "registries")
    search_fields = ("registries",)


@admin.register(PackageOverlap)
class PackageOverlapAdmin(ReadOnlyAdmin):
    list_display = ("package", "holders", "images")
    list_select_related = ("package", "holders")
    search_fields = ("package__name__startswith",)


@admin.register(VulnerabilityOverlap)
class VulnerabilityOverlapAdmin(ReadOnlyAdmin):
    list_display = ("vulnerability", "holders", "images")
    list_select_related = ("vulnerability", "holders")
    search_fields = ("vulnerability__name__startswith",)


@admin.register(SecretFinding)
class SecretFindingAdmin(ReadOnlyAdmin):
    list_display = ("title", "rule", "severity", "path", "image", "first_seen")
    list_filter = ("severity", "category")
    list_select_related = ("image",)
    search_fields = ("path", "rule")


@admin.register(MalwareFinding)
class MalwareFindingAdmin(ReadOnlyAdmin):
    list_display = ("rule", "family", "kind", "severity", "path", "image", "first_seen")
    list_filter = ("kind", "severity", "engine")
    list_select_related = ("image",)
    search_fields = ("path", "rule", "=sha256")


@admin.register(LayerResult)
class LayerResultAdmin(ReadOnlyAdmin):
    list_display = ("diff_id", "engine", "engine_version", "files", "bytes", "seen_at")
    list_filter = ("engine",)
    search_fields = ("diff_id__startswith",)

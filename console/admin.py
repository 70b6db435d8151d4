"""Django admin of the console, for support staff: people can be changed, what happened can only be read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from console import audit
from console.models import AuditEvent, Canary, Export, JobEvent, KeptFigures, SavedView, ScanCanary, User
from console.read_only_admin import JobAdmin, ReadOnlyAdmin


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows whose changes in Django admin are in the audit trail, with what they were before. ``kept`` are the facts."""

    kept: tuple[str, ...] = ()
    subject = "admin"

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        stored = type(obj)._default_manager.filter(pk=obj.pk).first() if change else None
        super().save_model(request, obj, form, change)
        before = audit.facts(stored, self.kept) if stored else {}
        after = audit.facts(obj, self.kept)
        audit.record(request, f"{self.subject}.{'edit' if change else 'add'}", obj, before=before, after=after)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        audit.record(request, f"{self.subject}.delete", obj, before=audit.facts(obj, self.kept))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            audit.record(request, f"{self.subject}.delete", row, before=audit.facts(row, self.kept))
        super().delete_queryset(request, queryset)


@admin.register(User)
class PersonAdmin(AuditedAdmin, UserAdmin):  # type: ignore[type-arg]
    """People. Who is no administrator can neither make one nor become one, whatever Django's permissions allow."""

    subject = "user"
    kept = ("username", "first_name", "last_name", "email", "role", "is_active", "is_staff", "is_superuser")
    powers = ("role", "is_staff", "is_superuser", "groups", "user_permissions")
    list_display = ("username", "first_name", "last_name", "role", "is_active", "last_login")
    list_filter = ("role", "is_active", "is_staff")
    fieldsets = (
        *(UserAdmin.fieldsets or ()),
        ("Tallyman", {"fields": ("role", "theme", "density", "language", "time_zone")}),
    )
    add_fieldsets = (*UserAdmin.add_fieldsets, ("Tallyman", {"fields": ("role",)}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        found = super().get_readonly_fields(request, obj)
        return found if _administers(request) else (*found, *self.powers)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and _may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_touch(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        if not all(_may_touch(request, each) for each in queryset):
            raise PermissionDenied
        super().delete_queryset(request, queryset)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        person = self.get_object(request, id)
        before = person.password if person else ""
        response = super().user_change_password(request, id, form_url)
        if person and User.objects.filter(pk=person.pk).exclude(password=before).exists():
            audit.record(request, "user.password", person, {"by": "Django admin"})
        return response


def _administers(request: HttpRequest) -> bool:
    return isinstance(request.user, User) and request.user.may_administer


def _may_touch(request: HttpRequest, person: object) -> bool:
    """Whether who is signed in may change ``person``: an administrator is changed by administrators alone."""
    powerful = isinstance(person, User) and (person.may_administer or person.is_staff)
    return _administers(request) or not powerful


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


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    list_display = ("id", "requested_by", "listing", "format", "state", "rows", "created_at", "expires_at")
    list_filter = ("state", "listing", "format")
    list_select_related = ("requested_by",)
    search_fields = ("requested_by__username", "description")


@admin.register(KeptFigures)
class KeptFiguresAdmin(ReadOnlyAdmin):
    list_display = ("name", "at", "took", "asked_at")


@admin.register(SavedView)
class SavedViewAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "listing", "is_default", "shared")
    list_filter = ("listing", "shared")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")

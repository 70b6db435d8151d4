"""Django admin of the console, for support staff: people can be changed, what happened can only be read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import AdminRadioSelect
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import UserChangeForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _

from console.audit import trail
from console.models import (
    AuditEvent,
    CachedCount,
    Export,
    FileChunk,
    FleetVersion,
    HealthProbe,
    JobEvent,
    Machine,
    SavedView,
    ScanHealthProbe,
    SharedFile,
    User,
)
from console.support.read_only import JobAdmin, ReadOnlyAdmin


class AuditedAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Rows whose changes in Django admin are in the audit trail, with what they were before.

    ``audited_fields`` are the facts, ``audited_relations`` the relations to many whose names are kept too.
    """

    audited_fields: tuple[str, ...] = ()
    audited_relations: tuple[str, ...] = ()
    subject = "admin"

    def save_form(self, request: HttpRequest, form: Any, change: bool) -> Any:
        """Remember the stored values before the form changes the row; ``save_related`` records the difference."""
        stored = self.model._default_manager.filter(pk=form.instance.pk).first() if change else None
        self._before(request, self._facts(stored) if stored else {})
        return super().save_form(request, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save, then record what has changed, relations included, in the audit trail."""
        super().save_related(request, form, formsets, change)
        before, row = self._before(request), form.instance
        trail.record(
            request, f"{self.subject}.{'edit' if change else 'add'}", row, before=before, after=self._facts(row)
        )

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Record the row in the audit trail, then delete it."""
        trail.record(request, f"{self.subject}.delete", obj, before=self._facts(obj))
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Record each row in the audit trail, then delete them all."""
        for row in queryset:
            trail.record(request, f"{self.subject}.delete", row, before=self._facts(row))
        super().delete_queryset(request, queryset)

    def _facts(self, row: Any) -> dict[str, Any]:
        names = {name: ", ".join(sorted(map(str, getattr(row, name).all()))) for name in self.audited_relations}
        return trail.facts(row, self.audited_fields) | names

    def _before(self, request: HttpRequest, facts: dict[str, Any] | None = None) -> dict[str, Any]:
        """Keep ``facts`` with the request, or return those that were kept."""
        if facts is not None:
            request.META["tallyman.before"] = facts
        found: dict[str, Any] = request.META.get("tallyman.before", {})
        return found


class ConsoleUserForm(UserChangeForm):  # type: ignore[type-arg]
    """Django's own, which asks in words what somebody sees."""

    limited = forms.TypedChoiceField(
        label=_("Visible registries"),
        choices=(("False", _("All registries")), ("True", _("Only the registries of the teams below"))),
        coerce=lambda value: value == "True",
        required=False,
        widget=AdminRadioSelect,
    )

    def clean(self) -> dict[str, Any]:
        """Refuse a limit that would be none, and one that would not hold."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        if "limited" not in self.fields:
            return found
        if found.get("teams") and not found.get("limited"):
            self.add_error("limited", _("Members of a team see only its registries. Choose that, or select no team."))
        powerful = found.get("role") == User.Role.ADMINISTRATOR or found.get("is_staff") or found.get("is_superuser")
        if found.get("limited") and powerful:
            self.add_error("limited", _("Administrators and support staff see all registries and cannot be limited."))
        return found


@admin.register(User)
class ConsoleUserAdmin(AuditedAdmin, UserAdmin):  # type: ignore[type-arg]
    """People. Who is no administrator can neither make one nor become one, whatever Django's permissions allow."""

    subject = "user"
    audited_fields = (
        "username",
        "first_name",
        "last_name",
        "email",
        "role",
        "is_active",
        "is_staff",
        "is_superuser",
        "limited",
    )
    audited_relations = ("teams",)
    privileged_fields = ("role", "is_staff", "is_superuser", "groups", "user_permissions", "limited", "teams")
    form = ConsoleUserForm
    list_display = ("username", "first_name", "last_name", "role", "limited", "is_active", "last_login")
    list_filter = ("role", "limited", "teams", "is_active", "is_staff")
    filter_horizontal = (*UserAdmin.filter_horizontal, "teams")
    fieldsets = (
        *(UserAdmin.fieldsets or ()),
        ("Tallyman", {"fields": ("role", "theme", "density", "language", "time_zone")}),
        (
            _("Registries"),
            {
                "fields": ("limited", "teams"),
                "description": _(
                    "A limited person sees only these registries and what belongs to them: repositories, images, "
                    "findings, scans, counts and exports. Without a team, that is nothing."
                ),
            },
        ),
    )
    add_fieldsets = (*UserAdmin.add_fieldsets, ("Tallyman", {"fields": ("role",)}))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Return the fields that cannot be changed: for all but administrators, those that grant rights too."""
        found = super().get_readonly_fields(request, obj)
        return found if is_administrator(request) else (*found, *self.privileged_fields)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person signed in may change ``obj``: only administrators may change administrators and staff."""
        return super().has_change_permission(request, obj) and _may_change_user(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whether the person signed in may delete ``obj``, by the same rule as for changes."""
        return super().has_delete_permission(request, obj) and _may_change_user(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Delete the chosen accounts; raise PermissionDenied, and delete none, if one of them may not be deleted."""
        if not all(_may_change_user(request, each) for each in queryset):
            raise PermissionDenied
        super().delete_queryset(request, queryset)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Change the password of an account, and record it if it has really changed."""
        person = self.get_object(request, id)
        before = person.password if person else ""
        response = super().user_change_password(request, id, form_url)
        if person and User.objects.filter(pk=person.pk).exclude(password=before).exists():
            trail.record(request, "user.password", person, {"by": "Django admin"})
        return response


def is_administrator(request: HttpRequest) -> bool:
    """Whether the person signed in may administer the console; True for superusers, False for nobody."""
    return isinstance(request.user, User) and request.user.may_administer


def _may_change_user(request: HttpRequest, person: object) -> bool:
    """Whether who is signed in may change ``person``: an administrator is changed by administrators alone."""
    powerful = isinstance(person, User) and (person.may_administer or person.is_staff)
    return is_administrator(request) or not powerful


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


admin.site.register((HealthProbe, ScanHealthProbe), JobAdmin)


@admin.register(Export)
class ExportAdmin(ReadOnlyAdmin):
    list_display = ("id", "requested_by", "listing", "format", "state", "rows", "created_at", "expires_at")
    list_filter = ("state", "listing", "format")
    list_select_related = ("requested_by",)
    search_fields = ("requested_by__username", "description")


@admin.register(CachedCount)
class CachedCountAdmin(ReadOnlyAdmin):
    list_display = ("name", "at", "seconds", "requested_at")


@admin.register(SavedView)
class SavedViewAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "listing", "is_default", "shared")
    list_filter = ("listing", "shared")
    list_select_related = ("user",)
    search_fields = ("name", "user__username")


@admin.register(Machine)
class MachineAdmin(ReadOnlyAdmin):
    list_display = ("host", "last_seen", "ready", "serves", "folder")
    list_filter = ("ready",)
    search_fields = ("host",)


@admin.register(FleetVersion)
class FleetVersionAdmin(ReadOnlyAdmin):
    list_display = ("name", "version", "sha256", "host", "changed_at")
    search_fields = ("name",)


@admin.register(SharedFile)
class SharedFileAdmin(ReadOnlyAdmin):
    list_display = ("sha256", "size", "created_at", "delete_after")
    search_fields = ("sha256",)


@admin.register(FileChunk)
class FileChunkAdmin(ReadOnlyAdmin):
    list_display = ("file", "number")
    search_fields = ("file__sha256",)

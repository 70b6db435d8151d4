"""Django admin of the registries, for support staff: to read. The page of the console is where they are changed.

The fields of a registry are named one by one, so that a column that is added later is not shown before somebody has
thought of it. No list holds a column with a credential.
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.widgets import FilteredSelectMultiple
from django.db.models import Q
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from console.admin import AuditedAdmin, is_administrator
from console.audit import trail
from console.models import Team, User
from console.support.read_only import JOB_FIELDS, JobAdmin, ReadOnlyAdmin
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


class DualListWidget(FilteredSelectMultiple):
    """The two lists of Django admin, laid out as it lays out those of its own fields."""

    def render(self, *args: Any, **kwargs: Any) -> SafeString:
        return format_html('<div class="related-widget-wrapper">{}</div>', super().render(*args, **kwargs))


class TeamForm(forms.ModelForm):  # type: ignore[type-arg]
    """A team with its registries and its people, whatever table holds these."""

    registries = forms.ModelMultipleChoiceField(
        queryset=Registry.objects.none(),
        required=False,
        label=_("Registries"),
        help_text=_("The registries that its members see. A registry that is added later belongs to no team."),
        widget=DualListWidget(_("Registries"), is_stacked=False),
    )
    members = forms.ModelMultipleChoiceField(
        queryset=User.objects.none(),
        required=False,
        label=_("Members"),
        help_text=_(
            "A person who becomes a member is limited from then on, even after leaving the team: only the "
            "person's own page removes the limit. Administrators and support staff see everything and are not "
            "listed here."
        ),
        widget=DualListWidget(_("Members"), is_stacked=False),
    )

    class Meta:
        model = Team
        fields = ("name", "groups")
        help_texts = {
            "groups": _(
                "One per line. A person who signs in by single sign-on and is in one of these groups becomes a "
                "member, until removed from the group."
            )
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        registries, members = self.fields["registries"], self.fields["members"]
        powerful = Q(role=User.Role.ADMINISTRATOR) | Q(is_superuser=True) | Q(is_staff=True)
        registries.queryset = Registry.objects.present()  # type: ignore[attr-defined]
        members.queryset = User.objects.exclude(powerful).order_by("username")  # type: ignore[attr-defined]
        if self.instance.pk:
            registries.initial = self.instance.registries.all()
            members.initial = self.instance.members.all()


@admin.register(Team)
class TeamAdmin(AuditedAdmin):
    """Who sees which registries. Administrators alone decide that, whatever Django's permissions allow."""

    subject = "team"
    audited_fields = ("name", "groups")
    audited_relations = ("registries", "members")
    form = TeamForm
    fields = ("name", "registries", "members", "groups")
    list_display = ("name", "registry_names", "people")
    search_fields = ("name", "registries__name", "members__username")

    @admin.display(description=_("Registries"))
    def registry_names(self, team: Team) -> str:
        return ", ".join(registry.name for registry in team.registries.all()) or "–"

    @admin.display(description=_("Members"))
    def people(self, team: Team) -> int:
        return len(team.members.all())

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("registries", "members")

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Set registries and members of the team. Members become limited, which leaving the team does not undo."""
        team: Team = form.instance
        team.registries.set(form.cleaned_data["registries"])
        team.members.set(form.cleaned_data["members"])
        for member in team.members.filter(limited=False):
            member.limited = True
            member.save(update_fields=["limited"])
            trail.record(request, "user.edit", member, before={"limited": False}, after={"limited": True})
        team = form.instance = Team.objects.get(pk=team.pk)
        super().save_related(request, form, formsets, change)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return super().has_add_permission(request) and is_administrator(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and is_administrator(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and is_administrator(request)


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
                    *("complete", *JOB_FIELDS),
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

"""Adding, changing and deleting registries."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import administrator_required, signed_in_user
from console.audit import trail
from console.db.primary_keys import parse_key
from console.listing.listing import SelectionError
from registries.forms.registry import SECRET_FIELDS, DeleteForm, RegistryForm, name_is_taken, typed_values
from registries.models import Registry, SyncRun
from registries.pull_limit import limit_changed
from registries.request_removal import request_removal
from registries.sync_requests.start import start_sync
from registries.tables.listings import REGISTRIES

AUDITED_FIELDS = (  # of a registry that the audit trail keeps
    *("name", "type", "version", "network", "region", "address", "username", "pull_username", "role", "endpoint"),
    *("token_service", "limit", "verify_tls", "repositories"),
    *("repository_patterns", "tag_patterns", "newest_tags", "tag_days"),
)


@require_http_methods(["GET", "HEAD", "POST"])
@administrator_required
def registry_add(request: HttpRequest) -> HttpResponse:
    """The form that adds a registry."""
    return _edit(request, Registry(), action="registry.add", done=_("“%(name)s” was added."))


@require_http_methods(["GET", "HEAD", "POST"])
@administrator_required
def registry_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The form that changes a registry."""
    registry = get_object_or_404(Registry.objects.present(), pk=pk)
    return _edit(request, registry, action="registry.edit", done=_("“%(name)s” was saved."))


def _edit(request: HttpRequest, registry: Registry, *, action: str, done: str) -> HttpResponse:
    before, was = registry.name, audited_facts(registry)
    another = "show" in request.POST or "show" in request.GET  # another type was chosen: its fields, nothing is judged
    if request.method != "POST" or another:
        typed = typed_values(request.POST) if request.method == "POST" else {}
        # What a connection test has offered: it is in the form then, and counts once somebody saves that.
        if host := request.POST.get("allow") or request.GET.get("token_service"):
            typed["token_service"] = host[:255]
        return render_form(request, RegistryForm(instance=registry, initial=typed), title=before)
    form = RegistryForm(request.POST, instance=registry)
    if not form.is_valid() or not (saved := _save(form)):
        return render_form(request, form, title=before, status=422)
    changed = {name: "changed" for name in (*SECRET_FIELDS, "ca_bundle") if name in form.changed_data and name in was}
    trail.record(request, action, saved, before=was, after=audited_facts(saved) | changed)
    if "limit" in form.changed_data:
        limit_changed(saved)
    messages.success(request, done % {"name": saved.name})
    if action == "registry.add" and request.POST.get("then") == "sync":
        start_sync(registries=[saved], requested_by=request)
    url = reverse("registries:registry-list")
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return redirect(url)


def audited_facts(registry: Registry) -> dict[str, Any]:
    """Return what the audit trail keeps of a registry; nothing of one not stored yet. Secrets are only named."""
    if registry._state.adding:
        return {}
    secret = {"password": registry.has_password, "pull_password": registry.has_pull_password}
    secret["ca_bundle"] = bool(registry.ca_bundle)
    return trail.facts(registry, AUDITED_FIELDS) | {name: "set" if is_set else "" for name, is_set in secret.items()}


def render_form(
    request: HttpRequest, form: RegistryForm, *, title: str = "", status: int = 200, **context: Any
) -> HttpResponse:
    """Answer with the form: the page, or to htmx the form with what stands beside it."""
    name = "_registry_form" if request.headers.get("HX-Request") else "registry_form"
    own = {"form": form, "registry": form.was, "title": title or form.was.name, "declared": form.declaration}
    return render(request, f"registries/{name}.html", own | context, status=status)


def _save(form: RegistryForm) -> Registry | None:
    """Save what the form says; None, and the form says why, where somebody else took the name just now."""
    try:
        with transaction.atomic():
            return form.save()
    except IntegrityError:
        form.add_error("name", _("Another registry has this name."))
        return None


@require_GET
@administrator_required
def check_name(request: HttpRequest) -> HttpResponse:
    """Say beside the field whether the name that somebody is typing is free."""
    name = " ".join(request.GET.get("name", "").split())
    taken = name_is_taken(name, but=parse_key(request.GET.get("but", "")))
    return render(request, "registries/_name_message.html", {"name": name, "taken": taken})


@require_http_methods(["GET", "HEAD", "POST"])
@administrator_required
def registry_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Say what goes with a registry and ask for its name, then have it removed."""
    get_object_or_404(Registry.objects.present(), pk=pk)
    return _delete(request, Registry.objects.present().filter(pk=pk), confirmed=request.method == "POST")


@require_POST
@administrator_required
def delete_chosen(request: HttpRequest) -> HttpResponse:
    """The same for the registries chosen in the list."""
    try:
        view = QueryDict(request.POST.get("view", "").removeprefix("?"))
        chosen = REGISTRIES.selected(view=view, chosen=request.POST)
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return redirect("registries:registry-list")
    return _delete(request, chosen, confirmed="typed" in request.POST)


def _delete(request: HttpRequest, chosen: QuerySet[Registry], *, confirmed: bool) -> HttpResponse:
    registries = list(chosen.order_by("name", "pk"))
    if not registries:
        return redirect("registries:registry-list")
    form = DeleteForm(request.POST if confirmed else None, registries=registries)
    if not confirmed or not form.is_valid():
        context = {"form": form, "registries": registries, "goes": deletion_counts(registries)}
        return render(request, "registries/registry_delete.html", context, status=422 if form.errors else 200)
    for registry in registries:
        if request_removal(registry, requested_by=signed_in_user(request)):
            trail.record(request, "registry.delete", registry, before=audited_facts(registry))
    names = ", ".join(f"“{registry.name}”" for registry in registries[:5]) + (", …" if len(registries) > 5 else "")
    text = ngettext("%(names)s is being deleted.", "%(names)s are being deleted.", len(registries))
    messages.success(request, text % {"names": names})
    return redirect("registries:registry-list")


@require_POST
@administrator_required
def retry_removal(request: HttpRequest, pk: int) -> HttpResponse:
    """Take up a removal that has failed."""
    registry = get_object_or_404(Registry, pk=pk, deleting_at__isnull=False)
    if request_removal(registry, requested_by=signed_in_user(request)):
        trail.record(request, "registry.delete", registry, {"again": True})
    return redirect("registries:registry-list")


def deletion_counts(registries: list[Registry]) -> dict[str, int]:
    """Return what goes with ``registries``: "alone" counts the images that no other registry holds."""
    chosen, image = (
        Registry.objects.filter(pk__in=[registry.pk for registry in registries]),
        "repository_set__tags__image",
    )
    counts = chosen.aggregate(
        repositories=Count("repository_set", distinct=True),
        tags=Count("repository_set__tags", distinct=True),
        images=Count(image, distinct=True),
    )
    records = SyncRun.objects.filter(registry__in=registries).count()  # joined above, each would multiply the tags
    others = Registry.objects.exclude(pk__in=chosen.values("pk")).filter(**{f"{image}__in": chosen.values(image)})
    shared = others.aggregate(number=Count(image, distinct=True))["number"]
    passwords = sum(registry.has_password + registry.has_pull_password for registry in registries)
    return {**counts, "records": records, "alone": counts["images"] - shared, "passwords": passwords}

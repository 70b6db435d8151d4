"""The page "Image repository management"."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import IntegrityError, transaction
from django.db.models import Count, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console import audit
from console.accounts import administrator, operator, person
from console.jobs.models import State
from console.jobs.queue import request_cancel
from registries.discoveries import request_discoveries
from registries.forms import DeleteForm, RegistryForm, name_is_taken
from registries.models import CloudAccount, Registry, SyncRun
from registries.start_sync import start_sync

ACTIVE = [State.QUEUED, State.RUNNING]
RECORDS_A_PAGE = 20
ENDED_LATELY = timedelta(seconds=60)  # polls show the end of a sync so long after it


def _rows() -> QuerySet[Any]:
    """Registries with what a row shows: images, the last sync, and the one in progress as ``active_runs``."""
    images = Registry.objects.filter(pk=OuterRef("pk")).annotate(number=Count("repository_set__tags")).values("number")
    return (
        Registry.objects.select_related("last_sync")
        .annotate(images=Subquery(images))
        .prefetch_related(Prefetch("sync_runs", SyncRun.objects.filter(state__in=ACTIVE), to_attr="active_runs"))
    )


@require_GET
def registry_list(request: HttpRequest) -> HttpResponse:
    """The page: all registries, or those that a search finds."""
    search = request.GET.get("q", "").strip()[:200]
    rows = _rows()
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(address__icontains=search))
    found = list(rows)
    return render(
        request,
        "registries/registry_list.html",
        {
            "registries": found,
            "search": search,
            "images": sum(registry.images for registry in found),
            "any": bool(found) or Registry.objects.exists(),
            "poll": any(registry.active_runs for registry in found),
        },
    )


@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    """The cells of all registries whose sync runs or has just ended; asked for again and again while one runs."""
    return _progress(request)


def _progress(request: HttpRequest) -> HttpResponse:
    lately = Q(sync_runs__state__in=ACTIVE) | Q(sync_runs__ended_at__gte=timezone.now() - ENDED_LATELY)
    moving = list(_rows().filter(pk__in=Registry.objects.filter(lately).values("pk")))
    poll = any(registry.active_runs for registry in moving)
    return render(request, "registries/_progress.html", {"registries": moving, "poll": poll, "oob": True})


@require_GET
def registry_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One registry with the records of its syncs."""
    registry = get_object_or_404(_rows(), pk=pk)
    runs = registry.sync_runs.select_related("requested_by")
    page = Paginator(runs, RECORDS_A_PAGE).get_page(request.GET.get("page"))
    return render(
        request,
        "registries/registry_detail.html",
        {"registry": registry, "page": page, "poll": bool(registry.active_runs)},
    )


@require_http_methods(["GET", "HEAD", "POST"])
@administrator
def registry_add(request: HttpRequest) -> HttpResponse:
    """The form that adds a registry."""
    return _edit(request, Registry(), action="registry.add", done=_("“%(name)s” was added."))


@require_http_methods(["GET", "HEAD", "POST"])
@administrator
def registry_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """The form that changes a registry."""
    registry = get_object_or_404(Registry, pk=pk)
    return _edit(request, registry, action="registry.edit", done=_("“%(name)s” was saved."))


def _edit(request: HttpRequest, registry: Registry, *, action: str, done: str) -> HttpResponse:
    before = registry.name
    form = RegistryForm(request.POST or None, instance=registry)
    if request.method == "POST" and form.is_valid() and (saved := _save(form)):
        detail = {"changed": sorted(form.changed_data), "address": saved.address}
        audit.record(request, action, saved, detail | ({"was": before} if before not in {"", saved.name} else {}))
        messages.success(request, done % {"name": saved.name})
        if action == "registry.add" and request.POST.get("then") == "sync":
            start_sync(registries=[saved], requested_by=person(request))
            audit.record(request, "sync.start", saved)
        return _lead(request, reverse("registries:registry-list"))
    wrong = bool(form.errors)
    name = "_registry_form" if request.headers.get("HX-Request") else "registry_form"
    context = {"form": form, "registry": registry, "title": before}
    return render(request, f"registries/{name}.html", context, status=422 if wrong else 200)


def _save(form: RegistryForm) -> Registry | None:
    """Save what the form says; None, and the form says why, where somebody else took the name just now."""
    try:
        with transaction.atomic():
            return form.save()
    except IntegrityError:
        form.add_error("name", _("Another registry has this name."))
        return None


def _lead(request: HttpRequest, url: str) -> HttpResponse:
    """Go to another page, also out of an answer to htmx."""
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": url})
    return redirect(url)


@require_GET
@administrator
def check_name(request: HttpRequest) -> HttpResponse:
    """Say beside the field whether the name that somebody is typing is free."""
    but = request.GET.get("but", "")
    name = " ".join(request.GET.get("name", "").split())
    taken = name_is_taken(name, but=int(but) if but.isdecimal() and len(but) < 18 else None)
    return render(request, "registries/_name_message.html", {"name": name, "taken": taken})


@require_http_methods(["GET", "HEAD", "POST"])
@administrator
def registry_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for the name, then delete the registry with its repositories, tags and sync records."""
    registry = get_object_or_404(_rows().annotate(repository_count=Count("repository_set")), pk=pk)
    form = DeleteForm(request.POST or None, registry=registry)
    if request.method == "POST" and form.is_valid():
        if any(run.state == State.RUNNING for run in registry.active_runs):
            form.add_error(None, _("A sync of this registry is running. Cancel it first, then delete the registry."))
        else:
            audit.record(request, "registry.delete", registry, {"address": registry.address, "images": registry.images})
            registry.delete()
            messages.success(request, _("“%(name)s” was deleted.") % {"name": registry.name})
            return redirect("registries:registry-list")
    context = {"form": form, "registry": registry}
    return render(request, "registries/registry_delete.html", context, status=422 if form.errors else 200)


@require_POST
@operator
def sync_all(request: HttpRequest) -> HttpResponse:
    """Sync all registries, or those that the form names in ``ids``."""
    chosen = Registry.objects.all()
    if ids := [int(key) for key in request.POST.getlist("ids") if key.isdecimal() and len(key) < 18]:
        chosen = chosen.filter(pk__in=ids)
    else:
        request_discoveries(CloudAccount.objects.all(), requested_by=person(request))
    return _start(request, chosen)


@require_POST
@operator
def sync(request: HttpRequest, pk: int) -> HttpResponse:
    """Sync one registry."""
    return _start(request, Registry.objects.filter(pk=get_object_or_404(Registry, pk=pk).pk))


def _start(request: HttpRequest, chosen: QuerySet[Registry]) -> HttpResponse:
    started = start_sync(registries=chosen, requested_by=person(request))
    for run in started.runs:
        audit.record(request, "sync.start", run.registry)
    text = ngettext("%(n)d sync queued", "%(n)d syncs queued", len(started.runs)) % {"n": len(started.runs)}
    if started.already:
        text += _(", %(n)d skipped (already syncing)") % {"n": len(started.already)}
    if started.runs or started.already:
        messages.add_message(request, messages.SUCCESS if started.runs else messages.INFO, text)
    else:
        messages.info(request, _("There is no registry to sync. Add one first."))
    return _after(request)


@require_POST
@operator
def cancel_sync(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the sync of a registry to stop; what it has found so far stays."""
    registry = get_object_or_404(Registry, pk=pk)
    for run in registry.sync_runs.filter(state__in=ACTIVE):
        request_cancel(run)
        audit.record(request, "sync.cancel", registry)
    return _after(request)


def _after(request: HttpRequest) -> HttpResponse:
    """Answer an action on syncs: the moving cells to this page, a toast to others, a redirect without script."""
    if request.headers.get("HX-Target") == "registry-progress":
        return _progress(request)
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204)
    return redirect("registries:registry-list")

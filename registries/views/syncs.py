"""Starting, watching and cancelling syncs, and their records."""

from __future__ import annotations

from datetime import timedelta

from django.contrib import messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import operator_required
from console.audit import trail
from console.db.primary_keys import parse_keys
from console.exports import list_export
from console.jobs.broker import request_cancel
from console.jobs.models import State
from console.listing import column_picker
from console.listing import views as lists
from console.listing.listing import SelectionError
from registries.cloud_accounts.discovery import request_discoveries
from registries.models import CloudAccount, Registry, SyncRun
from registries.sync_requests.start import start_sync
from registries.tables.listings import REGISTRIES, SYNCS
from registries.views.lists import registry_rows

RECENTLY_ENDED = timedelta(seconds=60)  # polls show the end of a sync so long after it
MAX_VISIBLE_ROWS = 100  # rows of the longest page

sync_columns = column_picker.make_columns_view(SYNCS)
sync_export = list_export.make_export_view(SYNCS)


@require_GET
def sync_list(request: HttpRequest) -> HttpResponse:
    """The records of all syncs."""
    return lists.show(request, SYNCS, template="registries/sync_list.html")


@require_POST
@operator_required
def sync_all(request: HttpRequest) -> HttpResponse:
    """Sync all registries, or where a list of them asks, those chosen in it."""
    if "ids" not in request.POST:
        request_discoveries(CloudAccount.objects.all(), requested_by=request)
    if "view" not in request.POST and "ids" not in request.POST:
        return _start(request, Registry.objects.present())
    try:
        view = QueryDict(request.POST.get("view", "").removeprefix("?"))
        return _start(request, REGISTRIES.selected(view=view, chosen=request.POST))
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return respond_to_action(request)


@require_POST
@operator_required
def sync(request: HttpRequest, pk: int) -> HttpResponse:
    """Sync one registry; with ``confirm_missing`` what it does not list any more is gone."""
    chosen = Registry.objects.filter(pk=get_object_or_404(Registry.objects.present(), pk=pk).pk)
    return _start(request, chosen, confirm_missing="confirm_missing" in request.POST)


def _start(request: HttpRequest, chosen: QuerySet[Registry], *, confirm_missing: bool = False) -> HttpResponse:
    started = start_sync(registries=chosen, requested_by=request, confirm_missing=confirm_missing)
    text = ngettext("%(n)d sync queued", "%(n)d syncs queued", len(started.runs)) % {"n": len(started.runs)}
    if started.already_active:
        text += _(", %(n)d skipped (already syncing)") % {"n": len(started.already_active)}
    if started.runs or started.already_active:
        messages.add_message(request, messages.SUCCESS if started.runs else messages.INFO, text)
    else:
        messages.info(request, _("There is no registry to sync. Add one first."))
    return respond_to_action(request)


@require_POST
@operator_required
def cancel_sync(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask the sync of a registry to stop; what it has found so far stays."""
    return _cancel(request, SyncRun.objects.filter(registry=get_object_or_404(Registry, pk=pk)))


@require_POST
@operator_required
def cancel_all(request: HttpRequest) -> HttpResponse:
    """Ask all syncs to stop."""
    return _cancel(request, SyncRun.objects.all())


def _cancel(request: HttpRequest, runs: QuerySet[SyncRun]) -> HttpResponse:
    for run in runs.filter(state__in=State.active(), cancel_requested_at=None).select_related("registry"):
        request_cancel(run)
        trail.record(request, "sync.cancel", run.registry)
    return respond_to_action(request)


@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    """The cells of all registries whose sync runs or has just ended; asked for again and again while one runs."""
    return render_progress(request)


def render_progress(request: HttpRequest) -> HttpResponse:
    """Answer with the bar of running syncs and with the cells that change, of the registries that the page shows."""
    parameters = request.POST if request.method == "POST" else request.GET
    visible, only = (
        parse_keys(parameters.get("visible", "").split(",")),
        parse_keys(parameters.get("only", "").split(",")),
    )
    shown = [column.name for column in REGISTRIES.chosen(column_picker.chosen_columns(request, REGISTRIES))]
    lately = Q(state__in=State.active()) | Q(ended_at__gte=timezone.now() - RECENTLY_ENDED)
    changing = registry_rows().filter(
        pk__in=SyncRun.objects.filter(lately, registry__in=visible[:MAX_VISIBLE_ROWS]).values("registry")
    )
    cells = parameters.get("cells", "").split(",") if "cells" in parameters else shown
    return render(
        request,
        "registries/_progress.html",
        {"rows": changing, "cells": cells, "only": only[0] if only else None, "oob": True},
    )


def respond_to_action(request: HttpRequest) -> HttpResponse:
    """Answer an action on syncs: the moving cells to this page, a toast to others, a redirect without script."""
    if request.headers.get("HX-Target") == "registry-progress":
        return render_progress(request)
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204)
    return redirect("registries:registry-list")

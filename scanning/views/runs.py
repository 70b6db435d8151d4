"""The history of scan runs, and one run with its scans."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console import audit
from console.accounts import operator
from console.listing import Page
from console.listing import views as lists
from scanning import progress, runs
from scanning.models import ScanRun
from scanning.run_listings import RUNS, SCANS, result_label, result_of, started_by


@require_GET
def run_list(request: HttpRequest) -> HttpResponse:
    """All runs, the newest first."""
    return lists.show(request, RUNS, template="scanning/runs.html")


@require_http_methods(["GET", "POST"])
def run_columns(request: HttpRequest) -> HttpResponse:
    """Custom list management."""
    return lists.choose(request, RUNS, back="scanning:run-list")


@require_POST
@operator
def run_export(request: HttpRequest) -> HttpResponse:
    """A workbook of the selected runs, or of all that match."""
    return lists.export(request, RUNS, back="scanning:run-list")


@require_GET
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: how it goes or went, why scans failed, and its scans."""
    found = get_object_or_404(ScanRun.objects.select_related("requested_by", "schedule"), pk=pk)
    partial = lists.is_partial(request, "list")
    page = Page(SCANS, request.GET, path=request.path, rows=found.scans.all())
    context = {"page": page} if partial else {"page": page} | _facts(found)
    response = render(request, "console/listing/list.html" if partial else "scanning/run.html", context)
    if partial:
        response["HX-Push-Url"] = f"{request.path}{page.here if page.here != '?' else ''}"
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_GET
def run_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """What of the page of a run changes while it goes on."""
    found = get_object_or_404(ScanRun.objects.select_related("requested_by", "schedule"), pk=pk)
    return render(request, "scanning/_run.html", _facts(found))


@require_POST
@operator
def run_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel what is left of a run."""
    found = get_object_or_404(ScanRun, pk=pk)
    if found.is_over:
        messages.info(request, _("This run is over already."))
        return redirect("scanning:run", pk=pk)
    count = runs.cancel_run(found)
    audit.record(request, "run.cancel", found, {"scans": count})
    messages.success(
        request,
        ngettext("%(n)s scan is being cancelled", "%(n)s scans are being cancelled", count) % {"n": f"{count:,}"},
    )
    return redirect("scanning:run", pk=pk)


def _facts(found: ScanRun) -> dict[str, object]:
    return {
        "run": found,
        "counts": found.counts(),
        "failures": found.failures_now(),
        "progress": progress.of_run(found),
        "result": result_of(found),
        "label": result_label(found),
        "started_by": started_by(found),
    }

"""The history of scan runs, and one run with its scans."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import operator_required, signed_in_user
from console.audit import trail
from console.db.primary_keys import parse_keys
from console.exports import list_export
from console.jobs.models import State
from console.listing import Listing, Page, column_picker
from console.listing import views as lists
from console.listing.columns import Row
from console.listing.listing import PAGE_SIZES
from inventory.models import Tag
from scanning.models import ScanRun, ScanScope
from scanning.runs import progress
from scanning.runs import start as runs_start
from scanning.runs.tables import RUNS, SCANS, categories_of, result_label, result_of, set_visible_counts, started_by
from scanning.views.start_report import report_start

run_columns = column_picker.make_columns_view(RUNS)
run_export = list_export.make_export_view(RUNS)


@require_GET
def run_list(request: HttpRequest) -> HttpResponse:
    """All runs, the newest first."""
    context = {"going": _unfinished(), "export_url": reverse("scanning:run-export")}
    return lists.show(request, RUNS, template="scanning/run_list.html", context=context)


@require_GET
def run_list_progress(request: HttpRequest) -> HttpResponse:
    """What of the list of runs changes while some go on."""
    return render(
        request,
        "scanning/_run_list_progress.html",
        {"going": _unfinished(), "rows": _rows_to_refresh(request, RUNS, RUNS.queryset())},
    )


@require_GET
def run(request: HttpRequest, pk: int) -> HttpResponse:
    """One run: how it goes or went, why scans failed, and its scans."""
    found = get_object_or_404(ScanRun.objects.select_related("requested_by", "schedule"), pk=pk)
    context: dict[str, object] = {
        "columns_url": reverse("scanning:scan-columns", args=[pk]),
        "export_url": reverse("console:export-start", args=[SCANS.name, pk]),
    }
    if not lists.is_partial(request, "list"):
        context |= _facts(found)
    return lists.show(request, SCANS, template="scanning/run.html", rows=found.scans.all(), context=context)


@require_http_methods(["GET", "POST"])
def scan_columns(request: HttpRequest, pk: int) -> HttpResponse:
    """Custom list management of the scans of a run."""
    return column_picker.choose(
        request, SCANS, back=reverse("scanning:run", args=[get_object_or_404(ScanRun, pk=pk).pk])
    )


@require_GET
def run_progress(request: HttpRequest, pk: int) -> HttpResponse:
    """What of the page of a run changes while it goes on; when it is over the page is shown anew."""
    found = get_object_or_404(ScanRun.objects.select_related("requested_by", "schedule"), pk=pk)
    rows = None if found.is_over else _rows_to_refresh(request, SCANS, found.scans.all())
    response = render(request, "scanning/_run.html", _facts(found) | {"rows": rows})
    if found.is_over:
        response["HX-Refresh"] = "true"
    return response


@require_POST
@operator_required
def run_cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Cancel what is left of a run."""
    found = get_object_or_404(ScanRun, pk=pk)
    if found.is_over:
        messages.info(request, _("This run has already finished."))
        return redirect("scanning:run", pk=pk)
    left = runs_start.cancel_run(found)
    trail.record(request, "run.cancel", found, {"scans": left.cancelled, "passed_on": left.passed_on})
    told = ngettext("%(n)s scan is being cancelled", "%(n)s scans are being cancelled", left.cancelled)
    text = told % {"n": f"{left.cancelled:,}"}
    if left.passed_on:
        told = ngettext("%(n)s continues for another run", "%(n)s continue for other runs", left.passed_on)
        text += ", " + told % {"n": f"{left.passed_on:,}"}
    messages.success(request, text)
    return redirect("scanning:run", pk=pk)


@require_POST
@operator_required
def run_again(request: HttpRequest, pk: int) -> HttpResponse:
    """Scan again the images of a run whose scans have failed, for the same categories."""
    found = get_object_or_404(ScanRun, pk=pk)
    failed = found.scans.filter(state=State.FAILED).values("image")
    again = runs_start.start_run(
        scope=ScanScope.CHOSEN,
        tag_ids=Tag.objects.filter(image__in=failed),
        categories=found.categories,
        timeout=found.timeout,
        requested_by=signed_in_user(request),
    )
    trail.record(request, "scan.start", again, {"run": again.pk, "again": found.pk, "queued": again.images})
    report_start(request, again)
    return redirect("scanning:run", pk=again.pk)


def _unfinished() -> bool:
    return ScanRun.objects.unfinished().exists()


def _rows_to_refresh(request: HttpRequest, listing: Listing[Row], rows: QuerySet[Row]) -> Page[Row] | None:
    """Return those of ``rows`` that went on when the page that asks was last told of them; at most a page of them."""
    named = request.GET.get("going", "").split(",")[: max(PAGE_SIZES)]
    asked = parse_keys(named)
    if not asked:
        return None
    size = QueryDict(f"size={max(PAGE_SIZES)}")
    return Page(listing, size, chosen=column_picker.chosen_columns(request, listing), rows=rows.filter(pk__in=asked))


def _facts(found: ScanRun) -> dict[str, object]:
    set_visible_counts([found])
    return {
        "run": found,
        "counts": found.counts(),
        "failures": found.current_failures(),
        "progress": progress.of_run(found),
        "result": result_of(found),
        "label": result_label(found),
        "started_by": started_by(found),
        "categories": categories_of(found),
    }

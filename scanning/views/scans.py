"""Starting and cancelling scans, and how far they are."""

from __future__ import annotations

from urllib.parse import urlencode

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import operator_required, signed_in_user
from console.audit import trail
from console.db.primary_keys import parse_key, parse_keys
from console.listing.listing import PAGE_SIZES, SelectionError
from inventory import image_detail
from inventory.dashboard import figures as dashboard_figures
from inventory.dashboard import trend
from inventory.models import Image, Tag
from inventory.tables import IMAGES
from scanning.models import Scan
from scanning.runs import cancel as runs_cancel
from scanning.runs import progress as scans
from scanning.runs.shared_scans import count_subscribed_runs
from scanning.runs.start import scan_now
from scanning.views.start_report import report_start


@require_POST
@operator_required
def scan(request: HttpRequest) -> HttpResponse:
    """Start scans of the selected images, or of all that match the view they were selected in."""
    try:
        result = scan_now(tag_ids=_selected(request), requested_by=signed_in_user(request))
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return _respond(request)
    run = result.run
    detail = {"run": run.pk, "queued": run.images, "skipped": run.skipped_tags}
    trail.record(request, "scan.start", run, detail)
    report_start(request, run, skipped=result.skipped)
    return _respond(request)


@require_POST
@operator_required
def cancel(request: HttpRequest) -> HttpResponse:
    """Cancel the scans of the selected images, or all scans where the bar of running scans asks for it."""
    if request.POST.get("everything"):
        wanted = count_subscribed_runs(Scan.objects.all())
        count = runs_cancel.cancel()
    else:
        try:
            selected = _selected(request)
        except SelectionError as error:
            messages.error(request, str(error) or _("Nothing is selected."))
            return _respond(request)
        wanted = count_subscribed_runs(Scan.objects.filter(image__in=selected.order_by().values("image")))
        count = runs_cancel.cancel(tag_ids=selected.values_list("pk", flat=True).iterator())
    trail.record(request, "scan.cancel", detail={"scans": count, "everything": bool(request.POST.get("everything"))})
    if count:
        text = ngettext("%(n)s scan is being cancelled", "%(n)s scans are being cancelled", count) % {"n": count}
        if wanted:
            text += "; " + ngettext("%(n)s runs share it", "%(n)s runs share them", count) % {"n": wanted}
        messages.success(request, text)
    else:
        messages.warning(request, _("None of the selected images is being scanned."))
    return _respond(request)


def _selected(request: HttpRequest) -> QuerySet[Tag]:
    return IMAGES.selected(view=_view(request), chosen=request.POST).order_by("pk")


def _view(request: HttpRequest) -> QueryDict:
    return QueryDict(request.POST.get("view", "").removeprefix("?"))


def _respond(request: HttpRequest) -> HttpResponse:
    """Answer htmx with the bar and the cells that have changed, anybody else with the list they came from."""
    if getattr(request, "htmx", None):
        shown = _ids(request.POST.get("visible", "").split(",") + request.POST.getlist("ids"))
        return _progress(request, request.POST, ids=shown, answer=True)
    query = _view(request).urlencode()
    if drawer := parse_key(request.POST.get("drawer", "")):
        return redirect("inventory:image", tag_id=drawer)
    return redirect(f"{reverse('inventory:image-list')}{query and '?'}{query}")


@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    """The bar of running scans with, out of band, the cells of the rows on the page that have changed.

    ``ids`` are the rows shown, ``live`` those of them that the page shows as unfinished, ``drawer`` the image that is
    open, which is left alone while it is over and looks like ``drawer_state`` and ``drawer_scanned`` (seconds): what a
    person has marked or reached by keyboard in it stays. A page asks again while anything is unfinished.
    """
    return _progress(request, request.GET, ids=_ids(request.GET.getlist("ids")))


def _progress(request: HttpRequest, known_states: QueryDict, *, ids: list[int], answer: bool = False) -> HttpResponse:
    """Render the bar and the cells; with ``answer`` for a page that has done something rather than asked."""
    opened, before = (
        _ids([known_states.get("drawer", "")]),
        set(_ids(",".join(known_states.getlist("live")).split(","))),
    )
    rows = list(image_detail.tags_with_detail().filter(pk__in={*ids, *opened}))
    live = {row.pk for row in rows if row.image and row.image.scan_state in Image.ScanState.active()}
    bar = scans.read_progress()
    query = urlencode({"ids": ids, "live": ",".join(map(str, sorted(live)))}, doseq=True)
    drawer = next((row for row in rows if row.pk in opened), None)
    if drawer and drawer.pk not in live and not answer and _is_current(drawer, known_states):
        drawer = None
    context = {
        "progress": bar,
        "answer": answer,
        "poll": f"{reverse('scanning:progress')}?{query}" if live or bar else "",
        "rows": [row for row in rows if row.pk in ids and row.pk in live | before],
        "switched": live ^ before,
        **(
            {
                "overview": dashboard_figures.read_overview(),
                "trend": trend.read_trend(),
                "signals": dashboard_figures.alerts(),
            }
            if before - live
            else {}
        ),
        "drawer": image_detail.context(drawer, tab="", query=QueryDict()) if drawer else None,
    }
    return render(request, "scanning/_progress.html", context)


def _is_current(row: Tag, known_states: QueryDict) -> bool:
    """Return whether the page shows the image of ``row`` as it is."""
    state, at = (row.image.scan_state, row.image.last_scanned_at) if row.image else ("", None)
    told_at = known_states.get("drawer_scanned", "")
    return known_states.get("drawer_state") == state and told_at == (str(int(at.timestamp())) if at else "")


def _ids(texts: list[str]) -> list[int]:
    """Return the numbers among ``texts``, as many as a page can show."""
    return list(dict.fromkeys(parse_keys(texts)))[: max(PAGE_SIZES) + 1]

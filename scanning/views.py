"""Starting and cancelling scans, and how far they are."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_GET, require_POST

from console import audit
from console.accounts import operator, person
from console.listing.listing import PAGE_SIZES, SelectionError
from inventory import details, overview
from inventory.listings import IMAGES
from inventory.models import Image
from scanning import launch
from scanning import progress as scans

ACTIVE = (Image.ScanState.QUEUED, Image.ScanState.RUNNING)
ALL_CATEGORIES = ("vulnerabilities", "sensitive", "malware")
NAMED = 3  # skipped images that a message names


@require_POST
@operator
def scan(request: HttpRequest) -> HttpResponse:
    """Start scans of the selected images, or of all that match the view they were selected in."""
    chosen = request.POST.getlist("categories") if "choose" in request.POST else ALL_CATEGORIES
    try:
        result = launch.launch(tag_ids=_selected(request), categories=chosen, requested_by=person(request))
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return _answer(request)
    except ValueError:  # no category that there is
        messages.error(request, _("Nothing was started: choose at least one risk category."))
        return _answer(request)
    audit.record(request, "scan.start", detail={"queued": len(result.queued), "skipped": len(result.skipped)})
    text = ngettext("%(n)s scan queued", "%(n)s scans queued", len(result.queued)) % {"n": f"{len(result.queued):,}"}
    if result.tags > len(result.queued):
        text += " " + _("for %(n)s images") % {"n": f"{result.tags:,}"}
    if result.skipped:
        text += ", " + _("%(n)s skipped") % {"n": f"{len(result.skipped):,}"} + f" ({_why(result.skipped)})"
    (messages.success if result.queued else messages.warning)(request, text)
    return _answer(request)


def _why(skipped: list[launch.Skipped]) -> str:
    """Return why, each reason once, with the addresses where they are few."""
    reasons: dict[str, list[str]] = {}
    for one in skipped:
        reasons.setdefault(one.why, []).append(one.address)
    return "; ".join(
        f"{why}: {', '.join(addresses)}" if len(addresses) <= NAMED else why for why, addresses in reasons.items()
    )


@require_POST
@operator
def cancel(request: HttpRequest) -> HttpResponse:
    """Cancel the scans of the selected images, or all scans where the bar of running scans asks for it."""
    if request.POST.get("everything"):
        count = launch.cancel()
    else:
        try:
            count = launch.cancel(tag_ids=_selected(request))
        except SelectionError as error:
            messages.error(request, str(error) or _("Nothing is selected."))
            return _answer(request)
    audit.record(request, "scan.cancel", detail={"scans": count, "everything": bool(request.POST.get("everything"))})
    if count:
        messages.success(
            request, ngettext("%(n)s scan is being cancelled", "%(n)s scans are being cancelled", count) % {"n": count}
        )
    else:
        messages.warning(request, _("None of the selected is being scanned."))
    return _answer(request)


def _selected(request: HttpRequest) -> list[int]:
    chosen = request.POST.copy()
    if chosen.get("scope") == "matching":
        chosen["all"] = "1"
    elif chosen.get("scope") == "selected":
        chosen.pop("all", None)
    rows = IMAGES.selected(view=_view(request), chosen=chosen)
    return list(rows.order_by("pk").values_list("pk", flat=True))


def _view(request: HttpRequest) -> QueryDict:
    return QueryDict(request.POST.get("view", "").removeprefix("?"))


def _answer(request: HttpRequest) -> HttpResponse:
    """Answer htmx with the bar and the cells that have changed, anybody else with the list they came from."""
    if getattr(request, "htmx", None):
        shown = _ids(request.POST.get("visible", "").split(",") + request.POST.getlist("ids"))
        return _progress(request, shown, before=set(shown), drawer=request.POST.get("drawer", ""), oob=True)
    query = _view(request).urlencode()
    if (drawer := request.POST.get("drawer", "")).isdecimal():
        return redirect("inventory:image", tag_id=int(drawer))
    return redirect(f"{reverse('inventory:image-list')}{query and '?'}{query}")


@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    """The bar of running scans with, out of band, the cells of the rows on the page that have changed.

    ``ids`` are the rows shown, ``live`` those that were unfinished in the last answer; a page asks again while any is.
    """
    ids = _ids(request.GET.getlist("ids"))
    return _progress(request, ids, before=set(_ids(request.GET.getlist("live"))), drawer=request.GET.get("drawer", ""))


def _progress(
    request: HttpRequest, ids: list[int], *, before: set[int], drawer: str, oob: bool = False
) -> HttpResponse:
    shown = set(ids) | set(_ids([drawer]))
    rows = list(details.tags().filter(pk__in=shown))
    live = {row.pk for row in rows if row.image and row.image.scan_state in ACTIVE}
    bar = scans.read()
    opened = next((row for row in rows if str(row.pk) == drawer), None)
    query = QueryDict(mutable=True)
    query.setlist("ids", [str(one) for one in ids])
    query.setlist("live", [str(one) for one in sorted(live)])
    context = {
        "progress": bar,
        "rows": [row for row in rows if row.pk in live | before],
        "poll": f"{reverse('scanning:progress')}?{query.urlencode()}" if live or bar else "",
        "ended": bool(before - live) and not oob,
        "overview": overview.read() if before - live else None,
        "outer_oob": oob,
        "drawer": details.context(opened, tab=request.GET.get("tab", ""), query=QueryDict()) if opened else None,
    }
    return render(request, "scanning/_progress.html", context)


def _ids(texts: list[str]) -> list[int]:
    """Return the numbers among ``texts``, as many as a page can show."""
    found = dict.fromkeys(int(text) for text in texts if text.isdecimal() and len(text) < 19)
    return list(found)[: max(PAGE_SIZES) + 1]

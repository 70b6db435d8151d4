"""The page "Scanning settings": what a scan started now looks for, in which images, and what it takes."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import administrator_required, operator_required, signed_in_user
from console.audit import trail
from console.db import cached_counts
from console.listing.listing import SelectionError
from inventory.models import Tag
from inventory.tables import IMAGES
from scanning.models import ScanScope, Selection
from scanning.runs import estimate as runs_estimate
from scanning.runs import image_picker, monthly_quota, recommended
from scanning.runs import start as runs_start
from scanning.runs.forms import CATEGORY_LABELS, QuotaForm, ScanForm
from scanning.views.start_report import report_start

SELECTION_PURPOSE = "scan"


@require_http_methods(["GET", "POST"])
@operator_required
def settings(request: HttpRequest) -> HttpResponse:
    """Show the settings, or start the scan that they describe. ``show`` only shows anew, for a page without scripts."""
    selection = image_picker.selection_of(signed_in_user(request), SELECTION_PURPOSE)
    if request.method == "POST" and "show" not in request.POST:
        form = ScanForm(request.POST)
        if form.is_valid() and _may_start(form, selection):
            return _start(request, form, selection)
    elif request.method == "POST":
        form = ScanForm(request.POST)
    else:
        scope = request.GET.get("scope", "")
        form = ScanForm(initial={"scope": scope} if scope in ScanScope.values else {})
    context = {
        "form": form,
        "recommended": recommendation_reasons(),
        "everything": cached_counts.read("overview").values["tags"],
        "chooser": image_picker.read_picker(selection, request.GET.dict()),
        "back": reverse("scanning:settings"),
        "cost": _estimate(form, selection) if request.method == "POST" else None,
    }
    return render(request, "scanning/settings.html", context, status=422 if form.errors else 200)


@require_GET
@operator_required
def scan_estimate(request: HttpRequest) -> HttpResponse:
    """What the scan takes that the form describes now."""
    selection = image_picker.selection_of(signed_in_user(request), SELECTION_PURPOSE)
    form = ScanForm(request.GET)
    return render(
        request, "scanning/_scan_preview.html", {"form": form, "cost": _estimate(form, selection), "fresh": True}
    )


@require_POST
@operator_required
def select(request: HttpRequest) -> HttpResponse:
    """Take the selected images of the list, or all that match its view, along to Scanning settings."""
    view = QueryDict(request.POST.get("view", "").removeprefix("?"))
    try:
        rows: QuerySet[Tag] = IMAGES.selected(view=view, chosen=request.POST)
    except SelectionError as error:
        messages.error(request, str(error) or _("Nothing is selected."))
        return redirect(f"{reverse('inventory:image-list')}?{view.urlencode()}")
    image_picker.selection_of(signed_in_user(request), SELECTION_PURPOSE).replace(rows)
    return redirect(f"{reverse('scanning:settings')}?scope={ScanScope.CHOSEN.value}")


@require_http_methods(["GET", "POST"])
@administrator_required
def scan_quota(request: HttpRequest) -> HttpResponse:
    """Show and set how many scans may start in a month."""
    now = monthly_quota.read_quota()
    form = QuotaForm(request.POST or None, initial={"monthly_quota": now.limit if now else None})
    if request.method == "POST" and form.is_valid():
        limit = form.cleaned_data["monthly_quota"]
        monthly_quota.set_limit(limit)
        trail.record(request, "quota.change", before={"limit": now.limit if now else None}, after={"limit": limit})
        messages.success(request, _("The scan quota is saved."))
        return redirect("scanning:settings")
    return render(request, "scanning/quota.html", {"form": form, "quota": now}, status=422 if form.errors else 200)


def tags_of(scope: str, selection: Selection) -> QuerySet[Tag]:
    """Return the tags that a scope means now."""
    if scope == ScanScope.ALL:
        return Tag.objects.all()
    return selection.chosen() if scope == ScanScope.CHOSEN else recommended.recommended()


def _may_start(form: ScanForm, selection: Selection) -> bool:
    """Whether the form describes a scan of anything; what is missing becomes an error of the form."""
    if tags_of(form.cleaned_data["scope"], selection).exists():
        return True
    empty = {
        ScanScope.CHOSEN: _("Choose at least one image: mark it on the left and move it right."),
        ScanScope.ALL: _("There are no images yet. Sync a registry first."),
        ScanScope.RECOMMENDED: _("No image is recommended now: all results are up to date."),
    }
    scope = ScanScope(form.cleaned_data["scope"])
    form.add_error("scope", empty[scope if Tag.objects.exists() else ScanScope.ALL])
    return False


def _start(request: HttpRequest, form: ScanForm, selection: Selection) -> HttpResponse:
    scope = ScanScope(form.cleaned_data["scope"])
    run = runs_start.start_run(
        scope=scope,
        tag_ids=selection.chosen(),
        categories=form.cleaned_data["categories"],
        timeout=form.cleaned_data["timeout"],
        requested_by=signed_in_user(request),
    )
    if scope is ScanScope.CHOSEN:
        selection.delete()
    detail = {"run": run.pk, "scope": scope.value, "categories": run.categories, "queued": run.images}
    trail.record(request, "scan.start", run, detail | {"skipped": run.skipped_tags})
    report_start(request, run)
    return redirect("inventory:image-list")


def recommendation_reasons() -> list[tuple[str, int]]:
    """Return for which reasons images are recommended now, and how many."""
    return [(str(reason.label), number) for reason, number in recommended.counts().items() if number]


def _estimate(form: ScanForm, selection: Selection) -> runs_estimate.ScanEstimate | None:
    """Return what the form describes takes, None where it cannot be told."""
    categories = [name for name in form["categories"].value() or () if name in CATEGORY_LABELS]
    scope = form["scope"].value()
    if scope not in ScanScope.values or not categories:
        return None
    cached_as = runs_estimate.CACHED_COUNT_NAMES.get(scope, "")
    return runs_estimate.estimate_scan(tags_of(scope, selection), categories=categories, cached_as=cached_as)

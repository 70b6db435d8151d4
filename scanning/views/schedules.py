"""The page "Scheduled scan settings": the list of schedules; and one of them, beside the others."""

from __future__ import annotations

from itertools import islice

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import administrator_required, operator_required, signed_in_user
from console.audit import trail
from console.db import cached_counts
from console.exports import list_export
from console.feedback import undo
from console.listing import column_picker
from console.listing import views as lists
from inventory.models import Tag
from scanning.models import ScanRun, ScanSchedule, ScanScope, ScheduleRun, Selection
from scanning.runs import image_picker
from scanning.runs.tables import set_visible_counts
from scanning.schedules import recurrence, scheduler
from scanning.schedules import undo as schedules_undo
from scanning.schedules.forms import ScheduleForm
from scanning.schedules.tables import SCHEDULES, with_last
from scanning.views.scan_settings import recommendation_reasons
from scanning.views.start_report import report_start

NEXT_DUE_SHOWN = 3  # due times shown
OCCURRENCES_SHOWN = 10  # past due times shown

schedule_columns = column_picker.make_columns_view(SCHEDULES)
schedule_export = list_export.make_export_view(SCHEDULES)


@require_GET
def schedule_list(request: HttpRequest) -> HttpResponse:
    """All schedules."""
    context = {"export_url": reverse("scanning:schedule-export")}
    return lists.show(request, SCHEDULES, template="scanning/schedule_list.html", context=context)


@require_http_methods(["GET", "POST"])
def schedule_edit(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Show a schedule or the form of a new one; administrators save it."""
    if pk is None or request.method == "POST":
        return _edit(request, pk)
    found = get_object_or_404(ScanSchedule, pk=pk)
    return _show(request, ScheduleForm(schedule=found), keep="keep" in request.GET)


@administrator_required
def _edit(request: HttpRequest, pk: int | None) -> HttpResponse:
    found = get_object_or_404(ScanSchedule, pk=pk) if pk else ScanSchedule()
    if request.method == "GET":
        scope = request.GET.get("scope", "")
        first = {"scope": scope} if scope in ScanScope.values else {}
        return _show(request, ScheduleForm(schedule=found, initial=first), keep="keep" in request.GET)
    before = _described(found) if found.pk else {}
    form = ScheduleForm(request.POST, schedule=found)
    selection = _selection(request, found)
    if form.is_valid() and form.cleaned_data["scope"] == ScanScope.CHOSEN and not selection.chosen().exists():
        form.add_error("scope", _("Choose at least one image: mark it on the left and move it right."))
    if not form.is_valid():
        found.refresh_from_db() if found.pk else None
        return _show(request, form, keep=True)
    chosen = selection.chosen() if form.cleaned_data["scope"] == ScanScope.CHOSEN else Tag.objects.none()
    scheduler.save(form.apply(), chosen=chosen)
    selection.delete()
    trail.record(request, "schedule.change" if pk else "schedule.add", found, before=before, after=_described(found))
    if before.get("on") and not found.is_on:
        off = _("The schedule “%(name)s” is saved and off.") % {"name": found.name}
        undo.offer_undo(request, off, action="schedule.off", values={"pk": found.pk})
    else:
        messages.success(request, _("The schedule “%(name)s” is saved.") % {"name": found.name})
    return redirect("scanning:schedule", pk=found.pk)


@require_POST
@operator_required
def schedule_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Start now what a schedule describes."""
    found = get_object_or_404(ScanSchedule, pk=pk)
    run, is_new = scheduler.run_now(found, requested_by=signed_in_user(request))
    if not is_new:
        messages.info(request, _("A run of this schedule is still in progress. It is shown here."))
        return redirect("scanning:run", pk=run.pk)
    trail.record(request, "scan.start", run, {"run": run.pk, "schedule": found.name})
    report_start(request, run)
    return redirect("scanning:schedule", pk=pk)


@require_http_methods(["GET", "POST"])
@administrator_required
def schedule_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to delete a schedule, and delete it."""
    found = get_object_or_404(ScanSchedule, pk=pk)
    if request.method == "GET":
        return render(request, "scanning/schedule_delete.html", {"schedule": found})
    trail.record(request, "schedule.delete", found, before=_described(found))
    text, values = _("The schedule “%(name)s” is deleted.") % {"name": found.name}, schedules_undo.snapshot(found)
    scheduler.delete(found)
    if values is None:
        messages.success(request, text)
    else:
        undo.offer_undo(request, text, action="schedule.delete", values=values)
    return redirect("scanning:schedule-list")


def _show(request: HttpRequest, form: ScheduleForm, *, keep: bool) -> HttpResponse:
    found, now = form.schedule, timezone.now()
    context = {
        "form": form,
        "schedule": found,
        "schedules": with_last(),
        "zone": timezone.get_default_timezone_name(),
        "recommended": recommendation_reasons(),
        "everything": cached_counts.read("overview").values["tags"],
        "back": reverse("scanning:schedule", args=[found.pk]) if found.pk else reverse("scanning:schedule-add"),
    }
    if found.pk:
        is_on = found.is_on and found.next_due_at is not None
        context |= {
            "upcoming": list(islice(recurrence.due_times(found, after=now), NEXT_DUE_SHOWN)) if is_on else [],
            "firings": _occurrences(found),
        }
    if signed_in_user(request).may_administer:
        selection = _selection(request, found)
        if not keep:
            selection.replace(found.chosen.all() if found.pk else Tag.objects.none())
        context["chooser"] = image_picker.read_picker(selection, request.GET.dict())
    return render(request, "scanning/schedule.html", context, status=422 if form.errors else 200)


def _occurrences(found: ScanSchedule) -> list[ScheduleRun]:
    """Return its last due times, each with its run as far as that is seen."""
    occurrences = list(found.occurrences.all()[:OCCURRENCES_SHOWN])
    runs = ScanRun.objects.in_bulk([firing.run_id for firing in occurrences if firing.run_id])
    set_visible_counts(runs.values())
    for firing in occurrences:
        firing.run = runs.get(firing.run_id or 0)
    return occurrences


def _selection(request: HttpRequest, found: ScanSchedule) -> Selection:
    return image_picker.selection_of(signed_in_user(request), f"schedule-{found.pk or 'new'}")


def _described(found: ScanSchedule) -> dict[str, object]:
    return {
        "name": found.name,
        "on": found.is_on,
        "every_days": found.every_days,
        "at": f"{found.at:%H:%M}",
        "until": f"{found.until:%H:%M}" if found.until else None,
        "scope": found.scope,
        "categories": found.categories,
        "timeout": found.timeout,
    }

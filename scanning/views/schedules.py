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

from console.accounts.permissions import administrator, operator, person
from console.audit import trail
from console.db import cached_counts
from console.exports import list_export
from console.feedback import undo
from console.listing import column_picker
from console.listing import views as lists
from inventory.models import Tag
from scanning.models import Firing, ScanRun, ScanSchedule, Scope, Selection
from scanning.runs import image_picker
from scanning.runs.forms import ScheduleForm
from scanning.runs.tables import as_seen
from scanning.schedules import recurrence
from scanning.schedules import service as schedules_service
from scanning.schedules import undo as schedules_undo
from scanning.schedules.tables import SCHEDULES, with_last
from scanning.views.settings import reasons
from scanning.views.start_report import say_started

NEXT = 3  # due times shown
FIRINGS = 10  # past due times shown


@require_GET
def schedule_list(request: HttpRequest) -> HttpResponse:
    """All schedules."""
    context = {"export_url": reverse("scanning:schedule-export")}
    return lists.show(request, SCHEDULES, template="scanning/schedule_list.html", context=context)


@require_http_methods(["GET", "POST"])
def schedule_columns(request: HttpRequest) -> HttpResponse:
    """Custom list management."""
    return column_picker.choose(request, SCHEDULES, back="scanning:schedule-list")


@require_POST
@operator
def schedule_export(request: HttpRequest) -> HttpResponse:
    """A workbook of the selected schedules, or of all that match."""
    return list_export.export(request, SCHEDULES, back="scanning:schedule-list")


@require_http_methods(["GET", "POST"])
def schedule_edit(request: HttpRequest, pk: int | None = None) -> HttpResponse:
    """Show a schedule or the form of a new one; administrators save it."""
    if pk is None or request.method == "POST":
        return _edit(request, pk)
    found = get_object_or_404(ScanSchedule, pk=pk)
    return _show(request, ScheduleForm(schedule=found), keep="keep" in request.GET)


@administrator
def _edit(request: HttpRequest, pk: int | None) -> HttpResponse:
    found = get_object_or_404(ScanSchedule, pk=pk) if pk else ScanSchedule()
    if request.method == "GET":
        scope = request.GET.get("scope", "")
        first = {"scope": scope} if scope in Scope.values else {}
        return _show(request, ScheduleForm(schedule=found, initial=first), keep="keep" in request.GET)
    before = _described(found) if found.pk else {}
    form = ScheduleForm(request.POST, schedule=found)
    selection = _selection(request, found)
    if form.is_valid() and form.cleaned_data["scope"] == Scope.CHOSEN and not selection.chosen().exists():
        form.add_error("scope", _("Choose at least one image: mark it on the left and move it right."))
    if not form.is_valid():
        found.refresh_from_db() if found.pk else None
        return _show(request, form, keep=True)
    chosen = selection.chosen() if form.cleaned_data["scope"] == Scope.CHOSEN else Tag.objects.none()
    schedules_service.save(form.apply(), chosen=chosen)
    selection.delete()
    trail.record(request, "schedule.change" if pk else "schedule.add", found, before=before, after=_described(found))
    if before.get("on") and not found.is_on:
        off = _("The schedule “%(name)s” is saved and off.") % {"name": found.name}
        undo.offer(request, off, action="schedule.off", values={"pk": found.pk})
    else:
        messages.success(request, _("The schedule “%(name)s” is saved.") % {"name": found.name})
    return redirect("scanning:schedule", pk=found.pk)


@require_POST
@operator
def schedule_run(request: HttpRequest, pk: int) -> HttpResponse:
    """Start now what a schedule describes."""
    found = get_object_or_404(ScanSchedule, pk=pk)
    run, is_new = schedules_service.run_now(found, requested_by=person(request))
    if not is_new:
        messages.info(request, _("A run of this schedule still goes on. It is shown here."))
        return redirect("scanning:run", pk=run.pk)
    trail.record(request, "scan.start", run, {"run": run.pk, "schedule": found.name})
    say_started(request, run)
    return redirect("scanning:schedule", pk=pk)


@require_http_methods(["GET", "POST"])
@administrator
def schedule_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to delete a schedule, and delete it."""
    found = get_object_or_404(ScanSchedule, pk=pk)
    if request.method == "GET":
        return render(request, "scanning/schedule_delete.html", {"schedule": found})
    trail.record(request, "schedule.delete", found, before=_described(found))
    text, values = _("The schedule “%(name)s” is deleted.") % {"name": found.name}, schedules_undo.kept(found)
    schedules_service.delete(found)
    if values is None:
        messages.success(request, text)
    else:
        undo.offer(request, text, action="schedule.delete", values=values)
    return redirect("scanning:schedule-list")


def _show(request: HttpRequest, form: ScheduleForm, *, keep: bool) -> HttpResponse:
    found, now = form.schedule, timezone.now()
    context = {
        "form": form,
        "schedule": found,
        "schedules": with_last(),
        "zone": timezone.get_default_timezone_name(),
        "recommended": reasons(),
        "everything": cached_counts.read("overview").values["tags"],
        "back": reverse("scanning:schedule", args=[found.pk]) if found.pk else reverse("scanning:schedule-add"),
    }
    if found.pk:
        is_on = found.is_on and found.next_due_at is not None
        context |= {
            "upcoming": list(islice(recurrence.due_times(found, after=now), NEXT)) if is_on else [],
            "firings": _firings(found),
        }
    if person(request).may_administer:
        selection = _selection(request, found)
        if not keep:
            selection.replace(found.chosen.all() if found.pk else Tag.objects.none())
        context["chooser"] = image_picker.read(selection, request.GET.dict())
    return render(request, "scanning/schedule.html", context, status=422 if form.errors else 200)


def _firings(found: ScanSchedule) -> list[Firing]:
    """Return its last due times, each with its run as far as that is seen."""
    firings = list(found.firings.all()[:FIRINGS])
    runs = ScanRun.objects.in_bulk([firing.run_id for firing in firings if firing.run_id])
    as_seen(runs.values())
    for firing in firings:
        firing.run = runs.get(firing.run_id or 0)
    return firings


def _selection(request: HttpRequest, found: ScanSchedule) -> Selection:
    return image_picker.selection_of(person(request), f"schedule-{found.pk or 'new'}")


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

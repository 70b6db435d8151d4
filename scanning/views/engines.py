"""The page "Engines": what looks for risks here, in which version, and whether it is ready."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console import audit
from console.accounts import administrator
from console.jobs import queue
from console.jobs.models import State
from scanning import database, installed
from scanning.models import DatabaseUpdate

ACTIVE = (State.QUEUED, State.RUNNING)
SHOWN = 5  # last updates of the vulnerability database


@require_GET
def engines(request: HttpRequest) -> HttpResponse:
    """The page; for htmx, while an update runs, only the part on the vulnerability database."""
    updates = DatabaseUpdate.objects.all()[:SHOWN]
    context = {
        "updates": updates,
        "updating": any(not update.is_final for update in updates),
        "database": database.current(),
    }
    if request.headers.get("HX-Request"):
        return render(request, "scanning/_database.html", context)
    found = [
        {
            "title": "Trivy",
            "looks_for": _("Vulnerabilities, packages and sensitive data"),
            "readiness": installed.trivy().ready(),
        },
        {"title": "YARA-X", "looks_for": _("Viruses and trojans"), "readiness": installed.yara().ready()},
    ]
    return render(request, "scanning/engines.html", context | {"engines": found})


@require_POST
@administrator
def update_database(request: HttpRequest) -> HttpResponse:
    """Queue a download of the vulnerability database, unless one is under way."""
    if DatabaseUpdate.objects.filter(state__in=ACTIVE).exists():
        messages.info(request, _("An update of the vulnerability database is under way already."))
    else:  # should two slip through, the second finds the first one's lock and says so
        queue.enqueue(DatabaseUpdate.objects.create())
        audit.record(request, "database.update")
        messages.success(request, _("The update of the vulnerability database has been started."))
    return redirect("scanning:engines")


@require_POST
@administrator
def cancel_update(request: HttpRequest) -> HttpResponse:
    """Cancel the update that waits or runs."""
    for update in DatabaseUpdate.objects.filter(state__in=ACTIVE):
        queue.request_cancel(update)
        audit.record(request, "database.cancel", update)
    return redirect("scanning:engines")

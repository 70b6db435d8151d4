"""One rematch: what a changed vulnerability database has brought, in which images."""

from __future__ import annotations

from django.contrib import messages
from django.db.models import Count, IntegerField, OuterRef, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import administrator_required
from console.audit import trail
from console.jobs import broker
from console.jobs.models import Priority, State
from console.listing import views as lists
from scanning.findings.tables import NEW_VULNERABILITIES
from scanning.models import ImagePackage, Rematch
from scanning.rematch import run as rematching


@require_GET
def rematch(request: HttpRequest, pk: int) -> HttpResponse:
    """What one rematch has brought, each with how many images hold it."""
    found = get_object_or_404(Rematch, pk=pk)
    holders = ImagePackage.objects.filter(variant=OuterRef("variant")).order_by().values("variant")
    images = Subquery(holders.annotate(n=Count("image", distinct=True)).values("n"), output_field=IntegerField())
    rows = found.matches.annotate(images=Coalesce(images, 0))
    context = {"rematch": found, "is_last": found == rematching.last_ended_rematch()}
    return lists.show(request, NEW_VULNERABILITIES, template="scanning/rematch.html", rows=rows, context=context)


@require_POST
@administrator_required
def start(request: HttpRequest) -> HttpResponse:
    """Match all images with the database in use, where that is not done."""
    if job := rematching.start_rematch(priority=Priority.MANUAL):
        trail.record(request, "rematch.start", job)
        messages.success(request, _("All images are being matched; none is pulled."))
    else:
        messages.info(request, _("All images are matched with the database in use, or are being matched."))
    return redirect("scanning:engines")


@require_POST
@administrator_required
def cancel(request: HttpRequest) -> HttpResponse:
    """Cancel the rematch that waits or runs; what it has written stays."""
    for job in Rematch.objects.filter(state__in=State.active()):
        broker.request_cancel(job)
        trail.record(request, "rematch.cancel", job)
    return redirect("scanning:engines")

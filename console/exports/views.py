"""The page "Exports": what somebody has exported in the background, with progress and download."""

from __future__ import annotations

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.http import content_disposition_header
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_POST

from console.accounts.permissions import operator_required, signed_in_user
from console.audit import trail
from console.db.primary_keys import parse_keys
from console.exports import files, list_export
from console.exports.models import Export
from console.exports.tables import EXPORTS
from console.jobs.broker import request_cancel
from console.jobs.models import State
from console.listing import column_picker
from console.listing import views as lists
from console.listing.registered_listings import get_listing

MAX_POLLED_ROWS = 101  # rows of the longest page, and one

export_columns = column_picker.make_columns_view(EXPORTS)


def own_exports(request: HttpRequest) -> QuerySet[Export]:
    """Return the exports of who is signed in."""
    return Export.objects.filter(requested_by=signed_in_user(request))


def _get_export(request: HttpRequest, pk: int) -> Export:
    """Return the export if this person may have it: its owner, or an administrator. To others it is not there."""
    return get_object_or_404(
        Export.objects.all() if signed_in_user(request).may_administer else own_exports(request), pk=pk
    )


@require_GET
def export_list(request: HttpRequest) -> HttpResponse:
    """The page: own exports, the newest first."""
    return lists.show(request, EXPORTS, template="console/exports/export_list.html", rows=own_exports(request))


@require_GET
def progress(request: HttpRequest) -> HttpResponse:
    """The cells of the exports that were unfinished; asked for again and again while one is."""
    requested = parse_keys(request.GET.getlist("ids")[:MAX_POLLED_ROWS])
    rows = list(own_exports(request).filter(pk__in=requested))
    return render(request, "console/exports/_changed_cells.html", {"rows": rows, "oob": True})


@require_POST
@operator_required
def start(request: HttpRequest, listing: str, within: int | None = None) -> HttpResponse:
    """Export a list that is part of the page of one thing."""
    try:
        found = get_listing(listing)
        found.within_rows(within)
    except (KeyError, ValueError) as error:
        raise PermissionDenied(_("This list is exported from its own page.")) from error
    if within is None:
        raise PermissionDenied(_("This list is exported from its own page."))
    return list_export.export(request, found, back="/", within=within, target=f"{listing} {within}")


@require_GET
def download(request: HttpRequest, pk: int) -> HttpResponseBase:
    """The file of an export, to its owner and to administrators."""
    export = _get_export(request, pk)
    path = files.path_of(export)
    elsewhere = files.content_of(export) if path is None else None
    if (
        (path is None and elsewhere is None)
        or export.state != State.SUCCEEDED
        or (export.expires_at and export.expires_at < timezone.now())
    ):
        if export.file and path is None and elsewhere is None:
            messages.error(
                request,
                _(
                    "The file is on another machine: it was written while that was the only machine, or is larger"
                    " than 1 GiB. Export the list again, with narrower filters if the file is that large."
                ),
            )
        else:
            messages.error(request, _("This export has no file: it has expired, or was never finished."))
        return redirect("console:export-list")
    trail.record(request, "export.download", export.listing, {"export": export.pk})
    format = Export.Format(export.format)
    name = f"{export.listing}-{timezone.localtime(export.created_at):%Y-%m-%d-%H%M}.{format.value}"
    type_ = files.CONTENT_TYPES[format]
    response: FileResponse | StreamingHttpResponse
    if path is not None:
        response = FileResponse(path.open("rb"), as_attachment=True, filename=name, content_type=type_)
    else:
        response = StreamingHttpResponse(elsewhere or (), content_type=type_)
        response["Content-Disposition"] = content_disposition_header(True, name) or ""
        response["Content-Length"] = str(export.size)
    response["Cache-Control"] = "private, no-store"
    return response


@require_POST
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for an end of an export."""
    export = _get_export(request, pk)
    request_cancel(export)
    trail.record(request, "export.cancel", export.listing, {"export": export.pk})
    messages.info(request, _("The export is being cancelled."))
    return redirect("console:export-list")


@require_POST
def remove(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove an export that has ended, and its file."""
    export = _get_export(request, pk)
    if export.state not in State.final():
        messages.error(request, _("This export is still being written. Cancel it first."))
        return redirect("console:export-list")
    trail.record(request, "export.remove", export.listing, {"export": export.pk})
    files.remove(export)
    messages.success(request, _("The export is removed."))
    return redirect("console:export-list")

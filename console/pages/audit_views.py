"""The page "Audit trail"."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from console.accounts.permissions import administrator_required
from console.exports import list_export
from console.listing import column_picker
from console.listing import views as lists
from console.pages.audit_table import AUDIT


@require_GET
@administrator_required
def audit_list(request: HttpRequest) -> HttpResponse:
    """All events, the newest first."""
    return lists.show(request, AUDIT, template="console/audit.html", context={"days": settings.AUDIT_DAYS})


@require_http_methods(["GET", "POST"])
@administrator_required
def audit_columns(request: HttpRequest) -> HttpResponse:
    """Custom list management."""
    return column_picker.choose(request, AUDIT, back="console:audit-list")


@require_POST
@administrator_required
def audit_export(request: HttpRequest) -> HttpResponse:
    """A workbook of the selected events, or of all that match."""
    return list_export.export(request, AUDIT, back="console:audit-list")

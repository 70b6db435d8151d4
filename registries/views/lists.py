"""The list of registries, one registry, and the operation guide."""

from __future__ import annotations

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_GET

from console.exports import list_export
from console.listing import column_picker, detail_panel
from console.listing import views as lists
from registries.connection_test.background_test import steps_of
from registries.connectors import DECLARATIONS
from registries.models import Registry
from registries.tables.listings import REGISTRIES

SHOWN_SYNCS = 5  # syncs that the page of a registry shows

registry_columns = column_picker.make_columns_view(REGISTRIES)
registry_export = list_export.make_export_view(REGISTRIES)


def registry_rows() -> QuerySet[Registry]:
    """Return registries with all that a row shows."""
    return REGISTRIES.rows(REGISTRIES.queryset(), REGISTRIES.columns, row_parts=True)


@require_GET
def registry_list(request: HttpRequest) -> HttpResponse:
    """The page: all registries, or those that filters leave."""
    context = {"any": Registry.objects.present().exists(), "zone": timezone.get_default_timezone_name()}
    return lists.show(request, REGISTRIES, template="registries/registry_list.html", context=context)


@require_GET
def registry_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One registry: a page by itself, or in the drawer of the list."""
    registry = get_object_or_404(registry_rows().defer(None), pk=pk)
    test = registry.tests.filter(saved=True).first()
    context = {
        "row": registry,
        "missing_tags": registry.repository_set.filter(
            tags__missing_since__isnull=False
        ).count(),  # one row for each tag
        "runs": registry.sync_runs.select_related("requested_by")[:SHOWN_SYNCS],
        "test": test,
        "steps": steps_of(test) if test else [],
    }
    page, content = "registries/registry_detail.html", "registries/_registry.html"
    return detail_panel.render_panel(request, page=page, content=content, context=context)


@require_GET
def guide(request: HttpRequest) -> HttpResponse:
    """The operation guide of one type, with links to the others: a page, or the content of a dialog."""
    shown = DECLARATIONS.get(request.GET.get("type", "")) or next(iter(DECLARATIONS.values()))
    held = Registry.objects.present().filter(~Q(type="")).values_list("type", flat=True).distinct()
    template = "_guide_dialog" if lists.is_partial(request, "dialog") else "guide"
    context = {"shown": shown, "types": DECLARATIONS.values(), "held": set(held)}
    response = render(request, f"registries/{template}.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response

"""The page "Repository images" and the details of one image."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from console.exports import list_export
from console.listing import column_picker, detail_panel
from console.listing import views as lists
from inventory import image_detail
from inventory.dashboard import figures as dashboard_figures
from inventory.dashboard import trend
from inventory.models import Image
from inventory.tables import IMAGES
from registries.models import Registry

image_columns = column_picker.make_columns_view(IMAGES)
image_export = list_export.make_export_view(IMAGES)


@require_GET
def image_list(request: HttpRequest) -> HttpResponse:
    """The page: figures, scans in progress, and the list."""
    context: dict[str, object] = {
        "scanning": Image.objects.filter(scan_state__in=Image.ScanState.active()).exists(),
        "has_registries": Registry.objects.present().exists,  # asked where there is no image
    }
    if not lists.is_partial(request, "list"):
        context |= {
            "overview": dashboard_figures.read_overview(),
            "trend": trend.read_trend(),
            "signals": dashboard_figures.alerts(),
        }
    return lists.show(request, IMAGES, template="inventory/image_list.html", context=context)


@require_GET
def image(request: HttpRequest, tag_id: int) -> HttpResponse:
    """One image: a page by itself, or in the drawer of a list. ``tab`` says which findings it opens with."""
    tag = get_object_or_404(image_detail.tags_with_detail(), pk=tag_id)
    context = image_detail.context(tag, tab=request.GET.get("tab", ""), query=request.GET)
    return detail_panel.render_panel(
        request, page="inventory/image.html", content="inventory/_image.html", context=context
    )

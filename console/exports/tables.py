"""The list of exports."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q
from django.utils.translation import gettext_lazy

from console.exports.models import Export
from console.jobs.models import State
from console.listing import AnyOf, Column, Listing, ListingFilterSet, Needs
from console.listing.registered_listings import get_listing


class ExportFilters(ListingFilterSet):
    """What exports can be narrowed to."""

    state = AnyOf(label=gettext_lazy("Status"), choices=State.choices)
    format = AnyOf(label=gettext_lazy("Format"), choices=Export.Format.choices)
    placeholder = gettext_lazy("List or filter")
    prominent = ("state", "format")

    class Meta:
        model = Export
        fields: list[str] = []

    def matches(self, word: str) -> Q:
        return Q(listing__icontains=word) | Q(description__icontains=word)


def listing_title(export: Export) -> str:
    """Return the title of the list that was exported."""
    try:
        return str(get_listing(export.listing).title)
    except KeyError:
        return export.listing


def expires(export: Export) -> datetime | None:
    """Return when the file goes; None where there is none."""
    return export.expires_at


EXPORTS = Listing[Export](
    name="exports",
    title=gettext_lazy("Exports"),
    noun=gettext_lazy("exports"),
    singular=gettext_lazy("export"),
    queryset=Export.objects.all,
    filterset=ExportFilters,
    default_sort="-asked",
    columns=(
        Column(
            name="list",
            label=gettext_lazy("List"),
            value=listing_title,
            sort=("listing", "created_at"),
            needs=Needs(fields=("listing", "description")),
            template="console/exports/cells/list.html",
            locked=True,
            css="grow",
            slot="addr",
        ),
        Column(
            name="format",
            label=gettext_lazy("Format"),
            value=lambda export: export.get_format_display(),
            sort=("format",),
            needs=Needs(fields=("format",)),
            slot="ver",
        ),
        Column(
            name="rows",
            label=gettext_lazy("Rows"),
            value=lambda export: export.rows,
            sort=("rows",),
            needs=Needs(fields=("rows", "cut")),
            template="console/exports/cells/rows.html",
            css="num",
            slot="fact",
            descending_first=True,
        ),
        Column(
            name="size",
            label=gettext_lazy("Size"),
            value=lambda export: export.size,
            sort=("size",),
            needs=Needs(fields=("size",)),
            template="console/exports/cells/size.html",
            css="num",
            descending_first=True,
        ),
        Column(
            name="asked",
            label=gettext_lazy("Requested"),
            value=lambda export: export.created_at,
            sort=("created_at",),
            needs=Needs(fields=("created_at",)),
            template="console/listing/time.html",
            descending_first=True,
            slot="fact",
        ),
        Column(
            name="expires",
            label=gettext_lazy("Expires"),
            value=expires,
            sort=("expires_at",),
            needs=Needs(fields=("expires_at",)),
            template="console/exports/cells/expires.html",
            slot="fact",
        ),
        Column(
            name="state",
            label=gettext_lazy("Status"),
            value=lambda export: export.get_state_display(),
            sort=("state", "created_at"),
            needs=Needs(
                fields=("state", "stage", "progress_done", "progress_total", "reason", "remedy", "cancel_requested_at")
            ),
            template="console/exports/cells/state.html",
            slot="status",
        ),
        Column(
            name="act",
            label=gettext_lazy("File"),
            value=lambda export: export.file,
            needs=Needs(fields=("file", "state", "cancel_requested_at")),
            template="console/exports/cells/action.html",
            css="act",
            slot="act",
        ),
    ),
    detail="console/exports/cells/reason_row.html",
    above="console/exports/_progress.html",
    empty="console/exports/_none.html",
    columns_view="console:export-columns",
)

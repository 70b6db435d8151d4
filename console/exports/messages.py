"""Messages that this package shows to people: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- make
VISIBLE_CHANGED = MessageText(
    "export.visible-changed", "The data that you can see has changed since you requested this export."
)
EXPORT_AGAIN = MessageText("export.export-again", "Export the list again.")
NO_SUCH_LIST = MessageText("export.no-such-list", "This list no longer exists.")
EXPORT_ANOTHER = MessageText("export.export-another", "Export another list.")
FILTERS_DO_NOT_FIT = MessageText(
    "export.filters-do-not-fit", "The filters of this export no longer fit the list. %(why)s"
)
FILTER_AGAIN = MessageText("export.filter-anew", "Open the list, filter it again, and export it again.")
TOO_MANY_ROWS = MessageText("export.too-many-rows", "%(n)s rows match, but an Excel sheet can have at most %(limit)s.")
EXPORT_AS_CSV = MessageText("export.export-as-csv", "Export as CSV, which has no limit of rows, or narrow the filters.")

"""What is told to people by this package: see console.i18n.message_codes."""

from __future__ import annotations

from console.i18n.message_codes import MessageText

# --- make
VISIBLE_CHANGED = MessageText("export.visible-changed", "What you may see has changed since you asked for this.")
EXPORT_AGAIN = MessageText("export.export-again", "Export it again.")
NO_SUCH_LIST = MessageText("export.no-such-list", "There is no such list any more.")
EXPORT_ANOTHER = MessageText("export.export-another", "Export another one.")
FILTERS_DO_NOT_FIT = MessageText(
    "export.filters-do-not-fit", "The filters of this export do not fit the list any more. %(why)s"
)
FILTER_ANEW = MessageText("export.filter-anew", "Open the list, filter it anew, and export again.")
TOO_MANY_ROWS = MessageText("export.too-many-rows", "%(n)s rows match, and a sheet of Excel holds %(limit)s.")
EXPORT_AS_CSV = MessageText("export.export-as-csv", "Export as CSV, which has no bound, or narrow the filters.")

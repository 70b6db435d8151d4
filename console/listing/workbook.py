"""Writing workbooks. The only door to openpyxl.

Rows are written as they come and not kept. Text is always text: openpyxl would make a formula of what begins with
"=" and an error of "#N/A", so the type of each cell is set by hand.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from django.utils import timezone
from django.utils.translation import gettext as _
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import Cell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from console.listing import cells
from console.listing.cells import CUT_MARK, MAX_CELL_CHARACTERS, WriteResult, to_spreadsheet_value
from console.listing.columns import Value

MEASURED_ROWS = 200  # rows by which the columns get their widths
MIN_COLUMN_WIDTH, MAX_COLUMN_WIDTH, TIME_COLUMN_WIDTH = 10, 64, 20


def write(
    file: IO[bytes],
    *,
    title: str,
    labels: Sequence[str],
    rows: Iterable[Sequence[Value]],
    scratch: Path | None = None,
) -> WriteResult:
    """Write ``rows`` under ``labels`` into ``file`` as a workbook with one sheet of them and one about them.

    Times are those of the current time zone, which the second sheet names, for a spreadsheet knows no zones. Sheets
    grow in ``scratch`` until they are packed. Raises ValueError where there are more rows than a sheet can hold.
    """
    with _temporary_files_in(scratch):
        return _write(file, title=title, labels=labels, rows=rows)


def _write(file: IO[bytes], *, title: str, labels: Sequence[str], rows: Iterable[Sequence[Value]]) -> WriteResult:
    book = Workbook(write_only=True)
    sheet: Any = book.create_sheet(_sheet_name(title))  # its stub lacks what a sheet has
    sheet.freeze_panes = "B2"
    coming = iter(rows)
    first = list(islice(coming, MEASURED_ROWS))
    for position, label in enumerate(labels):
        width = _width([label, *(row[position] for row in first)])
        sheet.column_dimensions[get_column_letter(position + 1)].width = width
    head = [_cell(sheet, label)[0] for label in labels]
    for cell in head:
        cell.font = Font(bold=True)
    sheet.append(head)
    count = cut = 0
    for row in chain(first, coming):
        count += 1
        if count >= cells.MAX_SHEET_ROWS:
            raise ValueError("A sheet cannot hold so many rows.")
        made = [_cell(sheet, value) for value in row]
        sheet.append([cell for cell, _was_cut in made])
        cut += sum(was_cut for _one, was_cut in made)
    sheet.auto_filter.ref = f"A1:{get_column_letter(max(1, len(labels)))}{count + 1}"
    about: Any = book.create_sheet(_("About"))
    about.column_dimensions["A"].width = about.column_dimensions["B"].width = 28
    facts: list[tuple[str, Value]] = [
        (_("Written"), timezone.now()),
        (_("Time zone"), timezone.get_current_timezone_name()),
        (_("Rows"), count),
        (
            _("Cells cut to %(n)d characters, marked %(mark)s") % {"n": MAX_CELL_CHARACTERS, "mark": CUT_MARK.strip()},
            cut,
        ),
    ]
    for label, value in facts:
        about.append([_cell(about, label)[0], _cell(about, value)[0]])
    book.save(file)
    return WriteResult(rows=count, cut=cut)


@contextmanager
def _temporary_files_in(folder: Path | None) -> Iterator[None]:
    """Have openpyxl, which asks nobody, put its temporary files into ``folder``."""
    if folder is None:
        yield
        return
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before


def _sheet_name(title: str) -> str:
    return re.sub(r"[\\/*?:\[\]]", " ", title)[:31] or "1"


def _width(values: Sequence[Value]) -> int:
    """Return the width of a column, in characters, that shows most of ``values`` whole."""
    lengths = [TIME_COLUMN_WIDTH if isinstance(value, datetime) else len(str(value or "")) + 2 for value in values]
    return min(max(MIN_COLUMN_WIDTH, *lengths), MAX_COLUMN_WIDTH)


def _cell(sheet: Any, value: Value) -> tuple[Cell, bool]:
    """Return ``value`` as a cell of its type, and whether it was cut."""
    if isinstance(value, datetime) and timezone.is_aware(value):
        value = timezone.make_naive(value)
    fitted = to_spreadsheet_value(value)
    cell: Any = WriteOnlyCell(sheet, value=fitted.value)  # type: ignore[arg-type]
    if isinstance(fitted.value, str):
        cell.data_type = "s"
        cell.quotePrefix = fitted.is_formula_like
    elif isinstance(fitted.value, datetime):
        cell.number_format = "yyyy-mm-dd hh:mm:ss"
    elif isinstance(fitted.value, date):
        cell.number_format = "yyyy-mm-dd"
    return cell, fitted.cut

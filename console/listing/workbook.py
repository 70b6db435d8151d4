"""Writing workbooks. The only door to openpyxl.

Rows are written as they come and not kept. Text is always text: openpyxl would make a formula of what begins with
"=" and an error of "#N/A", so the type of each cell is set by hand.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import IO, Any

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import Cell
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter

from console.listing.columns import Value

CELL_LIMIT = 32_767  # characters in a cell, by the specification of Excel
ROW_LIMIT = 1_048_576  # rows in a sheet, head included
CUT = " […]"
EXACT = 2**53  # from here on a spreadsheet rounds whole numbers
EPOCH = 1900  # a spreadsheet has no dates before it
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # not allowed in XML 1.0
RISKY = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")  # would be a formula if somebody edited the cell
WIDTHS = {"text": 28, "long": 60, "number": 12, "time": 20}


@dataclass(frozen=True)
class Written:
    """How many rows were written, and how many cells were cut to CELL_LIMIT."""

    rows: int
    cut: int


def write(file: IO[bytes], *, title: str, labels: Sequence[str], rows: Iterable[Sequence[Value]]) -> Written:
    """Write ``rows`` under ``labels`` into ``file`` as a workbook with one sheet of them and one about them.

    Times are those of the current time zone, which the second sheet names, for a spreadsheet knows no zones. Raises
    ValueError where there are more rows than a sheet can hold.
    """
    book = Workbook(write_only=True)
    sheet: Any = book.create_sheet(_sheet_name(title))  # its stub lacks what a sheet has
    sheet.freeze_panes = "B2"
    for position in range(1, len(labels) + 1):
        sheet.column_dimensions[get_column_letter(position)].width = WIDTHS["long" if position == 1 else "text"]
    head = [_cell(sheet, label)[0] for label in labels]
    for cell in head:
        cell.font = Font(bold=True)
    sheet.append(head)
    count = cut = 0
    for row in rows:
        count += 1
        if count >= ROW_LIMIT:
            raise ValueError("A sheet cannot hold so many rows.")
        cells = []
        for value in row:
            cell, was_cut = _cell(sheet, value)
            cells.append(cell)
            cut += was_cut
        sheet.append(cells)
    sheet.auto_filter.ref = f"A1:{get_column_letter(max(1, len(labels)))}{count + 1}"
    about: Any = book.create_sheet(_("About"))
    about.column_dimensions["A"].width = about.column_dimensions["B"].width = WIDTHS["text"]
    facts: list[tuple[str, Value]] = [
        (_("Written"), timezone.now()),
        (_("Time zone"), timezone.get_current_timezone_name()),
        (_("Rows"), count),
        (_("Cells cut to %(n)d characters, marked %(mark)s") % {"n": CELL_LIMIT, "mark": CUT.strip()}, cut),
    ]
    for label, value in facts:
        about.append([_cell(about, label)[0], _cell(about, value)[0]])
    book.save(file)
    return Written(rows=count, cut=cut)


def _sheet_name(title: str) -> str:
    return re.sub(r"[\\/*?:\[\]]", " ", title)[:31] or "1"


def _cell(sheet: Any, value: Value) -> tuple[Cell, bool]:
    """Return ``value`` as a cell of its type, and whether it was cut."""
    if isinstance(value, datetime) and timezone.is_aware(value):
        value = timezone.make_naive(value)
    if isinstance(value, date) and value.year < EPOCH:
        value = value.isoformat()
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= EXACT:
        value = str(value)
    if isinstance(value, float) and not math.isfinite(value):
        value = str(value)
    if not isinstance(value, str | Promise):
        cell: Any = WriteOnlyCell(sheet, value=value)  # type: ignore[arg-type]
        if isinstance(value, datetime):
            cell.number_format = "yyyy-mm-dd hh:mm:ss"
        elif isinstance(value, date):
            cell.number_format = "yyyy-mm-dd"
        return cell, False
    text = UNFIT.sub("", str(value))
    was_cut = len(text) > CELL_LIMIT
    if was_cut:
        text = text[: CELL_LIMIT - len(CUT)] + CUT
    cell = WriteOnlyCell(sheet, value=text)
    cell.data_type = "s"
    if text.startswith(RISKY):
        cell.quotePrefix = True
    return cell, was_cut

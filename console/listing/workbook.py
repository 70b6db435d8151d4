"""Writing workbooks. The only door to openpyxl.

Rows are written as they come and not kept. Text is always text: openpyxl would make a formula of what begins with
"=" and an error of "#N/A". So the cells of rows are written here, and all else of a workbook by openpyxl; that takes
half of the time, too, for openpyxl makes objects of each cell and asks the kind of its value several times.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any

from django.utils import timezone
from django.utils.translation import gettext as _
from lxml.etree import Element, SubElement
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.compat import safe_string
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.datetime import to_excel
from openpyxl.worksheet._write_only import WriteOnlyWorksheet

from console.listing import spreadsheet_values
from console.listing.columns import Value
from console.listing.spreadsheet_values import CUT_MARK, MAX_CELL_CHARACTERS, WriteResult, to_spreadsheet_value

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


class _Sheet(WriteOnlyWorksheet):
    """A sheet whose rows are written here. ``append()`` takes values as they are and counts those that were cut."""

    cut = 0
    # Of openpyxl, whose types are not known.
    _writer: Any
    column_dimensions: Any
    auto_filter: Any

    def set_styles(self) -> None:
        """Have the workbook know the styles of cells. Call it before the first row."""
        self.bold, self.quoted, self.time, self.day = (
            self._style_id(**style)
            for style in (
                {"font": Font(bold=True)},
                {"quotePrefix": True},
                {"number_format": "yyyy-mm-dd hh:mm:ss"},
                {"number_format": "yyyy-mm-dd"},
            )
        )
        self._zone = timezone.get_current_timezone()
        self._letters = [""]

    def _style_id(self, **style: Any) -> str:
        cell = WriteOnlyCell(self)
        for name, value in style.items():
            setattr(cell, name, value)
        return str(cell.style_id)

    def append_head(self, labels: Sequence[str]) -> None:
        """Write a row of bold text."""
        super().append([(label, self.bold) for label in labels])

    def append(self, row: Sequence[Value]) -> None:
        """Write one row."""
        super().append([(value, "") for value in row])

    def _write_rows(self) -> Generator[None, Any, None]:
        """Write what ``append()`` sends, as the method of openpyxl does that this replaces."""
        xml = self._writer.xf.send(True)
        number = 0
        with xml.element("sheetData"):
            try:
                while True:
                    row: Any = yield
                    number += 1
                    xml.write(self._row(str(number), row))
            except GeneratorExit:
                pass
        self._writer.xf.send(None)

    def _row(self, number: str, row: list[tuple[Value, str]]) -> Any:
        while len(self._letters) <= len(row):
            self._letters.append(get_column_letter(len(self._letters)))
        element = Element("row", {"r": number})
        for letter, (value, style) in zip(self._letters[1:], row, strict=False):
            if value is not None:
                self._add_cell(element, letter + number, value, style)
        return element

    def _add_cell(self, row: Any, place: str, value: Value, style: str) -> None:
        if isinstance(value, datetime) and value.tzinfo is not None:
            value = value.astimezone(self._zone).replace(tzinfo=None)
        fitted = to_spreadsheet_value(value)
        value = fitted.value
        self.cut += fitted.cut
        attributes = {"r": place}
        if isinstance(value, str):
            if fitted.is_formula_like:
                style = style or self.quoted
            attributes["t"] = "inlineStr"
        elif isinstance(value, date):
            style = self.time if isinstance(value, datetime) else self.day
            value = to_excel(value)  # type: ignore[no-untyped-call]
        elif isinstance(value, bool):
            attributes["t"] = "b"
        if style:
            attributes["s"] = style
        cell = SubElement(row, "c", attributes)
        if not isinstance(value, str):
            SubElement(cell, "v").text = safe_string(value)
        elif value:
            text = SubElement(SubElement(cell, "is"), "t")
            text.text = value
            if value != value.strip():
                text.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")


def _add_sheet(book: Workbook, title: str) -> _Sheet:
    sheet = _Sheet(book, title=title)
    book._add_sheet(sheet)  # type: ignore[attr-defined]
    sheet.set_styles()
    return sheet


def _write(file: IO[bytes], *, title: str, labels: Sequence[str], rows: Iterable[Sequence[Value]]) -> WriteResult:
    book = Workbook(write_only=True)
    sheet = _add_sheet(book, _sheet_name(title))
    sheet.freeze_panes = "B2"
    coming = iter(rows)
    first = list(islice(coming, MEASURED_ROWS))
    for position, label in enumerate(labels):
        width = _width([label, *(row[position] for row in first)])
        sheet.column_dimensions[get_column_letter(position + 1)].width = width
    sheet.append_head(labels)
    count = 0
    for row in chain(first, coming):
        count += 1
        if count >= spreadsheet_values.MAX_SHEET_ROWS:
            raise ValueError("A sheet cannot hold so many rows.")
        sheet.append(row)
    cut = sheet.cut
    sheet.auto_filter.ref = f"A1:{get_column_letter(max(1, len(labels)))}{count + 1}"
    about = _add_sheet(book, _("About"))
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
        about.append([label, value])
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

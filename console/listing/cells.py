"""What every file of rows does with a value before it writes it: what does not fit goes, what is too long is cut."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime

from django.utils.functional import Promise

from console.listing.columns import Value

MAX_SHEET_ROWS = 1_048_576  # rows in a sheet, head included
MAX_CELL_CHARACTERS = 32_767  # characters in a cell, by the specification of Excel
CUT_MARK = " […]"
MAX_EXACT_INTEGER = 2**53  # from here on a spreadsheet rounds whole numbers
MIN_SPREADSHEET_YEAR = 1900  # a spreadsheet has no dates before it
INVALID_CHARACTERS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # not allowed in XML 1.0
FORMULA_PREFIXES = (
    "=",
    "+",
    "-",
    "@",
    "\t",
    "\r",
    "\n",
    "＝",
    "＋",
    "－",
    "＠",
)  # begins a formula in some spreadsheet


@dataclass(frozen=True)
class WriteResult:
    """How many rows were written, and how many cells were cut to MAX_CELL_CHARACTERS."""

    rows: int
    cut: int


@dataclass(frozen=True)
class SpreadsheetValue:
    """A value that a spreadsheet can hold; ``cut`` where text was too long for a cell."""

    value: str | int | float | bool | datetime | date | None
    cut: bool = False

    @property
    def is_formula_like(self) -> bool:
        """Whether this is text that a spreadsheet would take for a formula if it were typed in."""
        return isinstance(self.value, str) and (
            self.value.startswith(FORMULA_PREFIXES) or self.value.lstrip(" \u00a0\u3000").startswith(FORMULA_PREFIXES)
        )


def to_spreadsheet_value(value: Value) -> SpreadsheetValue:
    """Return ``value`` as a spreadsheet can hold it: numbers and dates beyond its bounds become text."""
    early = isinstance(value, date) and value.year < MIN_SPREADSHEET_YEAR
    large = isinstance(value, int) and abs(value) >= MAX_EXACT_INTEGER
    if early or large or (isinstance(value, float) and not math.isfinite(value)):
        value = str(value)
    if not isinstance(value, str | Promise):
        return SpreadsheetValue(value)
    text = INVALID_CHARACTERS.sub("", str(value))
    if len(text) <= MAX_CELL_CHARACTERS:
        return SpreadsheetValue(text)
    return SpreadsheetValue(text[: MAX_CELL_CHARACTERS - len(CUT_MARK)] + CUT_MARK, cut=True)

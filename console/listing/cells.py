"""What every file of rows does with a value before it writes it: what does not fit goes, what is too long is cut."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date, datetime

from django.utils.functional import Promise

from console.listing.columns import Value

CELL_LIMIT = 32_767  # characters in a cell, by the specification of Excel
CUT = " […]"
EXACT = 2**53  # from here on a spreadsheet rounds whole numbers
EPOCH = 1900  # a spreadsheet has no dates before it
UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # not allowed in XML 1.0
RISKY = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # begins a formula in some spreadsheet


@dataclass(frozen=True)
class Written:
    """How many rows were written, and how many cells were cut to CELL_LIMIT."""

    rows: int
    cut: int


@dataclass(frozen=True)
class Fitted:
    """A value that a spreadsheet can hold; ``cut`` where text was too long for a cell."""

    value: str | int | float | bool | datetime | date | None
    cut: bool = False

    @property
    def risky(self) -> bool:
        """Whether this is text that a spreadsheet would take for a formula if it were typed in."""
        return isinstance(self.value, str) and (
            self.value.startswith(RISKY) or self.value.lstrip(" \u00a0\u3000").startswith(RISKY)
        )


def fit(value: Value) -> Fitted:
    """Return ``value`` as a spreadsheet can hold it: numbers and dates beyond its bounds become text."""
    early = isinstance(value, date) and value.year < EPOCH
    large = isinstance(value, int) and abs(value) >= EXACT
    if early or large or (isinstance(value, float) and not math.isfinite(value)):
        value = str(value)
    if not isinstance(value, str | Promise):
        return Fitted(value)
    text = UNFIT.sub("", str(value))
    if len(text) <= CELL_LIMIT:
        return Fitted(text)
    return Fitted(text[: CELL_LIMIT - len(CUT)] + CUT, cut=True)

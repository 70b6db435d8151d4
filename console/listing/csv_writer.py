"""Writing CSV as spreadsheets read it: UTF-8 with a mark at its start, and no cell that would become a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import IO

from django.utils import timezone

from console.listing.columns import Value
from console.listing.spreadsheet_values import WriteResult, to_spreadsheet_value


def write(file: IO[bytes], *, labels: Sequence[str], rows: Iterable[Sequence[Value]]) -> WriteResult:
    """Write ``rows`` under ``labels``. Times carry their offset; what would be a formula gets ``'`` before it."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
    lines = csv.writer(text, lineterminator="\r\n")
    lines.writerow([_cell(label)[0] for label in labels])
    count = cut = 0
    for row in rows:
        cells = [_cell(value) for value in row]
        lines.writerow([content for content, _was_cut in cells])
        count += 1
        cut += sum(was_cut for _content, was_cut in cells)
    text.detach()
    return WriteResult(rows=count, cut=cut)


def _cell(value: Value) -> tuple[str | int | float, bool]:
    fitted = to_spreadsheet_value(value)
    found = fitted.value
    if found is None:
        return "", False
    if isinstance(found, datetime) and timezone.is_aware(found):
        return timezone.localtime(found).isoformat(timespec="seconds"), False
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        return str(found), False
    return (f"'{found}" if fitted.is_formula_like else found), fitted.cut

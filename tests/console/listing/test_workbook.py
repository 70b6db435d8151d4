"""Workbooks: what is in a cell is what was meant, whatever a registry or an image says."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st
from openpyxl import load_workbook

from console.listing import spreadsheet_values, workbook

FORMULAS = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "＝1+1", "#N/A", "#REF!")


def written(*rows: list[Any], labels: tuple[str, ...] = ("A",)) -> tuple[workbook.WriteResult, Any, bytes]:
    file = io.BytesIO()
    told = workbook.write(file, title="Images: all/some", labels=labels, rows=rows)
    return told, load_workbook(io.BytesIO(file.getvalue())), file.getvalue()


def column(book: Any) -> list[Any]:
    return [row[0] for row in book.worksheets[0].iter_rows(min_row=2, values_only=True)]


def test_text_that_looks_like_a_formula_stays_text() -> None:
    _told, book, raw = written(*([text] for text in FORMULAS))
    assert [cell.data_type for (cell,) in book.worksheets[0].iter_rows(min_row=2)] == ["s"] * len(FORMULAS)
    sheet = zipfile.ZipFile(io.BytesIO(raw)).read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert 't="e"' not in sheet


def test_values_keep_their_type() -> None:
    _told, book, _raw = written([3], [2.5], [True], [None], ["3"], [date(2026, 11, 23)])
    assert column(book) == [3, 2.5, True, None, "3", datetime(2026, 11, 23)]


def test_times_are_those_of_the_current_zone_and_the_workbook_names_it() -> None:
    with timezone.override("Europe/Vienna"):
        _told, book, _raw = written([datetime(2026, 7, 1, 12, 0, tzinfo=UTC)])
    assert column(book) == [datetime(2026, 7, 1, 14, 0)]
    assert "Europe/Vienna" in [row[1] for row in book.worksheets[1].iter_rows(values_only=True)]


def test_long_text_is_cut_marked_and_counted() -> None:
    told, book, _raw = written(["x" * 40_000], ["y" * workbook.MAX_CELL_CHARACTERS])
    long, fits = column(book)
    assert len(long) == workbook.MAX_CELL_CHARACTERS
    assert long.endswith(workbook.CUT_MARK)
    assert fits == "y" * workbook.MAX_CELL_CHARACTERS
    assert told == workbook.WriteResult(rows=2, cut=1)


def test_characters_that_xml_does_not_know_are_left_out() -> None:
    _told, book, _raw = written(["a\x00b\x07c\ud800d\uffffe\x1ff"])
    assert column(book) == ["abcdef"]


@pytest.mark.parametrize("value", [2**53, -(2**60), float("inf"), date(1850, 1, 1)])
def test_what_a_spreadsheet_cannot_hold_exactly_is_text(value: Any) -> None:
    _told, book, _raw = written([value])
    assert column(book) == [str(value)]


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_no_text_breaks_a_workbook(text: str) -> None:
    _told, book, _raw = written([text])
    (read,) = column(book)
    expected = spreadsheet_values.INVALID_CHARACTERS.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    assert (read or "").replace("\r\n", "\n").replace("\r", "\n") == expected

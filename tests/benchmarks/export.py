"""How long the export of a list into a workbook takes, beside openpyxl alone.

    python -m tests.benchmarks.export [--rows 100000]

Exports the list of images with twelve of its columns. "Writing" is the workbook of rows that are there already, "with
reading" is the whole export. Prints seconds of the processor and ratios; the database is SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

from tests.benchmarks.console import Console

COLUMNS = 12
GOAL_RATIOS = {"writing": 1.1, "with reading": 1.8}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-export-") as name:
        Console(Path(name))
        measure(options.rows, Path(name))


def measure(count: int, folder: Path) -> None:
    from django.core.management import call_command

    from console.exports import make
    from console.listing.registered_listings import get_listing
    from demo.inventory.command import Command
    from inventory.models import Tag

    call_command(Command(), tags=count)
    listing = get_listing("images")
    columns = listing.columns[:COLUMNS]
    rows = listing.within_rows(None)
    keys = make.ordered_keys(listing, rows, sort=None)[:count]
    values = list(make.row_values(listing, keys, columns))
    labels = [str(column.label) for column in columns]
    print(f"{Tag.objects.count():,} tags, {len(values):,} rows × {len(columns)} columns")

    def ours(rows: Iterable[list[Any]]) -> Callable[[IO[bytes]], object]:
        return lambda file: make.write_file(file, "xlsx", title="Images", columns=columns, rows=iter(rows))

    write_bare(io.BytesIO(), labels, values[:10])  # what is loaded at first does not count
    bare = seconds(folder, lambda file: write_bare(file, labels, values))
    print(f"openpyxl alone  {bare:6.1f} s")
    for name, write in (
        ("writing", ours(values)),
        ("with reading", ours(make.row_values(listing, make.ordered_keys(listing, rows, sort=None)[:count], columns))),
    ):
        took = seconds(folder, write)
        print(f"{name:<15} {took:6.1f} s  {took / bare:5.2f} of openpyxl alone (goal {GOAL_RATIOS[name]})")


def seconds(folder: Path, write: Callable[[IO[bytes]], object]) -> float:
    """Return the seconds of this processor that ``write`` takes for a file."""
    with (folder / "file.xlsx").open("wb") as file:
        began = time.process_time()
        write(file)
        return time.process_time() - began


def write_bare(file: IO[bytes], labels: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write the same values as openpyxl takes them, without types set by hand, widths or a second sheet."""
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    sheet: Any = book.create_sheet("Images")
    sheet.append(labels)
    for row in rows:
        sheet.append([plain(value) for value in row])
    book.save(file)


def plain(value: Any) -> Any:
    """Return ``value`` as openpyxl takes it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "tzinfo"):
        return value.replace(tzinfo=None)
    return str(value)


if __name__ == "__main__":
    main()

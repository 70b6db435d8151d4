"""Makes the file of an export: rows go from the database through the columns of their list into a file."""

from __future__ import annotations

import zoneinfo
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC
from typing import IO, Any

from django.db.models import QuerySet
from django.http import QueryDict
from django.utils import timezone, translation

from console import visibility
from console.db.batches import batched
from console.exports import files, messages
from console.exports.models import Export
from console.jobs.errors import JobFailure
from console.jobs.job_run import JobRun
from console.jobs.state import from_now
from console.listing import csv_writer, spreadsheet_values
from console.listing.columns import Column, Value
from console.listing.listing import Listing, SelectionError
from console.listing.registered_listings import get_listing
from console.listing.spreadsheet_values import WriteResult

CHUNK_ROWS = 500  # rows fetched at a time


def make_export(run: JobRun[Export]) -> None:
    """Write the file of an export. Raises JobFailure where what was asked for cannot be written any more.

    It holds what its owner sees now. Should that be something else than when it was asked for, it is not written.
    """
    export = run.job
    with ExitStack() as stack:
        stack.enter_context(visibility.set_to(visibility.of(export.requested_by)))
        if visibility.key() != export.visibility_key:
            raise JobFailure(messages.VISIBLE_CHANGED(), messages.EXPORT_AGAIN())
        stack.enter_context(translation.override(export.language))
        stack.enter_context(timezone.override(_zone(export.time_zone)))
        run.progress("counting")
        listing, keys = _resolve_rows(export)
        run.check()
        columns = listing.chosen(export.columns)
        rows = _with_progress(run, row_values(listing, keys, columns, within=export.within), total=len(keys))
        draft = run.scratch / f"export.{export.format}"
        with draft.open("wb") as file:
            written = write_file(file, export.format, title=str(listing.title), columns=columns, rows=rows, run=run)
    name = f"{export.pk}-{run.attempt}.{export.format}"  # an attempt that was overtaken has a file of its own
    final = files.exports_folder() / name
    draft.replace(final)
    final.chmod(0o600)
    try:
        stored = files.store(final, check=run.check)
    except BaseException:
        final.unlink(missing_ok=True)
        raise

    def keep() -> None:
        Export._base_manager.filter(pk=export.pk).update(
            file=name,
            stored=stored,
            rows=written.rows,
            cut=written.cut,
            size=final.stat().st_size,
            expires_at=from_now(files.FILE_RETENTION.total_seconds()),
        )

    try:
        run.finish(write=keep)
    except BaseException:
        final.unlink(missing_ok=True)
        raise


def write_file(
    file: IO[bytes],
    format: str,
    *,
    title: str,
    columns: Sequence[Column[Any]],
    rows: Iterator[list[Value]],
    run: JobRun[Export] | None = None,
) -> WriteResult:
    """Write ``rows`` of a list of that title into ``file``, in the current time zone and language."""
    labels = [str(column.label) for column in columns]
    if format == Export.Format.CSV:
        return csv_writer.write(file, labels=labels, rows=rows)
    from console.listing import workbook  # openpyxl: 15 MB and a tenth of a start, which only exports need

    scratch = run.scratch if run else None
    return workbook.write(file, title=title, labels=labels, rows=rows, scratch=scratch)


def ordered_keys(listing: Listing[Any], rows: QuerySet[Any], *, sort: str | None) -> array[int]:
    """Return the ids of ``rows`` in order, eight bytes each: what a file holds is settled before it is written.

    No cursor stays open on the rows themselves: SQLite would refuse the progress that is written meanwhile.
    """
    ordered = listing.rows(rows, (), sort=sort)
    return array("q", ordered.values_list("pk", flat=True).iterator(chunk_size=10_000))


def row_values(
    listing: Listing[Any], keys: Sequence[int], columns: Sequence[Column[Any]], *, within: int | None = None
) -> Iterator[list[Value]]:
    """Yield the values of ``columns`` for the rows of ``keys``, in that order; rows that are gone are left out."""
    for chunk in batched(keys, CHUNK_ROWS):
        found = listing.rows(listing.within_rows(within).filter(pk__in=chunk), columns).in_bulk(chunk)
        if listing.apply_scope:
            listing.apply_scope(list(found.values()))
        for key in chunk:
            if row := found.get(key):
                yield [column.value(row) for column in columns]


def _resolve_rows(export: Export) -> tuple[Listing[Any], array[int]]:
    """Return the list and the ids of the rows that ``export`` means now."""
    try:
        listing = get_listing(export.listing)
    except KeyError as error:
        raise JobFailure(messages.NO_SUCH_LIST(), messages.EXPORT_ANOTHER()) from error
    view = QueryDict(export.view)
    chosen = QueryDict(mutable=True)
    if export.ids:
        chosen.setlist("ids", [str(key) for key in export.ids])
    else:
        chosen["all"] = "1"
    try:
        rows = listing.selected(view=view, chosen=chosen, within=export.within)
    except SelectionError as error:
        raise JobFailure(
            messages.FILTERS_DO_NOT_FIT(why=error),
            messages.FILTER_AGAIN(),
        ) from error
    keys = ordered_keys(listing, rows, sort=view.get("sort"))
    if export.format == Export.Format.XLSX and len(keys) >= spreadsheet_values.MAX_SHEET_ROWS:
        raise JobFailure(
            messages.TOO_MANY_ROWS(n=f"{len(keys):,}", limit=f"{spreadsheet_values.MAX_SHEET_ROWS - 1:,}"),
            messages.EXPORT_AS_CSV(),
        )
    return listing, keys


def _with_progress(run: JobRun[Export], rows: Iterator[list[Value]], *, total: int) -> Iterator[list[Value]]:
    for done, row in enumerate(rows):
        if not done % CHUNK_ROWS:
            run.check()
            run.progress("writing", done, total)
        yield row
    run.check()
    run.progress("packing", total, total)


def _zone(name: str) -> Any:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return UTC

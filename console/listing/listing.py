"""Listing: the declaration of a list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic

from django.db.models import QuerySet
from django.http import QueryDict

from console.db.primary_keys import parse_keys
from console.listing import filters as filtering
from console.listing.columns import NO_NEEDS, Column, Needs, Row, Text, compose, nullable, ordering
from console.visibility import Seen, current

PAGE_SIZES = (20, 50, 100)
MAX_EXACT_COUNT_ROWS = 10_000

KEY_LIMIT = 1 << 63  # no database has a row of this key, nor takes it for one


@dataclass(frozen=True)
class Total:
    """How many rows there are; ``more`` where counting stopped at MAX_EXACT_COUNT_ROWS."""

    number: int
    more: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.more else ''}"


def count_rows(rows: QuerySet[Any]) -> Total:
    """Count ``rows``, exactly up to MAX_EXACT_COUNT_ROWS."""
    return to_total(rows.order_by()[: MAX_EXACT_COUNT_ROWS + 1].count())


def to_total(number: int) -> Total:
    """Return how ``number`` rows are told."""
    return Total(min(number, MAX_EXACT_COUNT_ROWS), more=number > MAX_EXACT_COUNT_ROWS)


class SelectionError(ValueError):
    """What was chosen cannot be told for certain; the message is for a person."""


@dataclass(frozen=True)
class Listing(Generic[Row]):
    """One list: its rows, columns and filters. Page, chooser and workbook are made from it and from nothing else.

    ``needs`` is what the templates of a row ask for whatever the columns are. ``actions`` is the template of the last
    cell of a row, ``detail`` that of a row below it, ``bulk`` that of the buttons for selected rows, ``tools`` that of
    the buttons beside the filters, ``above`` that of what stands over the list and changes with it, ``empty`` that of
    a list which holds nothing at all. ``apply_scope`` sets, on rows that were fetched, what is not the same for
    everybody.
    """

    name: str
    title: Text
    noun: Text  # plural, as in "2,318 of 12,480 tags"
    singular: Text  # as in "1 tag"
    queryset: Callable[[], QuerySet[Row]]
    columns: tuple[Column[Row], ...]
    filterset: type[filtering.ListingFilterSet]
    default_sort: str  # name of a column, "-" before it for descending
    needs: Needs = NO_NEEDS
    actions: str = ""
    detail: str = ""
    bulk: str = ""
    tools: str = ""
    empty: str = ""
    above: str = ""
    columns_view: str = ""  # URL name of the column chooser
    act: str = ""  # URL name of what buttons of rows do that name no other; they are told what the row is by tables.js
    within: Callable[[int], QuerySet[Row]] | None = None  # the rows that belong to the thing of this id
    apply_scope: Callable[[Sequence[Row]], None] | None = None
    page_size: int = PAGE_SIZES[0]
    page_sizes: tuple[int, ...] = PAGE_SIZES

    def column(self, name: str) -> Column[Row] | None:
        """Return the column of that name, or None."""
        return next((column for column in self.columns if column.name == name), None)

    def chosen(self, names: Sequence[str] | None) -> tuple[Column[Row], ...]:
        """Return the columns to show, in order: the locked ones, then those of ``names``, else the default ones.

        Names that no column has are passed over, so that a choice survives a column that has gone.
        """
        locked = [column for column in self.columns if column.locked]
        free = [column for name in dict.fromkeys(names or ()) if (column := self.column(name)) and not column.locked]
        return (*locked, *(free or [column for column in self.columns if column.default and not column.locked]))

    def sorting(self, text: str) -> tuple[Column[Row], bool] | None:
        """Return the column and whether it is descending, or None where ``text`` names nothing that can be sorted."""
        column = self.column(text.removeprefix("-"))
        return (column, text.startswith("-")) if column and column.sort else None

    def rows(
        self, rows: QuerySet[Row], columns: Iterable[Column[Row]], *, sort: str | None = None, row_parts: bool = False
    ) -> QuerySet[Row]:
        """Return ``rows`` sorted, with what ``columns`` need and, with ``row_parts``, what a row of the page needs."""
        column, descending = self._order(sort)
        needs = [one.needs for one in columns] + ([self.needs] if row_parts else [])
        needs.append(Needs(annotate=column.needs.annotate))  # of a column that is sorted by and not shown
        return compose(rows, needs).order_by(*ordering(rows.model, column.sort, descending=descending))

    def window(self, rows: QuerySet[Row], *, sort: str | None, start: int, stop: int) -> list[int]:
        """Return the ids of those of ``rows`` that stand from ``start`` to before ``stop`` in the order of ``sort``.

        Parts of the order that an index gives, but not all together, are asked for one after the other until the
        window is filled: the ranks of a column, and after what is known, the rows in which the column is empty.
        """
        column, descending = self._order(sort)
        found: list[int] = []
        passed = 0
        for part in self._parts(rows, column, sort=sort, descending=descending):
            first = max(0, start - passed)
            here = list(part.values_list("pk", flat=True)[first : stop - passed])
            found += here
            if len(found) == stop - start:
                break
            passed += first + len(here) if here or not first else part.order_by().count()
        return found

    def _parts(
        self, rows: QuerySet[Row], column: Column[Row], *, sort: str | None, descending: bool
    ) -> Iterator[QuerySet[Row]]:
        """Yield the parts of ``rows`` in the order of ``sort``, each ordered."""
        if column.ranks:
            within = ordering(rows.model, column.ranks.within, descending=descending)
            conditions = column.ranks.conditions(rows)
            for condition in reversed(conditions) if descending else conditions:
                yield rows.filter(condition).order_by(*within)
            return
        first = column.sort[0] if column.sort else None
        if isinstance(first, Seen) and current() is None:
            first = first.path
        if not isinstance(first, str) or first in column.needs.annotations() or not nullable(rows.model, first):
            yield self.rows(rows, (), sort=sort)
            return
        not_null = rows.filter(**{f"{first}__isnull": False})
        yield not_null.order_by(*ordering(rows.model, column.sort, descending=descending, not_null=first))
        yield self.rows(rows.filter(**{f"{first}__isnull": True}), (), sort=sort)

    def _order(self, sort: str | None) -> tuple[Column[Row], bool]:
        return self.sorting(sort or "") or self.sorting(self.default_sort) or (self.columns[0], False)

    def within_rows(self, within: int | None) -> QuerySet[Row]:
        """Return all rows, or those that belong to the thing with the id ``within``. Raises ValueError if none can."""
        if within is None:
            return self.queryset()
        if self.within is None:
            raise ValueError(f"{self.name} is not part of anything.")
        if within >= KEY_LIMIT:
            raise ValueError("There is no such thing.")
        return self.within(within)

    def selected(self, *, view: QueryDict, chosen: QueryDict, within: int | None = None) -> QuerySet[Row]:
        """Return the rows that ``chosen`` means: those with its ``ids``, or with ``all`` all that match ``view`` now.

        Raises SelectionError where nothing is chosen, and where ``view`` has a filter value that would be ignored:
        to leave it out would choose more than the person has seen.
        """
        rows = self.within_rows(within)
        if chosen.get("all"):
            filters, notices = filtering.read_filters(self.filterset, view, rows)
            if notices:
                raise SelectionError(" ".join(notices))
            matching: QuerySet[Row] = filters.qs
            return matching
        ids = parse_keys(chosen.getlist("ids"))
        if not ids:
            raise SelectionError("")
        return rows.filter(pk__in=ids)

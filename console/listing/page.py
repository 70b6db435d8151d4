"""Page: what one address of a list shows. All of its state comes from the address and goes into addresses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic

from django.db.models import QuerySet
from django.forms import BoundField
from django.http import QueryDict
from django.utils.translation import gettext as _

from console.listing import filters as filtering
from console.listing import saved_views
from console.listing.columns import Column, Row, Text, Value
from console.listing.listing import Listing, count_rows
from console.listing.models import SavedView


@dataclass(frozen=True)
class ColumnHeader:
    """The head of one column; ``url`` sorts by it."""

    column: Column[Any]
    url: str
    direction: str  # ascending, descending, or "" where the list is not sorted by it


@dataclass(frozen=True)
class Cell:
    """One cell of one row."""

    column: Column[Any]
    value: Value


@dataclass(frozen=True)
class FilterChip:
    """A filter in force; ``url`` is the list without it."""

    label: str
    text: str
    url: str


@dataclass(frozen=True)
class FilterMenu:
    """A button of the filter bar: the fields behind it, and how many of their values are in force."""

    label: Text
    fields: list[BoundField]
    active: int


@dataclass(frozen=True)
class PageLink:
    """One number of the pager; ``number`` None is a gap."""

    number: int | None
    url: str = ""
    current: bool = False


class Page(Generic[Row]):
    """One page of ``listing`` as ``params`` ask for it, with the columns named in ``chosen``.

    Values that cannot be are left out, each with one of ``notices``. The number of queries does not depend on the
    number of rows. ``path`` is the address of the list without its query, ``target`` the id of the element that holds
    it, and ``rows`` narrows the listing to a part of it (the findings of one image). ``views`` are the saved views that
    may be chosen, None where the list has none; ``own`` is the id of the person whose default is minded.
    """

    def __init__(
        self,
        listing: Listing[Row],
        params: QueryDict,
        *,
        chosen: Sequence[str] | None = None,
        path: str = "",
        target: str = "list",
        rows: QuerySet[Row] | None = None,
        views: Sequence[SavedView] | None = None,
        own: int | None = None,
    ) -> None:
        self.listing, self.path, self.target = listing, path, target
        self.views, self.own = views, own
        key = params.get("view", "")
        self.view = saved_views.find_view(views or (), key)
        self.default = next((view for view in views or () if view.is_default and view.user_id == own), None)
        self.columns = listing.chosen((self.view.columns if self.view else None) or chosen)
        all_rows = listing.queryset() if rows is None else rows
        self.filters, self.notices = filtering.read_filters(listing.filterset, params, all_rows)
        self.filters.form.auto_id = f"{target}-%s"
        if views is not None and key not in {"", saved_views.NO_VIEW_KEY} and self.view is None:
            self.notices.append(
                _("The view “%(name)s” no longer exists, or is not shared with you.") % {"name": key[:60]}
            )
        self.sort = self._read_sort(params.get("sort", ""))
        self.size = self._read_number(params, "size", listing.page_size, allowed=listing.page_sizes)
        self.number = self._read_number(params, "page", 1)
        self._matching = self.filters.qs
        self.total = count_rows(self._matching)
        self.of = count_rows(all_rows) if self.chips else self.total
        if not self.total.more and (last := self._last) < self.number:
            self.notices.append(_("There is no page %(page)d; this is the last one.") % {"page": self.number})
            self.number = last
        start = (self.number - 1) * self.size
        # Which rows is asked first, of as few columns as will do: so indexes can answer it, and joins are for these.
        # Not where there is none: a database would read all rows again in their order to find that.
        there = self.total.number > 0
        keys = listing.window(self._matching, sort=self.sort, start=start, stop=start + self.size + 1) if there else []
        self.has_next, keys = len(keys) > self.size, keys[: self.size]
        shown = listing.rows(all_rows.filter(pk__in=keys), self.columns, sort=self.sort, row_parts=True)
        by_key = {row.pk: row for row in shown.order_by()}
        self.rows = [by_key[key] for key in keys if key in by_key]
        if listing.apply_scope:
            listing.apply_scope(self.rows)
        self.start = start + 1 if self.rows else 0
        self.end = start + len(self.rows)

    # --- reading the address ---------------------------------------------------------------------------------------
    def _read_sort(self, text: str) -> str:
        if text and not self.listing.sorting(text):
            self.notices.append(_("The list cannot be sorted by “%(name)s”.") % {"name": text[:60]})
            return self.listing.default_sort
        return text or self.listing.default_sort

    def _read_number(self, params: QueryDict, name: str, default: int, *, allowed: Sequence[int] = ()) -> int:
        text = params.get(name, "")
        if not text:
            return default
        number = int(text) if text.isdecimal() and len(text) < 9 else 0
        if number < 1 or (allowed and number not in allowed):
            self.notices.append(
                _("“%(value)s” is not a value of %(name)s and was ignored.") % {"value": text[:60], "name": name}
            )
            return default
        return number

    @property
    def noun(self) -> Text:
        """What the rows are called where their number stands before it."""
        return self.listing.singular if self.of.number == 1 else self.listing.noun

    @property
    def _last(self) -> int:
        return max(1, -(-self.total.number // self.size))

    @cached_property
    def visible(self) -> str:
        """The ids of the rows, with commas between them."""
        return ",".join(str(row.pk) for row in self.rows)

    @property
    def visible_query(self) -> str:
        """The ids of the rows as a query: "ids=1&ids=2"."""
        return "&".join(f"ids={row.pk}" for row in self.rows)

    # --- writing addresses -----------------------------------------------------------------------------------------
    def query(self, *, without: tuple[str, str] | None = None, filters: bool = True, **changes: str | int) -> str:
        """Return the query of this view with ``changes``, without what is the default anyway; "?" where it is empty."""
        params = QueryDict(mutable=True)
        if filters:
            for name, values in self.filters.data.lists():
                remaining = [value for value in values if (name, value) != without]
                if remaining:
                    params.setlist(name, remaining)
        state = {"sort": self.sort, "size": self.size, "page": 1} | changes
        defaults = {"sort": self.listing.default_sort, "size": self.listing.page_size, "page": 1}
        params.update({name: str(value) for name, value in state.items() if value != defaults[name]})
        key = ""
        if self.view and (params or not self.view.query):
            key = self.view.key
        elif self.default and not params:
            key = saved_views.NO_VIEW_KEY  # without it the address would open the default view
        start = QueryDict(mutable=True)
        start.update({"view": key} if key else {})
        return f"?{'&'.join(part for part in (start.urlencode(), params.urlencode()) if part)}"

    @property
    def here(self) -> str:
        """The query of exactly this view."""
        return self.query(page=self.number)

    @property
    def modified(self) -> bool:
        """Whether filters or order are others than those of the saved view that is open."""
        return self.view is not None and not saved_views.is_same_query(
            saved_views.query_to_save(self.here), self.view.query
        )

    @property
    def view_links(self) -> Iterator[tuple[SavedView, str, bool]]:
        """The saved views: each with its address, and whether it is open."""
        for view in self.views or ():
            yield view, saved_views.view_query(view), view == self.view

    @property
    def everything_url(self) -> str:
        """The query of the list without any view."""
        return f"?view={saved_views.NO_VIEW_KEY}" if self.default else "?"

    @property
    def clear_url(self) -> str:
        """The query of this view without filters and search."""
        return self.query(filters=False)

    @cached_property
    def chips(self) -> list[FilterChip]:
        """The filters in force."""
        return [
            FilterChip(found.label, found.text, self.query(without=(found.name, found.value)))
            for found in filtering.active_filters(self.filters)
        ]

    @property
    def menus(self) -> Iterator[FilterMenu]:
        """The filters but the search: a menu for each prominent one, and one for all others."""
        fields = [field for field in self.filters.form if field.name != "q"]
        prominent = [field for field in fields if field.name in self.filters.prominent]
        others = [field for field in fields if field.name not in self.filters.prominent]
        for field in prominent:
            yield FilterMenu(field.label, [field], len(self.filters.data.getlist(field.name)))
        if others:
            yield FilterMenu(
                _("More filters"), others, sum(len(self.filters.data.getlist(field.name)) for field in others)
            )

    @property
    def headers(self) -> Iterator[ColumnHeader]:
        """The heads of the columns."""
        for column in self.columns:
            direction = {column.name: "ascending", f"-{column.name}": "descending"}.get(self.sort, "")
            down = column.descending_first if not direction else direction == "ascending"
            yield ColumnHeader(
                column, self.query(sort=f"{'-' if down else ''}{column.name}") if column.sort else "", direction
            )

    @property
    def lines(self) -> Iterator[tuple[Row, list[Cell]]]:
        """Each row with its cells."""
        for row in self.rows:
            yield row, [Cell(column, column.value(row)) for column in self.columns]

    @property
    def sizes(self) -> Iterator[tuple[int, str, bool]]:
        """The page sizes: rows, address, whether it is this one."""
        for size in self.listing.page_sizes:
            yield size, self.query(size=size), size == self.size

    @property
    def previous_url(self) -> str:
        """The page before, or ""."""
        return self.query(page=self.number - 1) if self.number > 1 else ""

    @property
    def next_url(self) -> str:
        """The page after, or ""."""
        return self.query(page=self.number + 1) if self.has_next else ""

    @property
    def links(self) -> Iterator[PageLink]:
        """The numbers of the pager: the first, those around this one, and the last where it is known."""
        last = self.number + self.has_next if self.total.more else self._last
        shown = sorted({1, *range(self.number - 1, self.number + 2), last} & set(range(1, last + 1)))
        before = 0
        for number in shown:
            if number - before > 1:
                yield PageLink(None)
            yield PageLink(number, self.query(page=number), number == self.number)
            before = number
        if self.total.more and self.has_next:
            yield PageLink(None)

    @property
    def sorted_by(self) -> str:
        """The label of the column the list is sorted by."""
        found = self.listing.sorting(self.sort)
        return str(found[0].label) if found else ""

"""What keeps a list of Django admin quick in a table of millions: a count that stops, searches that use indexes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import models
from django.db.models import Q, QuerySet

from console.db.primary_keys import parse_key
from console.listing.listing import Total, count_rows

MAX_RELATED_ROWS = 1_000  # rows of another table that a search follows
NO_ROWS = Q(pk__in=[])


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the rows that ``console.listing.listing.count_rows`` counts, and knows where there are more."""

    @cached_property
    def total(self) -> Total:
        """How many rows there are, as far as they are counted."""
        rows = self.object_list
        return count_rows(rows) if isinstance(rows, QuerySet) else Total(len(rows))

    @cached_property
    def count(self) -> int:
        """The counted rows, a lower bound if ``total`` says that there are more."""
        return self.total.number


def search_rows(rows: QuerySet[Any], fields: tuple[str, ...], term: str) -> QuerySet[Any]:
    """Return those of ``rows`` where one of ``fields`` fits all of ``term``.

    A field is "=name" (the whole of it), a name (any part of it), or a name with a lookup. One of another table
    ("package__name__startswith") is looked up there first, for at most MAX_RELATED_ROWS rows of it: a database that
    joins both reads the larger one whole.
    """
    fits = NO_ROWS
    for field in fields:
        fits |= _condition(rows.model, field, term)
    return rows.filter(fits)


def _condition(model: type[models.Model], field: str, term: str) -> Q:
    whole = field.startswith("=")
    name, _, rest = field.removeprefix("=").partition("__")
    column = model._meta.get_field(name)
    if isinstance(column, models.ForeignKey):
        other = column.remote_field.model
        theirs = other._default_manager.filter(_condition(other, f"={rest}" if whole else rest, term))
        return Q(**{f"{name}__in": list(theirs.values_list("pk", flat=True)[:MAX_RELATED_ROWS])})
    if isinstance(column, models.IntegerField):
        number = parse_key(term)
        return NO_ROWS if number is None else Q(**{name: number})
    return Q(**{name if whole else f"{name}__{rest or 'icontains'}": term})

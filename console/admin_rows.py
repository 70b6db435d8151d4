"""What keeps a list of Django admin quick in a table of millions: a count that stops, searches that use indexes."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator
from django.db import models
from django.db.models import Q, QuerySet

from console.listing.listing import Total, count

OF_A_TABLE = 1_000  # rows of another table that a search follows


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Pages through the rows that ``console.listing.listing.count`` counts, and knows where there are more."""

    @cached_property
    def total(self) -> Total:
        rows = self.object_list
        return count(rows) if isinstance(rows, QuerySet) else Total(len(rows))

    @cached_property
    def count(self) -> int:
        return self.total.number


def found(rows: QuerySet[Any], fields: tuple[str, ...], term: str) -> QuerySet[Any]:
    """Return those of ``rows`` where one of ``fields`` fits all of ``term``.

    A field is "=name" (the whole of it), a name (any part of it), or a name with a lookup. One of another table
    ("package__name__startswith") is looked up there first, for at most OF_A_TABLE rows of it: a database that joins
    both reads the larger one whole.
    """
    fits = Q(pk__in=[])
    for field in fields:
        name, _, rest = field.removeprefix("=").partition("__")
        column = rows.model._meta.get_field(name)
        if isinstance(column, models.ForeignKey):
            theirs = column.remote_field.model._default_manager.filter(_fits(rest, term))
            fits |= Q(**{f"{name}__in": list(theirs.values_list("pk", flat=True)[:OF_A_TABLE])})
        elif not isinstance(column, models.IntegerField):
            fits |= _fits(field, term)
        elif term.isdecimal() and len(term) < 19:
            fits |= Q(**{name: int(term)})
    return rows.filter(fits)


def _fits(field: str, term: str) -> Q:
    if field.startswith("="):
        return Q(**{field[1:]: term})
    return Q(**{field if "__" in field else f"{field}__icontains": term})

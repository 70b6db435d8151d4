"""Column: what one column of a list shows, exports, sorts by and needs from the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeAlias, TypeVar

from django.core.exceptions import FieldDoesNotExist
from django.db.models import F, Field, Model, Prefetch, Q, QuerySet
from django.db.models.expressions import Expression, OrderBy
from django.utils.functional import Promise

from console.visibility import Seen

Row = TypeVar("Row", bound=Model)
Value: TypeAlias = str | int | float | bool | datetime | date | Promise | None
Text: TypeAlias = str | Promise


@dataclass(frozen=True)
class Needs:
    """What a query must fetch. ``fields`` are paths as for ``only()``; the relations on the way are joined.

    ``annotate`` may be a function that returns the annotations, called for each query: where they depend on who asks.
    A member of ``prefetch`` may be one that returns the prefetch, for the same reason.
    """

    fields: tuple[str, ...] = ()
    annotate: Mapping[str, Any] | Callable[[], Mapping[str, Any]] = field(default_factory=dict)
    prefetch: tuple[str | Prefetch[Any] | Callable[[], Prefetch[Any]], ...] = ()

    def annotations(self) -> Mapping[str, Any]:
        """Return the annotations as they are now."""
        return self.annotate() if callable(self.annotate) else self.annotate


NO_NEEDS = Needs()


@dataclass(frozen=True)
class Ranks:
    """An order of parts: ``conditions`` gives those of the parts of rows, in order, each sorted by ``within``."""

    conditions: Callable[[QuerySet[Any]], Sequence[Q]]
    within: tuple[str, ...]


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column. ``name`` is stable: it stands in addresses and in what people have chosen.

    ``value`` gives the typed value for the workbook, and the text of the cell where there is no ``template``.
    A template gets ``row``, ``column`` and ``value``. ``sort`` are the paths or expressions to order by; without
    them the column cannot be sorted. ``ranks`` give the same order to a page, which need not sort all rows then.
    ``locked`` columns stand first and cannot be hidden. ``live`` cells can be renewed by themselves
    (console/listing/live.html); their template gets ``renewed`` then.
    """

    name: str
    label: Text
    value: Callable[[Row], Value]
    sort: tuple[str | Seen | Expression, ...] = ()
    ranks: Ranks | None = None
    needs: Needs = NO_NEEDS
    template: str = ""
    default: bool = True
    locked: bool = False
    live: bool = False
    descending_first: bool = False  # the first click on the header gives the largest first
    css: str = ""
    slot: str = ""  # place in the card that a row becomes on narrow screens ("fact": a line with its label), or in none
    group: Text = ""


def compose(rows: QuerySet[Row], needs: Iterable[Needs]) -> QuerySet[Row]:
    """Return ``rows`` fetching exactly what ``needs`` ask for: joins, deferred fields, annotations, prefetches."""
    fields: set[str] = {"pk"}
    relations: set[str] = set()
    prefetch: dict[str | Prefetch[Any] | Callable[[], Prefetch[Any]], None] = {}  # Django refuses the same one twice
    for need in needs:
        fields.update(need.fields)
        relations.update(path.rpartition("__")[0] for path in need.fields if "__" in path)
        rows = rows.annotate(**need.annotations())
        prefetch.update(dict.fromkeys(need.prefetch))
    if relations:
        rows = rows.select_related(*sorted(relations))
    return rows.only(*sorted(fields)).prefetch_related(*(each() if callable(each) else each for each in prefetch))


def ordering(
    model: type[Model], sort: Iterable[str | Seen | Expression], *, descending: bool, not_null: str = ""
) -> list[OrderBy]:
    """Return the terms that order by ``sort``, empty values last, ties broken by id.

    ``not_null`` is the path of a field that is not NULL in the rows to sort.
    """
    terms = []
    for part in sort:
        expression = F(part) if isinstance(part, str) else part
        # NULLS LAST keeps an index from being used, so it is asked for only where NULL can occur.
        path = part.path if isinstance(part, Seen) else part if isinstance(part, str) else ""
        last = True if path and nullable(model, path, not_null=not_null) else None
        terms.append(OrderBy(expression, descending=descending, nulls_last=last))
    return [*terms, OrderBy(F("pk"))]


def nullable(model: type[Model], path: str, *, not_null: str = "") -> bool:
    """Return whether the field at ``path`` can be NULL, or a relation on the way to it. Annotations can.

    Where the field at ``not_null`` is not NULL, no relation on the way to that one is either.
    """
    if path == "pk":
        return False
    passed: list[str] = []
    try:
        for name in path.split("__"):
            found = model._meta.get_field(name)
            passed.append(name)
            sure = f"{not_null}__".startswith(f"{'__'.join(passed)}__")
            if not isinstance(found, Field) or (found.null and not sure):
                return True
            if found.related_model and not isinstance(found.related_model, str):
                model = found.related_model
    except FieldDoesNotExist:
        return True
    return False

"""The chooser of specified images: two lists, of which each page and search is read from the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, QuerySet
from django.http import QueryDict

from console.listing.listing import Total, count, counted
from console.models import User
from inventory.filters import ImageFilters
from inventory.models import Tag
from scanning.models import Selection
from scanning.runs.recommended import with_reason

PAGE = 50
SEARCH = 300  # characters
SIDES = ("left", "right")


@dataclass(frozen=True)
class Side:
    """One page of one of the two lists."""

    name: str
    search: str
    page: int
    total: Total
    rows: list[Tag]
    has_next: bool

    @property
    def start(self) -> int:
        """Number of its first row."""
        return (self.page - 1) * PAGE + 1

    @property
    def end(self) -> int:
        """Number of its last row."""
        return (self.page - 1) * PAGE + len(self.rows)


@dataclass(frozen=True)
class Chooser:
    """What the two lists show."""

    selection: Selection
    left: Side
    right: Side
    images: int  # distinct ones among the chosen

    @property
    def sides(self) -> tuple[Side, Side]:
        """Both lists."""
        return self.left, self.right


def selection_of(user: User, purpose: str) -> Selection:
    """Return what ``user`` is choosing for ``purpose``."""
    return Selection.objects.get_or_create(owner=user, purpose=purpose[:40])[0]


def read(selection: Selection, params: Mapping[str, str]) -> Chooser:
    """Return the lists as ``params`` ask for them: ``left-q``, ``left-page``, and the same of the right one."""
    chosen = selection.chosen()
    held = chosen.order_by().aggregate(tags=Count("pk"), images=Count("image", distinct=True))
    return Chooser(
        selection=selection,
        left=_side("left", selection.others(), params),
        right=_side("right", chosen, params, of=held["tags"]),
        images=held["images"],
    )


def matching(selection: Selection, side: str, search: str) -> QuerySet[Tag]:
    """Return the tags of one of the lists in which ``search`` is found."""
    return _searched(selection.others() if side == "left" else selection.chosen(), search)


def _searched(rows: QuerySet[Tag], search: str) -> QuerySet[Tag]:
    """Return the rows that the search box of Repository images would find."""
    params = QueryDict(mutable=True)
    params["q"] = search.strip()[:SEARCH]
    found: QuerySet[Tag] = ImageFilters(params, queryset=rows).qs
    return found


def _side(name: str, rows: QuerySet[Tag], params: Mapping[str, str], *, of: int | None = None) -> Side:
    """Read a page of ``rows``, which are ``of`` in number where that is known."""
    search = params.get(f"{name}-q", "").strip()[:SEARCH]
    rows = _searched(rows, search)
    total = count(rows) if of is None or search else counted(of)
    text = params.get(f"{name}-page", "")
    page = max(1, int(text)) if text.isdecimal() and len(text) < 7 else 1
    if not total.more:
        page = min(page, max(1, -(-total.number // PAGE)))
    start = (page - 1) * PAGE
    ids = list(rows.order_by("address", "name", "pk").values_list("pk", flat=True)[start : start + PAGE + 1])
    shown = with_reason(Tag.objects.filter(pk__in=ids[:PAGE])).select_related("registry")
    ordered = list(shown.order_by("address", "name", "pk"))
    return Side(name=name, search=search, page=page, total=total, rows=ordered, has_next=len(ids) > PAGE)

"""The chooser of specified images: two lists, of which each page and search is read from the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from django.db.models import Count, QuerySet
from django.http import QueryDict

from console.listing.listing import Total, count_rows, to_total
from console.models import User
from inventory.filters import ImageFilters
from inventory.models import Tag
from scanning.models import Selection
from scanning.runs.recommended import with_reason

PAGE_ROWS = 50
MAX_SEARCH_CHARACTERS = 300  # characters
SIDES = ("left", "right")


@dataclass(frozen=True)
class PickerSide:
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
        return (self.page - 1) * PAGE_ROWS + 1

    @property
    def end(self) -> int:
        """Number of its last row."""
        return (self.page - 1) * PAGE_ROWS + len(self.rows)


@dataclass(frozen=True)
class ImagePicker:
    """What the two lists show."""

    selection: Selection
    left: PickerSide
    right: PickerSide
    images: int  # distinct ones among the chosen

    @property
    def sides(self) -> tuple[PickerSide, PickerSide]:
        """Both lists."""
        return self.left, self.right


def selection_of(user: User, purpose: str) -> Selection:
    """Return what ``user`` is choosing for ``purpose``."""
    return Selection.objects.get_or_create(owner=user, purpose=purpose[:40])[0]


def read_picker(selection: Selection, params: Mapping[str, str]) -> ImagePicker:
    """Return the lists as ``params`` ask for them: ``left-q``, ``left-page``, and the same of the right one."""
    chosen = selection.chosen()
    held = chosen.order_by().aggregate(tags=Count("pk"), images=Count("image", distinct=True))
    return ImagePicker(
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
    params["q"] = search.strip()[:MAX_SEARCH_CHARACTERS]
    found: QuerySet[Tag] = ImageFilters(params, queryset=rows).qs
    return found


def _side(name: str, rows: QuerySet[Tag], params: Mapping[str, str], *, of: int | None = None) -> PickerSide:
    """Read a page of ``rows``, which are ``of`` in number where that is known."""
    search = params.get(f"{name}-q", "").strip()[:MAX_SEARCH_CHARACTERS]
    rows = _searched(rows, search)
    total = count_rows(rows) if of is None or search else to_total(of)
    text = params.get(f"{name}-page", "")
    page = max(1, int(text)) if text.isdecimal() and len(text) < 7 else 1
    if not total.more:
        page = min(page, max(1, -(-total.number // PAGE_ROWS)))
    start = (page - 1) * PAGE_ROWS
    ids = list(rows.order_by("address", "name", "pk").values_list("pk", flat=True)[start : start + PAGE_ROWS + 1])
    shown = with_reason(Tag.objects.filter(pk__in=ids[:PAGE_ROWS])).select_related("registry")
    ordered = list(shown.order_by("address", "name", "pk"))
    return PickerSide(name=name, search=search, page=page, total=total, rows=ordered, has_next=len(ids) > PAGE_ROWS)

"""The steps that built an image, as a list: what each brought, searched, narrowed and in an order.

They stand in the image's config and not in a table, so this is no ``console.listing.Listing``; it gives the templates
of lists what a ``Page`` does. A config has at most some thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django import forms
from django.db.models import Count, Model, QuerySet, Value
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.listing.columns import Column, Text
from console.listing.columns import Value as Cell
from console.listing.filters import MAX_SEARCH_WORDS, active_filters
from console.listing.listing import Total
from console.listing.page import ColumnHeader, FilterChip, FilterMenu
from inventory.content.built_layers import BuiltLayer, built_layers, step_command
from inventory.models import Image, Tag
from scanning.models import ImagePackage, MalwareFinding, SecretFinding

SEVERITY_NAMES = ("critical", "high", "medium", "low", "unknown")
MAX_STEPS_SHOWN = 500


@dataclass(frozen=True)
class BuildStep:
    """One step. ``number`` is None for a layer that no step of the history tells of."""

    number: int | None  # from 1
    place: int  # in the list
    command: str
    layer: BuiltLayer | None
    found: Mapping[str, int] | None  # kind → how many, None where there is nothing

    @property
    def digest(self) -> str:
        """The digest of its layer, else its diff ID, "" where it made none."""
        return (self.layer.digest or self.layer.diff_id) if self.layer else ""

    @property
    def size(self) -> int | None:
        """The bytes of its layer as the registry holds it; 0 without a layer, None where that is not known."""
        return self.layer.size if self.layer else 0

    @property
    def findings(self) -> int:
        """How much was found in its layer."""
        return sum(self.found.values()) if self.found else 0

    def holds(self, what: str) -> bool:
        """Return whether it fits a value of the filter of that name."""
        return {"findings": self.findings > 0, "layer": self.layer is not None, "nothing": self.layer is None}[what]


def _count(kind: str) -> Any:
    return lambda step: (step.found or {}).get(kind, 0) if step.layer else None


STEP_COLUMNS: tuple[Column[Any], ...] = (
    Column(name="step", label=gettext_lazy("Step"), value=lambda step: step.number, sort=("place",)),
    Column(name="command", label=gettext_lazy("Command"), value=lambda step: step.command),
    Column(name="layer", label=gettext_lazy("Layer"), value=lambda step: step.digest or None),
    Column(
        name="size", label=gettext_lazy("Size"), value=lambda step: step.size, sort=("size",), descending_first=True
    ),
    Column(
        name="findings",
        label=gettext_lazy("Findings"),
        value=lambda step: step.findings if step.layer else None,
        sort=("findings",),
        descending_first=True,
    ),
    Column(name="critical", label=gettext_lazy("Critical"), value=_count("critical")),
    Column(name="high", label=gettext_lazy("High"), value=_count("high")),
    Column(name="medium", label=gettext_lazy("Medium"), value=_count("medium")),
    Column(name="low", label=gettext_lazy("Low"), value=_count("low")),
    Column(name="unknown", label=gettext_lazy("Unknown"), value=_count("unknown")),
    Column(name="malware", label=gettext_lazy("Viruses and trojans"), value=_count("malware")),
    Column(name="sensitive", label=gettext_lazy("Sensitive data"), value=_count("sensitive")),
)


class StepForm(forms.Form):
    """What the steps can be narrowed to."""

    q = forms.CharField(label=gettext_lazy("Search"), required=False)
    holds = forms.MultipleChoiceField(
        label=gettext_lazy("Contents"),
        required=False,
        choices=[
            ("findings", gettext_lazy("Findings")),
            ("layer", gettext_lazy("A layer")),
            ("nothing", gettext_lazy("No layer")),
        ],
        widget=forms.CheckboxSelectMultiple(attrs={"class": "check"}),
    )


@dataclass(frozen=True)
class StepFilters:
    """The filters in force."""

    data: QueryDict
    form: StepForm

    @property
    def placeholder(self) -> str:
        """What the search looks through."""
        return _("Command or layer")


@dataclass(frozen=True)
class _Listing:
    default_sort: str = "step"
    page_size: int = 0
    columns_view: str = ""
    tools: str = "scanning/_history_tools.html"


class StepPage:
    """The steps of an image as ``params`` ask for them: all that match in ``steps``, the first of them in ``rows``."""

    listing = _Listing()
    size = 0
    views = None

    def __init__(self, tag: Tag, params: QueryDict, *, path: str, target: str) -> None:
        self.path, self.target, self.notices = path, target, list[str]()
        every = list(steps_of(tag))
        good = self._read(params)
        self.filters = StepFilters(good, StepForm(good, auto_id=f"{target}-%s"))
        self.sort = self._read_sort(params.get("sort", ""))
        words = str(self.filters.data.get("q", "")).casefold().split()[:MAX_SEARCH_WORDS]
        wanted = self.filters.data.getlist("holds")
        self.steps = [
            step
            for step in every
            if all(word in f"{step.command}\n{step.digest}".casefold() for word in words)
            and (not wanted or any(step.holds(what) for what in wanted))
        ]
        column, down = self._sorting(self.sort)
        self.steps.sort(key=lambda step: getattr(step, str(column.sort[0])) or 0, reverse=down)
        self.of, self.total = Total(len(every)), Total(len(self.steps))
        self.rows, self.hidden = self.steps[:MAX_STEPS_SHOWN], max(0, len(self.steps) - MAX_STEPS_SHOWN)

    def _read(self, params: QueryDict) -> QueryDict:
        good = QueryDict(mutable=True)
        if words := params.get("q", "").strip():
            good["q"] = words[:300]
        choices = {str(name) for name, _label in StepForm.base_fields["holds"].choices}  # type: ignore[attr-defined]
        for value in dict.fromkeys(params.getlist("holds")[:10]):
            if value in choices:
                good.appendlist("holds", value)
            else:
                values = {"value": value[:60], "name": StepForm.base_fields["holds"].label}
                self.notices.append(_("“%(value)s” is not a value of %(name)s and was ignored.") % values)
        return good

    def _read_sort(self, text: str) -> str:
        if not text or self._sorting(text)[0].name == text.removeprefix("-"):
            return text or self.listing.default_sort
        self.notices.append(_("The list cannot be sorted by “%(name)s”.") % {"name": text[:60]})
        return self.listing.default_sort

    def _sorting(self, text: str) -> tuple[Column[Any], bool]:
        name = text.removeprefix("-")
        return next(
            (each for each in STEP_COLUMNS if each.sort and each.name == name), STEP_COLUMNS[0]
        ), text.startswith("-")

    def query(self, *, without: tuple[str, str] | None = None, filters: bool = True, sort: str = "") -> str:
        """Return the query of this view with another order, without one of the filters, or without all of them."""
        params = QueryDict(mutable=True)
        for name, values in self.filters.data.lists() if filters else ():
            if kept := [value for value in values if (name, value) != without]:
                params.setlist(name, kept)
        if (sort or self.sort) != self.listing.default_sort:
            params["sort"] = sort or self.sort
        return f"?{params.urlencode()}"

    @property
    def here(self) -> str:
        """The query of exactly this view."""
        return self.query()

    @property
    def clear_url(self) -> str:
        """The query of this view without filters and search."""
        return self.query(filters=False)

    @property
    def noun(self) -> Text:
        """What the steps are called where their number stands before it."""
        return _("step") if self.of.number == 1 else _("steps")

    @cached_property
    def chips(self) -> list[FilterChip]:
        """The filters in force."""
        found = active_filters(self.filters)
        return [FilterChip(each.label, each.text, self.query(without=(each.name, each.value))) for each in found]

    @property
    def menus(self) -> Sequence[FilterMenu]:
        """The filters but the search."""
        field = self.filters.form["holds"]
        return [FilterMenu(field.label, [field], len(self.filters.data.getlist("holds")))]

    @property
    def headers(self) -> Iterator[ColumnHeader]:
        """What the steps can be sorted by."""
        for column in STEP_COLUMNS:
            if column.sort:
                now = {column.name: "ascending", f"-{column.name}": "descending"}.get(self.sort, "")
                down = column.descending_first if not now else now == "ascending"
                yield ColumnHeader(column, self.query(sort=f"{'-' if down else ''}{column.name}"), now)

    @property
    def sorted_by(self) -> str:
        """The label of what the steps are sorted by."""
        return str(self._sorting(self.sort)[0].label)

    @property
    def lines(self) -> Iterator[list[Cell]]:
        """The values of STEP_COLUMNS of all steps that match."""
        return ([column.value(step) for column in STEP_COLUMNS] for step in self.steps)


def steps_of(tag: Tag) -> Iterator[BuildStep]:
    """Yield the steps of the history of an image, and then the layers that none of them tells of."""
    layers = built_layers(tag)
    by_step = {layer.step: layer for layer in layers if layer.step}
    found = _findings_by_layer(tag.image) if tag.image else {}
    history = tag.image.history if tag.image else []
    for number in range(1, len(history) + 1):
        layer = by_step.get(number)
        command = step_command(tag.image, number - 1) if tag.image else ""
        yield BuildStep(number, number, command, layer, found.get(layer.diff_id) if layer else None)
    for place, layer in enumerate((layer for layer in layers if not layer.step), len(history) + 1):
        yield BuildStep(None, place, "", layer, found.get(layer.diff_id))


def _findings_by_layer(image: Image) -> dict[str, dict[str, int]]:
    """Return what was found in each layer of ``image``: diff ID → kind of finding → how many."""
    found: dict[str, dict[str, int]] = {}
    queries: list[tuple[QuerySet[Any], str]] = [
        (
            ImagePackage.objects.filter(image=image, variant__matches__isnull=False)
            .values("diff_id", "variant__matches__severity")
            .annotate(n=Count("variant__matches", distinct=True))
            .values_list("diff_id", "variant__matches__severity", "n"),
            "",
        ),
        (_counted(MalwareFinding, image, "malware"), "malware"),
        (_counted(SecretFinding, image, "sensitive"), "sensitive"),
    ]
    for rows, name in queries:
        for diff_id, severity, n in rows:
            kind = name or Image.Severity(severity).name.lower()
            kinds = found.setdefault(diff_id, dict.fromkeys(SEVERITY_NAMES, 0))
            kinds[kind] = n
    return found


def _counted(model: type[Model], image: Image, kind: str) -> QuerySet[Any]:
    rows = model._default_manager.filter(image=image).order_by().values("diff_id")
    counted: QuerySet[Any] = rows.annotate(n=Count("pk")).values_list("diff_id", Value(kind), "n")
    return counted

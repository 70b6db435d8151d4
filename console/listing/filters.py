"""Filters of lists. The FilterSet's own form is the filter form; values that cannot be are left out with a notice."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import django_filters
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Exists, Q, QuerySet
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.db.primary_keys import parse_key

MAX_FILTER_VALUES = 100  # of one filter; more is no use of a form
MAX_SEARCH_WORDS = 8  # of a search


class AnyOf(django_filters.MultipleChoiceFilter):  # type: ignore[misc]
    """Rows whose field has any of the chosen values."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.CheckboxSelectMultiple(attrs={"class": "check"}))
        super().__init__(*args, **kwargs)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows of ``qs`` that have any of the values; all of them if no value is chosen."""
        return qs.filter(**{f"{self.field_name}__in": value}) if value else qs


class AnyCondition(AnyOf):
    """Rows that meet any of the conditions that the chosen values stand for.

    Conditions that depend on who asks are given as a function, called for each query.
    """

    def __init__(
        self, *, conditions: Mapping[str, Q | Exists] | Callable[[], Mapping[str, Q | Exists]], **kwargs: Any
    ) -> None:
        self.conditions = conditions
        super().__init__(**kwargs)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows of ``qs`` that meet any of the chosen conditions; all of them if none is chosen."""
        if not value:
            return qs
        conditions = self.conditions() if callable(self.conditions) else self.conditions
        return qs.filter(reduce(operator.or_, (Q(conditions[name]) for name in value)))


class ValuesOf(AnyOf):
    """Rows whose field has any of the chosen values; to choose from are those that occur among the rows of the list."""

    @property
    def field(self) -> forms.Field:
        """The form field, with at most MAX_FILTER_VALUES values to choose from, read once for each filter set."""
        if hasattr(self, "_field"):  # where django-filter keeps it
            existing: forms.Field = self._field
            return existing
        values = self.parent.queryset.order_by(self.field_name).values_list(self.field_name, flat=True).distinct()
        self.extra["choices"] = [(value, value) for value in values[:MAX_FILTER_VALUES] if value]
        found: forms.Field = super().field
        return found


class ModelAnyOf(django_filters.ModelMultipleChoiceFilter):  # type: ignore[misc]
    """Rows that belong to any of the chosen rows of another table."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("widget", forms.CheckboxSelectMultiple(attrs={"class": "check"}))
        super().__init__(*args, **kwargs)

    def filter(self, qs: QuerySet[Any], value: Any) -> QuerySet[Any]:
        """Return the rows of ``qs`` that belong to any of the chosen rows; all of them if none is chosen."""
        return qs.filter(**{f"{self.field_name}__in": [row.pk for row in value]}) if value else qs


class ListingFilterSet(django_filters.FilterSet):  # type: ignore[misc]
    """Base of the filters of a list, with one search box ``q``. Subclasses say in ``matches`` what a word matches."""

    q = django_filters.CharFilter(
        method="search", label=gettext_lazy("Search"), max_length=300, widget=forms.TextInput(attrs={"type": "search"})
    )
    placeholder = gettext_lazy("Search")  # says what the search looks at
    prominent: tuple[str, ...] = ()  # filters with a button of their own; the others share "More filters"

    def search(self, rows: QuerySet[Any], name: str, value: str) -> QuerySet[Any]:
        """Return the rows in which every word of ``value`` is found."""
        for word in value.split()[:MAX_SEARCH_WORDS]:
            rows = rows.filter(self.matches(word))
        return rows

    def matches(self, word: str) -> Q:
        """Return the condition under which a row matches ``word``."""
        raise NotImplementedError


@dataclass(frozen=True)
class ActiveFilter:
    """One value of one filter that is in force."""

    name: str
    label: str
    value: str  # as in the address
    text: str  # as on screen


def read_filters(
    filterset: type[ListingFilterSet], params: QueryDict, rows: QuerySet[Any]
) -> tuple[ListingFilterSet, list[str]]:
    """Return the filters that ``params`` ask for, and a notice for each value that was left out. Raises nothing."""
    filters = filterset(QueryDict(), queryset=rows)
    fields = filters.form.fields
    good = QueryDict(mutable=True)
    notices = []
    for name, form_field in fields.items():
        given = [value for value in params.getlist(name)[:MAX_FILTER_VALUES] if value.strip()]
        many = isinstance(form_field, forms.MultipleChoiceField | forms.ModelMultipleChoiceField)
        for value in dict.fromkeys(given) if many else given[-1:]:
            try:
                if isinstance(form_field, forms.ModelMultipleChoiceField) and parse_key(value) is None:
                    raise ValidationError("")  # databases take no number like it
                form_field.clean([value] if many else value)
            except ValidationError:
                notices.append(
                    _("“%(value)s” is not a value of %(name)s and was ignored.")
                    % {"value": value[:60], "name": form_field.label}
                )
            else:
                good.appendlist(name, value)
    chosen = filterset(good, queryset=rows)
    chosen.filters = filters.filters  # these know their choices already, which may be a query each
    return chosen, notices


class BoundFilters(Protocol):
    """Filters and their values."""

    @property
    def data(self) -> QueryDict:
        """The values in force."""

    @property
    def form(self) -> forms.Form:
        """The form of the filters."""


def active_filters(filters: BoundFilters) -> Iterable[ActiveFilter]:
    """Yield the values in force, the search first, in the order of the form."""
    for name, form_field in filters.form.fields.items():
        choices = {str(choice): str(text) for choice, text in getattr(form_field, "choices", ())}
        for value in filters.data.getlist(name):
            yield ActiveFilter(name, str(form_field.label), value, choices.get(value, value))

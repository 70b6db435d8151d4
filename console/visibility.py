"""What somebody may see: everything, or what belongs to some registries alone.

While a request of somebody who is limited is answered, the managers of our models leave out all rows that do not belong
to these registries: whichever view asks, hidden rows are not there. Whoever is not limited asks the database exactly
what was asked before. Jobs see everything, but those that work for somebody (an export, a run): they say so.

A model names by ``in_scope`` which of its rows belong to a scope, and takes :class:`ScopedManager`. Django's
``_base_manager`` sees everything; it is for what must be right whoever asks, such as the states of jobs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from django.db import models
from django.db.models import F

from console.extension_points import SingleExtensionPoint

M = TypeVar("M", bound=models.Model, covariant=True)


class Person(Protocol):
    """Somebody who signs in, as far as this module needs to know; see ``console.accounts.models.User``."""

    pk: Any

    @property
    def is_limited(self) -> bool:
        """Whether this person sees only the registries of their teams."""


@dataclass(frozen=True)
class Scope:
    """What somebody is limited to: ids of registries, and of the person."""

    registries: frozenset[int]
    person: int | None = None

    @property
    def key(self) -> str:
        """A name of exactly these registries: the same for everybody who sees the same."""
        ids = ",".join(map(str, sorted(self.registries)))
        return hashlib.sha256(f"registries:{ids}".encode()).hexdigest()


RegistriesOf = Callable[[Person], dict[int, str]]  # the registries that a person is limited to: id → name
REGISTRIES_OF: SingleExtensionPoint[RegistriesOf] = SingleExtensionPoint("limit of people to registries")

EVERYTHING = ""  # the key of no limit
_current: ContextVar[Scope | None] = ContextVar("scope", default=None)


def current() -> Scope | None:
    """Return what is limited to now; None where everything is seen."""
    return _current.get()


def key() -> str:
    """Return the key of what is seen now."""
    scope = current()
    return scope.key if scope else EVERYTHING


def sees(registry_id: int | None) -> bool:
    """Whether what belongs to this registry is seen now. What belongs to none is not seen by the limited."""
    scope = current()
    return scope is None or registry_id in scope.registries


def of(user: Person | None) -> Scope | None:
    """Return what ``user`` is limited to, in one query; None, without one, where ``user`` sees everything."""
    if user is None or (found := registries_of(user)) is None:
        return None
    return Scope(registries=frozenset(found), person=user.pk)


def registries_of(user: Person) -> dict[int, str] | None:
    """Return the registries that ``user`` is limited to, id → name; None where there is no limit."""
    if not user.is_limited:
        return None
    return REGISTRIES_OF.get()(user)


@contextmanager
def within(scope: Scope | None) -> Iterator[None]:
    """See what belongs to ``scope`` alone; everything where it is None."""
    token = _current.set(scope)
    try:
        yield
    finally:
        _current.reset(token)


class ScopedManager(models.Manager[M]):
    """The rows of a model that belong to what is seen now."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Return the rows in the current scope."""
        rows = super().get_queryset()
        scope = current()
        return rows if scope is None else rows.filter(self.model.in_scope(scope))  # type: ignore[attr-defined]


class Seen(F):
    """A field to sort or filter by whose value depends on what is seen: ``seen_<name>`` where the query has that."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.path = name

    def resolve_expression(self, query: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return the annotation ``seen_<name>`` of the query if it has one, else the column itself."""
        seen = f"seen_{self.path}"
        field = F(seen if seen in query.annotations else self.path)
        return field.resolve_expression(query, *args, **kwargs)

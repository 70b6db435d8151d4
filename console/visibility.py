"""What may be seen: everything, or what belongs to some registries alone. Where nobody has said which, a query raises.

There are three states, kept for each thread:

- *Not set*, how every thread and process begins: each query by a manager of our models raises VisibilityNotSet.
- *Restricted* to a :class:`Scope`: those managers leave out all rows that do not belong to its registries, whichever
  view asks. Hidden rows are not there.
- *Unrestricted*: they leave out nothing, and the database is asked exactly what it would be asked without limits.

The middleware sets it for each request, from the person alone. What works for nobody in particular says so by
:func:`unrestricted`; a job that works for somebody (an export, a scan run) narrows that to what the person may see.

A model names by ``in_scope`` which of its rows belong to a scope, and takes :class:`ScopedManager`. Django's
``_base_manager`` sees everything; it is for what must be right whoever asks, such as the states of jobs.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, Protocol, TypeVar, final

from django.db import models
from django.db.models import F

from console.extension_points import SingleExtensionPoint

M = TypeVar("M", bound=models.Model, covariant=True)
P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Person(Protocol):
    """Somebody who signs in, as far as this module needs to know; see ``console.accounts.models.User``."""

    pk: Any

    @property
    def is_limited(self) -> bool:
        """Whether this person sees only the registries of their teams."""


class VisibilityNotSet(RuntimeError):
    """Rows were asked for, and nobody has said whose eyes are meant. The message says what to do."""

    def __init__(self) -> None:
        super().__init__(
            "Nobody has said what may be seen here. Requests of people who are signed in get it from the middleware;"
            " code that works for a person runs within visibility.set_to(visibility.of(user)), code that works for"
            " nobody in particular within visibility.unrestricted(). A new thread begins with nothing: start it with"
            " visibility.carried() or in a visibility.ThreadPool. See console/visibility.py."
        )


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


@final
class Everything:
    """No limit at all. There is one instance, EVERYTHING."""

    key = ""


EVERYTHING: Final = Everything()
Visibility = Scope | Everything
_current: ContextVar[Visibility | None] = ContextVar("visibility", default=None)  # None: nobody has said


def current_visibility() -> Visibility:
    """Return what may be seen now. Raises VisibilityNotSet."""
    visibility = _current.get()
    if visibility is None:
        raise VisibilityNotSet
    return visibility


def current() -> Scope | None:
    """Return the limit of what may be seen now; None where everything may be seen. Raises VisibilityNotSet."""
    visibility = current_visibility()
    return visibility if isinstance(visibility, Scope) else None


def key() -> str:
    """Return the key of what may be seen now, "" for everything. Raises VisibilityNotSet."""
    return current_visibility().key


def sees(registry_id: int | None) -> bool:
    """Whether what belongs to this registry may be seen now. What belongs to none is not seen by the limited.

    Raises VisibilityNotSet.
    """
    scope = current()
    return scope is None or registry_id in scope.registries


def of(user: Person | None) -> Visibility | None:
    """Return what ``user`` may see, in one query, without one where that is everything; None for nobody."""
    if user is None:
        return None
    if (found := registries_of(user)) is None:
        return EVERYTHING
    return Scope(registries=frozenset(found), person=user.pk)


def registries_of(user: Person) -> dict[int, str] | None:
    """Return the registries that ``user`` is limited to, id → name; None where there is no limit."""
    if not user.is_limited:
        return None
    return REGISTRIES_OF.get()(user)


@contextmanager
def set_to(visibility: Visibility | None) -> Iterator[None]:
    """Show exactly what ``visibility`` says, whatever was set before; with None every look raises.

    Not for a generator that yields within: the state would hold for whoever consumes it. See :func:`streamed`.
    """
    token = _current.set(visibility)
    try:
        yield
    finally:
        _current.reset(token)


@contextmanager
def unrestricted() -> Iterator[None]:
    """Show everything. For work that no person looks at, and for what every person may be told alike; also ``@``.

    Jobs and ticks, commands, Django admin (which lets nobody in who is limited) and the receiver of webhooks each say
    it in one place, from which nothing comes back to somebody who is limited. So does a model where the state of a job
    moves: that has to be right whoever has pressed the button. Never use it in a view to get at a row: what a person
    may not see is not there. tests/console/test_visibility.py lists every use.
    """
    with set_to(EVERYTHING):
        yield


def carried(function: Callable[P, R]) -> Callable[P, R]:
    """Return ``function`` as it would run here, for another thread: what may be seen passes to none by itself."""
    visibility = _current.get()

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with set_to(visibility):
            return function(*args, **kwargs)

    return run


class ThreadPool(ThreadPoolExecutor):
    """Threads in which may be seen what could be seen where their work was submitted."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """As that of ThreadPoolExecutor."""
        return super().submit(carried(fn), *args, **kwargs)


def streamed(parts: Iterable[T]) -> Iterator[T]:
    """Yield ``parts``, each made as it would be here: who consumes them does so later, and often with nothing set."""
    return _streamed(iter(parts), _current.get())


def _streamed(parts: Iterator[T], visibility: Visibility | None) -> Iterator[T]:
    end = object()
    while True:
        with set_to(visibility):
            part = next(parts, end)
        if part is end:
            return
        yield part  # type: ignore[misc]


class ScopedManager(models.Manager[M]):
    """The rows of a model that may be seen now. Raises VisibilityNotSet as soon as a query is begun."""

    def get_queryset(self) -> models.QuerySet[M]:
        """Return the rows in the current scope. Raises VisibilityNotSet."""
        rows = super().get_queryset()
        scope = current()
        return rows if scope is None else rows.filter(self.model.in_scope(scope))  # type: ignore[attr-defined]

    def none(self) -> models.QuerySet[M]:
        """Return no rows, which anybody may see."""
        return super().get_queryset().none()


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

"""Tables that the apps fill in ``AppConfig.ready()``: each app's ``registration.py`` spells out what it adds.

A table stands in the package that uses it. So an app calls nothing of those to its right, and each entry is an object
that a type checker reads and a search finds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


class ExtensionPoint(Mapping[str, T]):
    """Entries by their names, in the order of their ``order``, then of their registration: that of the apps."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._entries: dict[str, tuple[int, T]] = {}

    def register(self, name: str, entry: T, *, order: int = 0) -> None:
        """Add ``entry``. Raises ImproperlyConfigured if there is one of that name."""
        if name in self._entries:
            raise ImproperlyConfigured(f"The {self._what} {name!r} is registered twice.")
        entries = {**self._entries, name: (order, entry)}
        self._entries = dict(sorted(entries.items(), key=lambda each: each[1][0]))

    def __getitem__(self, name: str) -> T:
        return self._entries[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def overridden(self, entries: Mapping[str, T]) -> Iterator[None]:
        """Have exactly ``entries``, in their order, within the block. For tests."""
        before, self._entries = self._entries, {name: (0, entry) for name, entry in entries.items()}
        try:
            yield
        finally:
            self._entries = before


class SingleExtensionPoint(Generic[T]):
    """The one entry that one app gives."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._entries: list[T] = []

    def register(self, entry: T) -> None:
        """Set the entry. Raises ImproperlyConfigured if there is one."""
        if self._entries:
            raise ImproperlyConfigured(f"The {self._what} is registered twice.")
        self._entries = [entry]

    def get(self) -> T:
        """Return the entry. Raises ImproperlyConfigured if no app has registered one."""
        if not self._entries:
            raise ImproperlyConfigured(f"No app has registered the {self._what}.")
        return self._entries[0]

    @contextmanager
    def overridden(self, entry: T) -> Iterator[None]:
        """Have ``entry`` in place of the other within the block. For tests."""
        before, self._entries = self._entries, [entry]
        try:
            yield
        finally:
            self._entries = before


def path_of(function: Callable[..., Any]) -> str:
    """Return the dotted path of a function of a module, which is its name where it needs one."""
    return f"{function.__module__}.{function.__qualname__}"

"""Queries that are asked so often that their SQL is made once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec

from django.db import connection
from django.db.models import QuerySet

from console import visibility

P = ParamSpec("P")


class CompiledQuery(Generic[P]):
    """The query that ``make`` returns, which must be one of ``values_list`` and the same for the same arguments.

    It sees everything, whoever asks. For numbers and texts: what databases give otherwise than Python has it, such as
    times and JSON, is not converted.
    """

    def __init__(self, make: Callable[P, QuerySet[Any, Any]]) -> None:
        self._make = make
        self._made: dict[object, tuple[str, tuple[Any, ...]]] = {}  # by database and arguments

    def rows(self, *args: P.args, **kwargs: P.kwargs) -> list[tuple[Any, ...]]:
        """Ask, and return the rows."""
        key = connection.vendor, args, tuple(kwargs.items())
        if key not in self._made:
            with visibility.unrestricted():
                self._made[key] = self._make(*args, **kwargs).query.sql_with_params()
        with connection.cursor() as cursor:
            cursor.execute(*self._made[key])
            return list(cursor.fetchall())

"""Bounds how long one statement of a page may take, on PostgreSQL: one costly page must not hold up all others.

For the web server alone, which asks for it (wsgi.py): workers, migrations and commands take the time they need. SQLite
has no such bound.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

log = logging.getLogger(__name__)

EXPORT_STATEMENT_SECONDS = (
    40  # for a file that is written while its reader waits; below the time limit of the web server
)
QUERY_CANCELED = "57014"  # query_canceled, of PostgreSQL's error codes

_is_enabled = False


def enable() -> None:
    """Bound the statements of this process from now on, on each connection that it opens."""
    global _is_enabled
    _is_enabled = True
    connection_created.connect(_limit_new_connection, dispatch_uid="console.db.statement_timeout")


@contextmanager
def allow_export_time() -> Iterator[None]:
    """Let statements take EXPORT_STATEMENT_SECONDS if they are limited."""
    if not _is_enabled or connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    _set_timeout(connection, EXPORT_STATEMENT_SECONDS)
    try:
        yield
    finally:
        if not connection.needs_rollback:
            _set_timeout(connection, settings.STATEMENT_SECONDS)


class StatementTimeoutMiddleware:
    """Answers a page whose statement took too long with 503 and what to do, in place of an error that nobody knows."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the page for a cancelled statement with status 503; None for every other exception."""
        if not is_cancelled(exception):
            return None
        log.warning("A statement of %s took too long and was cancelled", request.path)
        return render(request, "503.html", {"seconds": settings.STATEMENT_SECONDS}, status=503)


def is_cancelled(error: BaseException) -> bool:
    """Whether PostgreSQL has cancelled a statement."""
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", "") == QUERY_CANCELED


def _limit_new_connection(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    if connection.vendor == "postgresql":
        _set_timeout(connection, settings.STATEMENT_SECONDS)


def _set_timeout(connection: BaseDatabaseWrapper, seconds: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(int(seconds * 1000))])

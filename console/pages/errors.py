"""Error pages in the console's own style."""

from __future__ import annotations

import logging
import sys

from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template import loader
from django.views import defaults

from console.db import schema
from console.resource_exhaustion import exhausted_by

log = logging.getLogger(__name__)

UNAVAILABLE_SQLSTATE_CLASSES = (
    "08",
    "53",
    "57",
)  # PostgreSQL's classes of errors: connection, resources, shut down by somebody
RETRY_AFTER_SECONDS = 5  # seconds after which asking again makes sense


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer where a page has failed: what the machine lacks, what the database is, or that the fault is ours."""
    error = sys.exc_info()[1]
    if exhausted := exhausted_by(error):
        page = loader.get_template("out_of_resources.html").render(
            {"reason": exhausted.reason, "remedy": exhausted.remedy}
        )
    elif isinstance(error, DatabaseError) and (problem := _schema_problem()):
        log.error("%s", problem)
        return HttpResponse(loader.get_template("database_version_mismatch.html").render(), status=503)
    elif _is_unavailable(error):
        page = loader.get_template("database_unavailable.html").render()  # with nothing that would ask the database
    else:
        return defaults.server_error(request)
    return HttpResponse(page, status=503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _schema_problem() -> str:
    """Return why this version cannot work with the database; "" where it can, and where nobody can tell."""
    try:
        return schema.find_problem()
    except DatabaseError:
        return ""


def _is_unavailable(error: BaseException | None) -> bool:
    if not isinstance(error, OperationalError | InterfaceError):
        return False
    if connection.vendor == "sqlite":
        return "locked" in str(error) or "unable to open" in str(error)
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(UNAVAILABLE_SQLSTATE_CLASSES)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form whose token is missing or too old."""
    return render(request, "console/csrf_failure.html", status=403)

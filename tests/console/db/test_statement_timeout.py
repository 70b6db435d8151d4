"""One costly page does not hold up PostgreSQL: its statement is broken off, and who asked is told what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import RequestFactory, override_settings

from console.db import statement_timeout
from tests.console.jobs.conftest import ROOT, RestartableServer, postgres_server

__all__ = ["postgres_server"]

# A web server's process in all but its socket. Another connection holds the table that the page reads.
ASK = """
import json, os, psycopg
from console.wsgi import application
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from console.db import statement_timeout as statements
from console.models import User
def bound():
    with connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        return cursor.fetchone()[0]
told = {"bound": bound()}
with statements.allow_export_time():
    told["for a file"] = bound()
told["after a file"] = bound()
user = User.objects.create_user("somebody", password="x", role="administrator")
client = Client(headers={"host": "127.0.0.1"})
client.force_login(user)
told["before"] = client.get("/images/").status_code
with psycopg.connect(os.environ["DATABASE_URL"]) as other:
    other.execute("LOCK TABLE inventory_image IN ACCESS EXCLUSIVE MODE")
    page = client.get("/images/")
    part = client.get("/images/", headers={"HX-Request": "true"})
told["page"] = [page.status_code, page.content.decode(), part.status_code]
told["after"] = client.get("/images/").status_code
told["still bound"] = bound()
connection.close()
told["bound anew"] = bound()
print(json.dumps(told))
"""


@pytest.fixture
def environment(postgres_server: RestartableServer, tmp_path: Path) -> dict[str, str]:
    made = os.environ | {
        "TALLYMAN_TEST_CHILD": "1",
        "TALLYMAN_DATA": str(tmp_path),
        "DATABASE_URL": postgres_server.url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TALLYMAN_STATEMENT_SECONDS": "2",
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=made, cwd=ROOT, check=True, timeout=100)
    return made


def test_a_page_whose_statement_takes_too_long_says_so_and_the_next_is_served(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr[-4000:]
    told = json.loads(done.stdout)
    status, page, part = told.pop("page")
    assert (status, part) == (503, 503)
    assert "This request took too long" in page
    assert "stopped after 2 s" in page
    assert "Narrow the list by a filter" in page
    assert "Traceback" not in page
    assert told == {
        "bound": "2s",
        "for a file": "40s",
        "after a file": "2s",
        "before": 200,
        "after": 200,
        "still bound": "2s",
        "bound anew": "2s",
    }


def test_workers_and_commands_take_the_time_they_need(environment: dict[str, str]) -> None:
    script = (
        "from django.db import connection\n"
        "with connection.cursor() as cursor: cursor.execute('SHOW statement_timeout'); print(cursor.fetchone())"
    )
    command = [sys.executable, "manage.py", "shell", "--no-imports", "-c", script]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.stdout.strip().splitlines()[-1] == "('0',)"


def test_no_other_fault_of_the_database_is_called_slow() -> None:
    middleware = statement_timeout.StatementTimeoutMiddleware(lambda request: None)  # type: ignore[arg-type,return-value]
    request = RequestFactory().get("/")
    for error in (OperationalError("the connection is lost"), ValueError("57014")):
        assert middleware.process_exception(request, error) is None


@override_settings(STATEMENT_SECONDS=5)
@pytest.mark.django_db
def test_without_postgresql_nothing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_timeout, "_is_enabled", True)
    with statement_timeout.allow_export_time():
        pass

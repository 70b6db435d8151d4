"""Pages while the database restarts, or while somebody else writes for long."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse

from inventory.models import Tag
from scanning.models import Scan
from tests import factories
from tests.console.jobs.conftest import ROOT, RestartableServer, postgres_server
from tests.people import person

__all__ = ["postgres_server"]

# A web server's process in all but its socket; asks once for each line that it reads.
ASK = """
import sys
from console.wsgi import application
from django.db import close_old_connections
from django.test import Client
from console.models import User
user = User.objects.create_user("somebody", password="x", role="administrator")
client = Client(headers={"host": "127.0.0.1"}, raise_request_exception=False)
client.force_login(user)
for line in sys.stdin:
    close_old_connections()  # the test client leaves this out
    answer = client.get("/images/")
    page = answer.content.decode()
    said = "does not respond" if "The database does not respond" in page else ""
    print(answer.status_code, "Traceback" in page, said, flush=True)
"""


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_pages_say_503_while_postgresql_is_away_and_are_back_with_it(
    postgres_server: RestartableServer, tmp_path: Path
) -> None:
    environment = os.environ | {
        "TALLYMAN_TEST_CHILD": "1",
        "TALLYMAN_DATA": str(tmp_path),
        "DATABASE_URL": postgres_server.url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
    }
    subprocess.run([sys.executable, "manage.py", "migrate", "-v0"], env=environment, cwd=ROOT, check=True, timeout=100)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", ASK], env=environment, cwd=ROOT, text=True, **pipes) as web:  # type: ignore[call-overload]

        def asked() -> str:
            web.stdin.write("\n")
            web.stdin.flush()
            return str(web.stdout.readline()).removesuffix("\n")

        assert asked() == "200 False "
        postgres_server.stop(signal.SIGQUIT)  # an immediate shutdown
        assert [asked(), asked()] == ["503 False does not respond"] * 2
        postgres_server.start()
        assert asked() == "200 False "
        web.stdin.close()


@pytest.mark.skipif(settings.DATABASES["default"]["ENGINE"] != "django.db.backends.sqlite3", reason="of SQLite")
@pytest.mark.django_db(transaction=True)
def test_who_presses_a_button_while_somebody_writes_waits_and_is_not_told_of_locks(client: Client) -> None:
    assert settings.DATABASES["default"]["OPTIONS"]["timeout"] == 20, "longer than any writer of ours"
    client.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    tag: Tag = factories.tag()
    held, read, done = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            held.set()
            read.wait(60)
            time.sleep(2)
            done.set()
            other.execute("COMMIT")
        other.close()

    writer = threading.Thread(target=hold)
    writer.start()
    try:
        assert held.wait(10)
        assert client.get(reverse("inventory:image-list")).status_code == 200
        assert not done.is_set(), "who reads does not wait"
        read.set()
        assert client.post(reverse("scanning:scan"), {"ids": [tag.pk]}).status_code == 302
        assert done.is_set()
    finally:
        read.set()
        writer.join()
    assert Scan.objects.count() == 1

"""Pages while a disk is full or no more files can be opened: what is missing, and what to do."""

from __future__ import annotations

import errno
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from psycopg import errors

from console.resource_exhaustion import Exhausted, exhausted_by
from inventory import views
from tests.people import person


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "There is no space left on a disk of the console."),
        (errno.EMFILE, "The console has too many open files and connections."),
    ],
)
def test_a_page_says_what_the_machine_lacks(monkeypatch: pytest.MonkeyPatch, number: int, text: str) -> None:
    def fails(*_args: object, **_options: object) -> None:
        raise OSError(number, "no more")

    client = Client(raise_request_exception=False)
    client.force_login(person("viewer"), backend="django.contrib.auth.backends.ModelBackend")
    monkeypatch.setattr(views.lists, "show", fails)
    response = client.get(reverse("inventory:image-list"))
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    assert text in response.content.decode()
    assert "Traceback" not in response.content.decode()


def test_what_databases_say_of_a_full_disk_is_understood() -> None:
    full = OperationalError("could not extend file")
    full.__cause__ = errors.DiskFull("could not extend file")
    assert exhausted_by(full) is Exhausted.DISK
    other = OperationalError("the database system is shutting down")
    other.__cause__ = errors.AdminShutdown("the database system is shutting down")
    assert exhausted_by(other) is None


def test_a_text_that_only_speaks_of_a_full_disk_is_none() -> None:
    assert exhausted_by(ValueError("database or disk is full")) is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_what_sqlite_raises_on_a_full_disk_is_understood(small_disk: Path) -> None:
    database = sqlite3.connect(small_disk / "full.sqlite3")
    try:
        database.execute("CREATE TABLE a (b BLOB)")
        database.execute("PRAGMA cache_size = 1")
        with pytest.raises(sqlite3.OperationalError) as caught:
            database.execute("INSERT INTO a VALUES (zeroblob(4000000))")
    finally:
        database.close()
    assert exhausted_by(caught.value) is Exhausted.DISK

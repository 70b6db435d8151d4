"""A database of another version is told from one of this."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from console.db import schema
from inventory.models import Tag
from tests.people import person

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.django_db


def test_the_own_version_is_right_and_one_before_or_after_is_not() -> None:
    assert schema.find_problem() == ""
    applied = MigrationRecorder.Migration.objects
    applied.create(app="gone_package", name="0009_whatever")
    assert schema.find_problem() == "", "what is not ours says nothing of our version"
    newer = applied.create(app="inventory", name="0002_of_tomorrow")
    assert "newer version of Tallyman (inventory.0002_of_tomorrow)" in schema.find_problem()
    newer.delete()
    applied.get(app="scanning", name="0001_initial").delete()
    assert "manage.py migrate" in schema.find_problem()


def change(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@pytest.fixture
def another_age(transactional_db: None) -> Iterator[None]:
    """A database whose first migrations were others: a column has another name, a table is not there."""
    change(
        "ALTER TABLE inventory_tag RENAME COLUMN pushed_at TO pushed_when",
        "ALTER TABLE console_savedview RENAME TO console_view_of_old",
    )
    yield
    change(
        "ALTER TABLE inventory_tag RENAME COLUMN pushed_when TO pushed_at",
        "ALTER TABLE console_view_of_old RENAME TO console_savedview",
    )
    assert schema.find_problem() == ""


def test_a_database_of_another_age_is_told_with_what_differs_and_what_to_do(another_age: None) -> None:
    wrong = schema.find_problem()
    assert "it lacks console_savedview, inventory_tag.pushed_at" in wrong
    assert "it has besides inventory_tag.pushed_when" in wrong
    assert "Go back to the version that made it" in wrong
    with pytest.raises(CommandError, match="it lacks console_savedview"):
        call_command("migrate", verbosity=0)
    call_command("migrate", plan=True, verbosity=0)


def test_it_is_told_before_a_migration_meets_its_tables(another_age: None, monkeypatch: pytest.MonkeyPatch) -> None:
    today = schema._migrations_on_disk()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "_migrations_on_disk", lambda: today | {("inventory", "0002_of_tomorrow")})
        assert "Run manage.py migrate once" in schema.find_problem()
        assert "it lacks console_savedview, inventory_tag.pushed_at" in schema.find_migration_problem()
        with pytest.raises(CommandError, match="it lacks console_savedview"):
            call_command("migrate", verbosity=0)


def test_an_older_version_is_what_migrations_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    today = schema._migrations_on_disk()
    monkeypatch.setattr(schema, "_migrations_on_disk", lambda: today | {("inventory", "0002_of_tomorrow")})
    assert schema.find_migration_problem() == ""
    MigrationRecorder.Migration.objects.create(app="scanning", name="0009_of_next_year")
    assert "newer version of Tallyman (scanning.0009_of_next_year)" in schema.find_migration_problem()


def test_pages_say_that_it_is_the_database_and_not_an_error(another_age: None) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(person("administrator"))
    answer = client.get("/images/")
    assert answer.status_code == 503
    assert "The database belongs to another version of Tallyman" in answer.content.decode()
    assert "pushed_at" not in answer.content.decode()


def test_a_mistake_of_ours_is_still_one(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(person("administrator"))
    monkeypatch.setattr(Tag._meta, "db_table", "inventory_tag")
    monkeypatch.setattr("inventory.views.IMAGES", None)
    assert client.get("/images/").status_code == 500


def test_the_console_and_its_worker_do_not_start_with_it(tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("TALLYMAN_", "DATABASE_URL"))},
        "DJANGO_SETTINGS_MODULE": "console.settings",
        "TALLYMAN_DATA": str(tmp_path),
        "TALLYMAN_LISTEN": "127.0.0.1:0",
    }

    def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100)

    assert manage("migrate", "-v0").returncode == 0
    with sqlite3.connect(tmp_path / "tallyman.sqlite3") as database:
        database.execute("ALTER TABLE scanning_scan RENAME COLUMN image_id TO picture_id")
    database.close()
    for command in ("migrate", "serve", "worker"):
        answer = manage(command)
        assert answer.returncode == 1, answer
        assert "it lacks scanning_scan.image_id" in answer.stderr
        assert f"move {tmp_path}/tallyman.sqlite3 away" in answer.stderr

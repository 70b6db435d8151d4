"""Databases of upgrades: made, dumped and restored without Django, in SQLite and PostgreSQL."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

import psycopg

from tests.console.jobs.conftest import POSTGRES_PROGRAMS
from tests.upgrade import rows

ROOT = Path(__file__).resolve().parents[2]
DUMPS = Path(__file__).parent / "dumps"
SECRET_KEY = "the-secret-key-of-databases-that-are-upgraded-by-tests"

# The name of a table, and what says all of it that a migration may change.
POSTGRESQL_SCHEMA = """
SELECT table_name, 'column', column_name, concat_ws(' ', data_type, character_maximum_length, is_nullable,
    column_default, is_identity, generation_expression) FROM information_schema.columns WHERE table_schema = 'public'
UNION ALL SELECT conrelid::regclass::text, 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT tablename, 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'
ORDER BY 1, 2, 3"""
SQLITE_SCHEMA = "SELECT tbl_name, type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY 1, 2, 3"


class Database(Protocol):
    """A database that need not be there yet."""

    vendor: str
    url: str

    def dump(self) -> str:
        """Return all of it as SQL."""

    def restore(self, sql: str) -> None:
        """Make it from what ``dump`` returned."""

    def query(self, sql: str) -> list[tuple[Any, ...]]: ...

    def tables(self) -> list[str]: ...

    def schema(self) -> list[tuple[Any, ...]]:
        """Return what there is beside rows."""


def count_rows(database: Database) -> dict[str, int]:
    """Return how many rows each table has."""
    return {table: database.query(f'SELECT count(*) FROM "{table}"')[0][0] for table in database.tables()}


class Sqlite:
    vendor = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def dump(self) -> str:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            # Statistics of the planner are no part of the data.
            statements = [one for one in connection.iterdump() if "sqlite_stat" not in one.partition("VALUES")[0]]
        return "\n".join(one for one in statements if one != "ANALYZE sqlite_master;") + "\n"

    def restore(self, sql: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            connection.executescript(sql)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(sql).fetchall()

    def tables(self) -> list[str]:
        found = self.query("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
        return [name for (name,) in found]

    def schema(self) -> list[tuple[Any, ...]]:
        return self.query(SQLITE_SCHEMA)


class Postgresql:
    vendor = "postgresql"

    def __init__(self, server_url: str, name: str) -> None:
        self.url = server_url.replace("/postgres?", f"/{name}?")
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())

    def dump(self) -> str:
        program = str(POSTGRES_PROGRAMS[-1].with_name("pg_dump"))
        command = [program, "--inserts", "--rows-per-insert=50", "--no-owner", "--no-privileges", self.url]
        sql = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        # What other versions of the server or of psql do not know, and what is another at each run.
        return re.sub(r"^(\\(un)?restrict .*|SET transaction_timeout.*|-- Dumped .*)\n", "", sql, flags=re.MULTILINE)

    def restore(self, sql: str) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(sql.encode())

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(sql.encode()).fetchall()

    def tables(self) -> list[str]:
        return [name for (name,) in self.query("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]

    def schema(self) -> list[tuple[Any, ...]]:
        return self.query(POSTGRESQL_SCHEMA)


def run(database: Database, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with Django on ``database``, with ``folder`` as the data folder of the console."""
    keys = folder / "keys"
    keys.mkdir(mode=0o700, exist_ok=True)
    key = keys / "credential_keys"
    key.touch(mode=0o600)
    key.write_text(rows.CREDENTIAL_KEY)
    names = ("TALLYMAN", "DJANGO", "REDIS_URL", "PYTEST")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(names)} | {
        "DATABASE_URL": database.url,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONHASHSEED": "0",
        "TALLYMAN_DATA": str(folder),
        "TALLYMAN_SECRET_KEY": SECRET_KEY,
        "TALLYMAN_TEST_CHILD": "1",
    }
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def must_run(database: Database, folder: Path, *words: str) -> str:
    """Run it, and return what it prints. Raises AssertionError with what it says if it fails."""
    done = run(database, folder, *words)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout


def migrate(database: Database, folder: Path) -> None:
    """Bring ``database`` to the newest version, as an operator does."""
    must_run(database, folder, "manage.py", "migrate", "--verbosity", "0")

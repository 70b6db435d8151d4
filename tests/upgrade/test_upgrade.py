"""A database that any released version made can be upgraded to this one, and loses nothing."""

from __future__ import annotations

import contextlib
import functools
import gzip
import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from console.machines.release import VERSION
from tests.console.jobs.conftest import POSTGRES_PROGRAMS, run_postgres
from tests.upgrade import databases, released, rows
from tests.upgrade.databases import DUMPS, ROOT, Database, Postgresql, Sqlite
from tests.upgrade.make_dump import MAX_DUMP_BYTES, dump_path

VENDORS = ("sqlite", "postgresql")
NOT_UPGRADABLE = "0.1.0"  # the last version whose migrations were replaced
PAGES = {
    *("inventory:image-list", "inventory:image", "registries:registry-list", "registries:registry-detail"),
    *("scanning:run-list", "scanning:run", "scanning:vulnerability-list", "scanning:vulnerability"),
    *("scanning:package-list", "scanning:package", "scanning:schedule-list", "console:audit-list"),
}
GROWING = {"django_migrations", "django_content_type", "auth_permission"}  # migrating adds rows to these
# version of a dump → table that a later migration has renamed or emptied on purpose → its name now, None: it is gone
MOVED: dict[str, dict[str, str | None]] = {}

numbers = itertools.count(1)  # in the names of databases
Make = Callable[[str, str], Database]
FreshSchema = Callable[[str], list[tuple[Any, ...]]]


def upgradable() -> list[str]:
    """Return the released versions, the oldest first."""
    return list(released.read_released())


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Make]:
    """What makes a new, empty database of a vendor; a server is started if one of PostgreSQL is asked for."""
    with contextlib.ExitStack() as stack:
        server = functools.cache(lambda: stack.enter_context(run_postgres()))

        def make(vendor: str, name: str) -> Database:
            if vendor == "sqlite":
                return Sqlite(tmp_path_factory.mktemp("database") / "db")
            if not POSTGRES_PROGRAMS:
                pytest.skip("PostgreSQL is not installed")
            return Postgresql(server().url, name)

        yield make


@pytest.fixture(scope="module")
def fresh_schema(make: Make, tmp_path_factory: pytest.TempPathFactory) -> FreshSchema:
    """What returns the schema of a database of a vendor that this version has made."""

    @functools.cache
    def fresh_schema(vendor: str) -> list[tuple[Any, ...]]:
        database = make(vendor, "fresh")
        databases.migrate(database, tmp_path_factory.mktemp("fresh"))
        return schema_once_restored(database, make)

    return fresh_schema


def schema_once_restored(database: Database, make: Make) -> list[tuple[Any, ...]]:
    """Return the schema of a restored copy: PostgreSQL words conditions otherwise when it reads its own dump."""
    copy = make(database.vendor, f"copy-{next(numbers)}")
    copy.restore(database.dump())
    return copy.schema()


def restored(version: str, vendor: str, make: Make) -> Database:
    database = make(vendor, f"from-{version}")
    database.restore(gzip.decompress(dump_path(version, vendor).read_bytes()).decode())
    return database


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("version", upgradable())
def test_a_database_of_a_release_is_upgraded_and_loses_nothing(
    version: str,
    vendor: str,
    make: Make,
    fresh_schema: FreshSchema,
    tmp_path: Path,
) -> None:
    database = restored(version, vendor, make)
    before = databases.count_rows(database)
    assert {table for table, count in before.items() if not count} <= set(rows.MAY_BE_EMPTY)

    databases.migrate(database, tmp_path)
    databases.must_run(database, tmp_path, "manage.py", "makemigrations", "--check", "--dry-run")
    assert schema_once_restored(database, make) == fresh_schema(vendor)

    after = databases.count_rows(database)
    now = {table: MOVED.get(version, {}).get(table, table) for table in before}
    kept = {table: (before[table], after.get(name, 0)) for table, name in now.items() if name}
    assert {t: n for t, n in kept.items() if (n[0] > n[1] if t in GROWING else n[0] != n[1])} == {}

    found = json.loads(databases.must_run(database, tmp_path, "-m", "tests.upgrade.read_everything"))
    assert found["problem"] == ""
    assert found["password"] == rows.PASSWORD
    assert len(found["models"]) > 50
    assert {name: found["pages"].get(name) for name in PAGES} == dict.fromkeys(PAGES, 200)
    assert {name: status for name, status in found["pages"].items() if status >= 500} == {}


def test_each_release_keeps_a_small_dump_of_each_kind_of_database() -> None:
    changes = re.findall(r"^## (\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    versions = [version for version in changes if as_numbers(version) > as_numbers(NOT_UPGRADABLE)]
    assert VERSION in versions, "CHANGELOG.md has no section for the version in pyproject.toml"
    how = "Each release adds its dump: run make release-dump (see tests/upgrade/__init__.py)."
    assert set(upgradable()) == set(versions), how
    missing = [path.name for version in versions for v in VENDORS if not (path := dump_path(version, v)).exists()]
    assert not missing, how
    assert all(path.stat().st_size <= MAX_DUMP_BYTES for path in DUMPS.iterdir())


def as_numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


@pytest.mark.slow
@pytest.mark.parametrize("vendor", VENDORS)
def test_a_database_from_before_0_2_is_refused_and_not_touched(vendor: str, make: Make, tmp_path: Path) -> None:
    database = restored(NOT_UPGRADABLE, vendor, make)
    before = database.dump()
    done = databases.run(database, tmp_path, "manage.py", "migrate")
    assert done.returncode == 1
    assert (
        "The database was made by a version of Tallyman with other tables: it lacks console_cachedcount" in done.stderr
    )
    assert "it has besides" in done.stderr
    assert "Go back to the version that made it; or give this one an empty database" in done.stderr
    assert database.dump() == before

"""``python -m tests.upgrade.make_dump``: keep a database of this version, for tests of later versions to upgrade.

Writes the dumps of the version in pyproject.toml, and the digests of its migrations. Needs PostgreSQL's programs.
"""

from __future__ import annotations

import argparse
import gzip
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from console.machines.release import VERSION
from tests.console.jobs.conftest import POSTGRES_PROGRAMS, run_postgres
from tests.upgrade import databases, released
from tests.upgrade.databases import DUMPS, Database

MAX_DUMP_BYTES = 300_000


def make_dump(database: Database, folder: Path) -> bytes:
    """Return a compressed dump of ``database``, which is empty, after it was migrated and filled."""
    databases.migrate(database, folder)
    databases.must_run(database, folder, "-m", "tests.upgrade.rows")
    return gzip.compress(database.dump().encode(), mtime=0)


def dump_path(version: str, vendor: str) -> Path:
    """Return where the dump of a version lies."""
    return DUMPS / f"{version}.{vendor}.sql.gz"


def main() -> str | None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--replace", action="store_true", help="write those of a version anew that is not published yet"
    )
    options = parser.parse_args()
    if dump_path(VERSION, "sqlite").exists() and not options.replace:
        return (
            f"There are dumps of {VERSION} already, and a published version stays as it is. If this is a new version,"
            " say so in pyproject.toml first; if it is not published yet, add --replace (make release-dump REPLACE=1)."
        )
    if not POSTGRES_PROGRAMS:
        return "PostgreSQL is not installed. Run .ci/install-test-programs first."
    with tempfile.TemporaryDirectory(prefix="tallyman-dump-") as name, run_postgres() as server:
        folder = Path(name)
        made: list[Database] = [databases.Sqlite(folder / "db"), databases.Postgresql(server.url, "dump")]
        folders = [folder / database.vendor for database in made]
        for each in folders:
            each.mkdir()
        with ThreadPoolExecutor() as pool:
            dumps = list(pool.map(make_dump, made, folders))
    for database, content in zip(made, dumps, strict=True):
        if len(content) > MAX_DUMP_BYTES:
            return f"The dump of {database.vendor} has {len(content):,} bytes, more than {MAX_DUMP_BYTES:,}."
    for database, content in zip(made, dumps, strict=True):
        path = dump_path(VERSION, database.vendor)
        path.write_bytes(content)
        print(f"{path.relative_to(databases.ROOT)}: {len(content):,} bytes")
    released.write_released(VERSION)
    print(f"{released.FILE.relative_to(databases.ROOT)}: migrations of {VERSION}")
    return None


if __name__ == "__main__":
    sys.exit(main())

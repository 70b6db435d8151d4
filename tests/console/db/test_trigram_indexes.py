"""Parts of texts are found on PostgreSQL by trigram indexes where these can be made, and anyhow."""

from __future__ import annotations

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from console.db import trigram_indexes
from tests.console.jobs.conftest import ROOT, postgres_server  # noqa: F401

MADE = "SELECT indexname FROM pg_indexes WHERE indexname LIKE '%search' ORDER BY 1"

PLANS = """
from console.pages.audit_table import AUDIT
from inventory.tables import IMAGES
from scanning.runs.tables import SCANS
from django.db import connection
connection.cursor().execute("SET enable_seqscan = off")
def plan(listing, word):
    return listing.filterset({"q": word}, queryset=listing.queryset().order_by()).qs.values("pk").explain()
asked = (IMAGES, "LeDger"), (SCANS, "LeDger"), (AUDIT, "LeDger"), (AUDIT, "192.0.2")
print(" -- ".join(plan(*each) for each in asked))
"""


def migrated(url: str, folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TALLYMAN", "DJANGO"))}
    environment |= {"DATABASE_URL": url, "TALLYMAN_DATA": str(folder)}
    for words in (["migrate", "--verbosity", "0"], ["index_search"]):
        done = subprocess.run(
            [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise CommandError(done.stderr)


@pytest.mark.slow
def test_the_indexes_are_made_and_used(postgres_server: Any, tmp_path: Path) -> None:  # noqa: F811
    migrated(postgres_server.url, tmp_path)
    with psycopg.connect(postgres_server.url, autocommit=True) as postgres:
        assert [name for (name,) in postgres.execute(MADE).fetchall()] == sorted(trigram_indexes.all_indexes())
        postgres.execute("SET session_replication_role = replica")  # tags alone, without what they belong to
        postgres.execute(
            "INSERT INTO inventory_tag"
            " (repository_id, registry_id, manifest_id, name, digest, address, size, first_seen)"
            " SELECT 1, 1, 1, 'v' || n, md5(n::text), 'host/' || md5(n::text), 1, now()"
            " FROM generate_series(1, 20000) n"
        )
        postgres.execute(
            "INSERT INTO console_auditevent (at, actor_name, address, action, target, detail, before, after)"
            " SELECT now(), 'person-' || n, '192.0.2.7', 'scan.start', md5(n::text), '{}', '{}', '{}'"
            " FROM generate_series(1, 20000) n"
        )
        postgres.execute("VACUUM ANALYZE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TALLYMAN", "DJANGO"))}
    environment |= {"DATABASE_URL": postgres_server.url, "TALLYMAN_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "--command", PLANS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    images, scans, events, address = done.stdout.split(" -- ")
    assert {name for name in trigram_indexes.all_indexes() if name in images} == {
        "tag_address_search",
        "tag_name_search",
    }
    assert {name for name in trigram_indexes.all_indexes() if name in events} == {
        f"audit_{name}_search" for name in ("actor", "action", "target")
    }
    assert {name for name in trigram_indexes.all_indexes() if name in address} == {
        f"audit_{name}_search" for name in ("actor", "action", "target", "address")
    }
    assert {name for name in trigram_indexes.all_indexes() if name in scans} == {
        "scan_address_search",
        "scan_reason_search",
    }


@pytest.mark.slow
def test_a_user_who_may_not_add_the_extension_migrates_and_is_told(
    postgres_server: Any,  # noqa: F811
    tmp_path: Path,
) -> None:
    with psycopg.connect(postgres_server.url, autocommit=True) as postgres:
        postgres.execute("CREATE ROLE plain LOGIN")
        postgres.execute("CREATE DATABASE theirs")
    url = postgres_server.url.replace("/postgres?", "/theirs?")
    with psycopg.connect(url, autocommit=True) as postgres:
        postgres.execute("GRANT ALL ON SCHEMA public TO plain")
    with pytest.raises(CommandError, match="permission denied to create extension"):
        migrated(url.replace("tallyman@", "plain@"), tmp_path)
    with psycopg.connect(url) as postgres:
        assert postgres.execute(MADE).fetchall() == []
        assert postgres.execute("SELECT count(*) FROM inventory_tag").fetchall() == [(0,)]


@pytest.mark.django_db
@pytest.mark.skipif("connection.vendor != 'sqlite'")
def test_the_command_says_that_sqlite_has_no_such_indexes() -> None:
    with pytest.raises(CommandError, match="SQLite has no trigram indexes"):
        call_command("index_search", stdout=StringIO())
    assert connection.vendor == "sqlite"

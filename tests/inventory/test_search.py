"""Parts of addresses and tags are found on PostgreSQL by trigram indexes where these can be made, and anyhow."""

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

from inventory import search
from inventory.filters import ImageFilters
from inventory.models import Tag
from tests import factories
from tests.console.jobs.conftest import ROOT, postgres_server  # noqa: F401

MADE = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'tag%search' ORDER BY 1"


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
    sql, params = ImageFilters({"q": "LeDger"}, queryset=Tag.objects.order_by()).qs.values("pk").query.sql_with_params()
    with psycopg.connect(postgres_server.url, autocommit=True) as postgres:
        assert [name for (name,) in postgres.execute(MADE).fetchall()] == sorted(search.INDEXES)
        postgres.execute("SET session_replication_role = replica")  # tags alone, without what they belong to
        postgres.execute(
            "INSERT INTO inventory_tag"
            " (repository_id, registry_id, manifest_id, name, digest, address, size, first_seen)"
            " SELECT 1, 1, 1, 'v' || n, md5(n::text), 'host/' || md5(n::text), 1, now()"
            " FROM generate_series(1, 20000) n"
        )
        postgres.execute("VACUUM ANALYZE inventory_tag")
        # Django's own words for PostgreSQL, which those for SQLite are not
        condition = " OR ".join(
            f"UPPER(inventory_tag.{name}::text) LIKE UPPER('%ledger%')" for name in ("address", "name")
        )
        plan = postgres.execute(f"EXPLAIN SELECT id FROM inventory_tag WHERE {condition}").fetchall()
    assert sum("search" in line for (line,) in plan) == 2, plan
    assert sql.count("LIKE") == 2
    assert params


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


@pytest.mark.django_db
def test_the_beginning_of_an_image_id_or_a_digest_finds_all_tags_of_it() -> None:
    image = factories.image()
    first, second = factories.tag(of=image), factories.tag(of=image)
    other = factories.tag()
    digits = image.image_id.removeprefix("sha256:")

    def found(word: str) -> set[Tag]:
        return set(ImageFilters({"q": word}, queryset=Tag.objects.all()).qs)

    assert found(digits[:12]) == found(f"sha256:{digits[:12].upper()}") == {first, second}
    assert found(other.digest) == {other}

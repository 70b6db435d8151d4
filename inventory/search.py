"""Indexes by which PostgreSQL finds a part of an address or of a tag among a million of them, by its trigrams.

They need the extension pg_trgm, which the owner of a database may add where its package is installed. Without it the
search finds the same by reading all rows. SQLite reads all rows too: 10,000 take it some milliseconds.
"""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

# As Django compares for icontains; another expression would not use them.
INDEXES = {
    "tag_address_search": 'ON "inventory_tag" USING gin (UPPER("address"::text) gin_trgm_ops)',
    "tag_name_search": 'ON "inventory_tag" USING gin (UPPER("name"::text) gin_trgm_ops)',
}


def make_indexes(database: BaseDatabaseWrapper = connection) -> str:
    """Make the indexes where they are missing. Returns why that is not possible, "" where all are there."""
    if database.vendor != "postgresql":
        return f"{database.display_name} has no trigram indexes."
    try:
        with transaction.atomic(using=database.alias), database.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            for name, on in INDEXES.items():
                cursor.execute(f'CREATE INDEX IF NOT EXISTS "{name}" {on}')
    except DatabaseError as error:
        return str(error).strip().splitlines()[0]
    return ""


def migrate(_apps: Any, schema_editor: Any) -> None:
    """Make the indexes as part of a migration, which goes on without them."""
    make_indexes(schema_editor.connection)

"""Indexes by which PostgreSQL finds a part of a text among a million of them, by its trigrams.

They need the extension pg_trgm, which the owner of a database may add where its package is installed. Without it the
searches find the same by reading all rows. SQLite reads all rows too: 10,000 take it some milliseconds.

Each app registers its indexes. A migration of the app makes each: it spells out what it makes, for a migration that
is released stays as it is, whatever ``INDEXES`` says later.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import DatabaseError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from console.extension_points import ExtensionPoint

# As Django compares for icontains, and for the beginning of a network address; another expression would not use them.
INDEXES = {
    "audit_actor_search": 'ON "console_auditevent" USING gin (UPPER("actor_name"::text) gin_trgm_ops)',
    "audit_action_search": 'ON "console_auditevent" USING gin (UPPER("action"::text) gin_trgm_ops)',
    "audit_target_search": 'ON "console_auditevent" USING gin (UPPER("target"::text) gin_trgm_ops)',
    "audit_address_search": 'ON "console_auditevent" USING gin (HOST("address") gin_trgm_ops)',
}


SEARCH_INDEXES: ExtensionPoint[str] = ExtensionPoint("index")


def register(indexes: Mapping[str, str]) -> None:
    """Let ``manage.py index_search`` make ``indexes`` too: what comes after CREATE INDEX, by name."""
    for name, on in indexes.items():
        SEARCH_INDEXES.register(name, on)


def all_indexes() -> dict[str, str]:
    """Return the indexes of all apps: what comes after CREATE INDEX, by name."""
    return dict(SEARCH_INDEXES)


def create_indexes(indexes: Mapping[str, str], database: BaseDatabaseWrapper = connection) -> str:
    """Make those of ``indexes`` that are missing. Returns why that is not possible, "" where all are there."""
    if database.vendor != "postgresql":
        return f"{database.display_name} has no trigram indexes."
    try:
        with transaction.atomic(using=database.alias), database.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            for name, on in indexes.items():
                cursor.execute(f'CREATE INDEX IF NOT EXISTS "{name}" {on}')
    except DatabaseError as error:
        return str(error).strip().splitlines()[0]
    return ""


class CreateTrigramIndexes(Operation):
    """A step of a migration that makes ``indexes``: what comes after CREATE INDEX, by name.

    The migration goes on without them where they cannot be made; ``manage.py index_search`` makes them later.
    Released migrations name this class: its name, its place and its argument stay as they are.
    """

    reversible = True

    def __init__(self, indexes: Mapping[str, str]) -> None:
        self.indexes = dict(indexes)

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing: models know nothing of these indexes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        create_indexes(self.indexes, schema_editor.connection)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Leave them: they go with their tables."""

    def describe(self) -> str:
        return f"Create trigram indexes {', '.join(self.indexes)}"

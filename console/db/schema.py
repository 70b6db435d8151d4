"""Whether the database is of this version.

Machines are upgraded one after the other, and one that was left would go on to write rows as they were before.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.apps import AppConfig, apps
from django.apps.registry import Apps
from django.conf import settings
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

Migration = tuple[str, str]  # label of the app, name

MAX_NAMES_SHOWN = 5  # names of tables and columns in a message
_COLUMNS = {
    "sqlite": "SELECT m.name, c.name FROM sqlite_master m, pragma_table_xinfo(m.name) c WHERE m.type = 'table'",
    "postgresql": "SELECT table_name, column_name FROM information_schema.columns"
    " WHERE table_schema = ANY (current_schemas(false))",
}


@cache
def _migrations_on_disk() -> frozenset[tuple[str, str]]:
    return frozenset(MigrationLoader(None).disk_migrations or {})


def _own_apps() -> list[AppConfig]:
    return [app for app in apps.get_app_configs() if Path(app.path).parent == Path(settings.BASE_DIR)]


def find_problem() -> str:
    """Return why this version must not work with the database, and what to do; "" where it may."""
    applied, expected = _applied_migrations(), _expected_migrations()
    if newer := applied - expected:
        return _newer_version(newer)
    if expected - applied:
        return "The database is of an older version of Tallyman. Run manage.py migrate once, then start this again."
    return _find_differences(apps)


def find_migration_problem() -> str:
    """Return why this version's migrations do not lead on from the database as it is, and what to do; "" where they do.

    An empty database has no problem. One that was made before 0.2.0 says that the same migrations are applied, but they
    were others.
    """
    applied, expected = _applied_migrations(), _expected_migrations()
    if newer := applied - expected:
        return _newer_version(newer)
    if not applied:
        return ""
    return _find_differences(apps if applied == expected else _apps_of(applied))


def _applied_migrations() -> set[Migration]:
    ours = {app.label for app in _own_apps()}
    return {key for key in MigrationRecorder(connection).applied_migrations() if key[0] in ours}


def _expected_migrations() -> set[Migration]:
    ours = {app.label for app in _own_apps()}
    return {key for key in _migrations_on_disk() if key[0] in ours}


def _newer_version(migrations: set[Migration]) -> str:
    names = ", ".join(".".join(key) for key in sorted(migrations))
    return (
        f"The database is of a newer version of Tallyman ({names}). Upgrade Tallyman on this machine too; until"
        " then it does no work."
    )


def _apps_of(migrations: set[Migration]) -> Apps:
    """Return the models as they were when ``migrations`` were all there was."""
    loader = MigrationLoader(None)
    models: Apps = loader.project_state(sorted(migrations)).apps
    return models


def _find_differences(models: Apps) -> str:
    """Return what of the tables is not as ``models`` have it, though the migrations that lead there are applied."""
    there = _columns()
    lacks, odd = [], []
    for table, columns in sorted(_tables(models).items()):
        if table not in there:
            lacks.append(table)
            continue
        lacks += [f"{table}.{column}" for column in sorted(columns - there[table])]
        odd += [f"{table}.{column}" for column in sorted(there[table] - columns)]
    if not lacks and not odd:
        return ""
    differences = [
        f"{words} {', '.join(names[:MAX_NAMES_SHOWN])}{' and more' if len(names) > MAX_NAMES_SHOWN else ''}"
        for words, names in (("it lacks", lacks), ("it has besides", odd))
        if names
    ]
    return (
        f"The database was made by a version of Tallyman with other tables: {'; '.join(differences)}. No migration"
        " leads from there to here. Go back to the version that made it; or give this one an empty database"
        f" ({_how_to_replace_database()}), start it, and enter the registries again."
    )


def _tables(models: Apps) -> dict[str, set[str]]:
    """Return the columns that ``models`` of ours read and write, by the names of their tables."""
    return {
        model._meta.db_table: {field.column for field in model._meta.local_concrete_fields if field.column}
        for app in _own_apps()
        for model in models.get_app_config(app.label).get_models(include_auto_created=True)
        if model._meta.managed and not model._meta.proxy
    }


def _columns() -> dict[str, set[str]]:
    """Return the columns of all tables that are there, by one query."""
    found: dict[str, set[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_COLUMNS[connection.vendor])
        for table, column in cursor.fetchall():
            found.setdefault(table, set()).add(column)
    return found


def _how_to_replace_database() -> str:
    if connection.vendor == "sqlite":
        return f"move {connection.settings_dict['NAME']} away"
    return "name a new one in DATABASE_URL"

"""``python -m tests.upgrade.rows``: fill a migrated, empty database: rows in every table, the same ones each time.

Most come from the made-up inventory and from the factories of the tests. What is empty then gets one row with a value
in every column, so a new model needs nothing here.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, time, timedelta
from typing import Any

import django
from django.utils import timezone

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
TAGS = 24  # of the made-up inventory
OWNER = "owner"  # an administrator
# A key of credentials made up for these databases alone, and PASSWORD encrypted with it.
CREDENTIAL_KEY = "227SmJJX-E17i822iieMxgg5cpjy71ZhwZAiFxy2J60="
CREDENTIAL_TOKEN = (
    "gAAAAABpaNbAZwOO8KlZ1JTWRd-WW8trtWG_sVmmnKkRETtvRE3ATvqtqFRw4X10MFUNYjrTE3soUPbzZAtC4h4Dss"
    "Ev99W9T3BUXaCpSuVycTzVvwXb39s="
)
PASSWORD = "a-password-of-a-registry"

# table that may be empty → why
MAY_BE_EMPTY: dict[str, str] = {}

# model → what its row has other than any value of the type
VALUES: dict[str, dict[str, Any]] = {
    "console.SavedView": {"listing": "images", "query": "q=ledger", "is_default": False},
    "console.Export": {"listing": "images", "time_zone": "UTC", "language": "en"},
    "django_q.Task": {"id": "0" * 32, "func": "console.jobs.tasks.tick", "hook": ""},
    "django_q.Schedule": {"func": "console.jobs.tasks.tick"},
    "mfa.Authenticator": {"type": "recovery_codes", "data": {"seed": "", "used_mask": 0}},
}
ALWAYS = {"state": "succeeded", "time_zone": "UTC", "language": "en"}  # by name of a field


def fill() -> None:
    """Fill it. Raises RuntimeError if a table stays empty."""
    _add_inventory()
    _add_missing_rows()
    _forget_randomness()
    if empty := set(empty_tables()) - set(MAY_BE_EMPTY):
        raise RuntimeError(f"These tables have no row: {', '.join(sorted(empty))}. See tests/upgrade/rows.py.")


def empty_tables() -> list[str]:
    """Return the tables of the database that have no row."""
    from django.db import connection

    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        counts = {}
        for table in tables:
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")
            counts[table] = cursor.fetchone()[0]
    return [table for table, count in counts.items() if not count]


def _add_inventory() -> None:
    from demo.inventory.make import make
    from tests import factories
    from tests.people import person

    person("administrator", username=OWNER)  # the first one, who has all that belongs to a person
    for role in ("viewer", "operator"):
        person(role)
    registry = factories.registry(name="with a password", username="robot", password_token=CREDENTIAL_TOKEN)
    image = factories.image(**factories.scanned(critical=1, viruses=1, sensitive=1, packages=1))
    factories.tag("v1", of=image, in_=registry, path="team/app")
    factories.vulnerability(image)
    factories.malware(image)
    factories.secret(image)
    for category in ("vulnerabilities", "malware", "sensitive"):
        factories.result(image, category)
    make(tags=TAGS, images=TAGS // 3, seed=1, now=NOW)


def _add_missing_rows() -> None:
    from django.apps import apps

    for model in apps.get_models(include_auto_created=True):
        if model._meta.managed and not model._meta.proxy and not model._base_manager.exists():
            _add_row(model)


def _add_row(model: Any) -> Any:
    """Add one row as it is: no ``save()`` of the model has a part in it."""
    values = {}
    special = ALWAYS | VALUES.get(model._meta.label, {})
    for field in model._meta.local_concrete_fields:
        if field.name in special:
            values[field.attname] = special[field.name]
        elif not (field.primary_key and field.get_internal_type().endswith("AutoField")):
            values[field.attname] = _value(field)
    row = model(**values)
    row.save_base(raw=True, force_insert=True)
    return row


def _value(field: Any) -> Any:
    """Return a value for a column: that of the first row it can refer to, its default, or any of its type."""
    if field.is_relation:
        if field.related_model is field.model:
            return None
        row = field.related_model._base_manager.order_by("pk").first() or _add_row(field.related_model)
        return getattr(row, field.target_field.attname)
    if field.choices:
        return field.get_default() or field.flatchoices[-1][0]
    kind = field.get_internal_type()
    if kind == "JSONField":
        return field.get_default() if field.has_default() else {}
    if kind in {"CharField", "TextField", "SlugField"}:
        fixed = "" if callable(field.default) else field.get_default()  # a function gives something random
        return fixed or field.name[: field.max_length]
    by_kind = {
        "BinaryField": b"content",
        "BooleanField": True,
        "DateField": NOW.date(),
        "DateTimeField": NOW,
        "DurationField": timedelta(seconds=1),
        "EmailField": "person@example.org",
        "FileField": "file",
        "FloatField": 1.5,
        "GenericIPAddressField": "192.0.2.7",
        "TimeField": time(3),
        "URLField": "https://example.org/",
    }
    if kind in by_kind:
        return by_kind[kind]
    if kind.endswith("IntegerField"):
        return 1
    raise RuntimeError(f"Say in tests/upgrade/rows.py which value a {kind} gets ({field}).")


def _forget_randomness() -> None:
    """Replace what is another at each run: the salts of passwords, when migrations were applied."""
    from django.contrib.auth.hashers import make_password
    from django.db.migrations.recorder import MigrationRecorder

    from console.models import User

    User.objects.update(password=make_password("a-long-password-for-tests", salt="upgrade"), date_joined=NOW)
    MigrationRecorder.Migration.objects.update(applied=NOW)


def main() -> None:
    timezone.now = lambda: NOW
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    from console import visibility

    with visibility.unrestricted():
        fill()


if __name__ == "__main__":
    sys.exit(main())

"""Writing a great many rows: by COPY into PostgreSQL, by ``executemany`` into SQLite; some at a time, none kept."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from django.db import connection, models
from django.db.models.fields import NOT_PROVIDED

BUFFER_ROWS = 5000  # rows


class TableWriter:
    """The rows of one model. Columns that are not named have the default of their field in every row."""

    def __init__(self, model: type[models.Model], names: Sequence[str], *, now: datetime, plain: bool = False) -> None:
        fields = [
            field
            for field in model._meta.concrete_fields
            if field.attname not in names and not field.primary_key and not field.generated
        ]
        self._quoted = connection.ops.quote_name(model._meta.db_table)
        by_name = {field.attname: str(field.column) for field in model._meta.concrete_fields}
        columns = [by_name[name] for name in names] + [str(field.column) for field in fields]
        self._columns = ", ".join(connection.ops.quote_name(column) for column in columns)
        self._rest = tuple(_default(field, now) for field in fields)
        self._rows: list[tuple[Any, ...]] = []
        self._as_text = connection.vendor == "sqlite" and not plain  # SQLite has no type for times
        self.model, self.written = model, 0
        self._next = (model._default_manager.aggregate(last=models.Max("pk"))["last"] or 0) + 1

    def key(self) -> int:
        """Return the next free primary key, which is taken with it."""
        self._next += 1
        return self._next - 1

    def add(self, *values: Any) -> None:
        """Write a row, now or with those that follow."""
        self._rows.append(values + self._rest)
        if len(self._rows) >= BUFFER_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._rows:
            return
        width = len(self._rows[0])
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.cursor.copy(f"COPY {self._quoted} ({self._columns}) FROM STDIN") as copy:
                    for row in self._rows:
                        copy.write_row(row)
            else:
                marks = ", ".join(["%s"] * width)
                rows = [tuple(map(_text, row)) for row in self._rows] if self._as_text else self._rows
                # Names of our models; values are parameters.
                statement = f"INSERT INTO {self._quoted} ({self._columns}) VALUES ({marks})"  # noqa: S608  # nosec B608
                cursor.executemany(statement, rows)
        self.written += len(self._rows)
        self._rows = []


def reset_sequences(tables: Sequence[TableWriter]) -> None:
    """Let the database give keys after those that were taken."""
    statements = connection.ops.sequence_reset_sql(_no_style(), [table.model for table in tables])
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def _no_style() -> Any:
    from django.core.management.color import no_style

    return no_style()


def _default(field: Any, now: datetime) -> Any:
    if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
        value: Any = now
    elif field.default is not NOT_PROVIDED:
        value = field.get_default()
    else:
        value = None if field.null else ""
    if isinstance(field, models.JSONField) and value is not None:
        return json.dumps(value)
    value = getattr(value, "value", value)
    return _text(value) if connection.vendor == "sqlite" else value


def _text(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    return value.isoformat() if isinstance(value, date) else value


class FastSqlite:
    """Let SQLite use memory, and wait for the disk less, while a great deal is written."""

    def __enter__(self) -> None:
        self.may = connection.vendor == "sqlite" and not connection.in_atomic_block
        if self.may:
            with connection.cursor() as cursor:
                cursor.execute("PRAGMA cache_size = -262144")
                cursor.execute("PRAGMA temp_store = MEMORY")

    def __exit__(self, *_error: object) -> None:
        with connection.cursor() as cursor:
            if self.may:
                cursor.execute("PRAGMA cache_size = -2000")
                cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.execute("ANALYZE")

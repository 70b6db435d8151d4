"""What writing findings has in common: rows some at a time, and texts from images as every database can keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db import models

from console.db.batches import batched

CHUNK_ROWS = 400  # values in one query; SQLite allows 32,766 parameters, shorter statements plan faster


def assign(row: models.Model, values: dict[str, Any]) -> bool:
    """Put ``values`` on ``row`` and return whether that changed anything."""
    different = False
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
            different = True
    return different


def ids_by(model: type[Any], field: str, values: Iterable[str]) -> dict[str, int]:
    """Return the ids of rows of ``model`` by the values of ``field``."""
    found: dict[str, int] = {}
    for chunk in batched(values, CHUNK_ROWS):
        found |= dict(model.objects.filter(**{f"{field}__in": chunk}).values_list(field, "pk"))
    return found


def delete(manager: models.Manager[Any], rows: Sequence[models.Model]) -> None:
    """Delete these rows, some at a time."""
    for chunk in batched((row.pk for row in rows), CHUNK_ROWS):
        manager.filter(pk__in=chunk).delete()


def storable_json(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with every text fit to be kept as JSON."""
    return {name: storable_text(value, None) if isinstance(value, str) else value for name, value in values.items()}


def storable(value: Any) -> Any:
    """Return ``value`` with every text in it as every database can keep it."""
    if isinstance(value, str):
        return storable_text(value, None)
    if isinstance(value, Mapping):
        return {storable(name): storable(member) for name, member in value.items()}
    return [storable(member) for member in value] if isinstance(value, list | tuple) else value


def storable_text(value: str, length: int | None) -> str:
    """Return ``value`` as every database can keep it: without NUL, bytes that are no UTF-8 escaped, cut to length."""
    value = value.replace("\x00", "\ufffd").encode("utf-8", "backslashreplace").decode()
    return value if length is None or len(value) <= length else value[: length - 1] + "…"


def storable_fields(model: type[models.Model], **values: Any) -> dict[str, Any]:
    """Return ``values`` with every text fit for its column of ``model``."""
    return {
        name: [storable_text(str(item), None) for item in value]
        if isinstance(value, list)
        else storable_text(value, getattr(model._meta.get_field(name), "max_length", None))
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }

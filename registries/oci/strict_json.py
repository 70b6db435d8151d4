"""JSON from strangers: one reading of a text or none, and plain values of the expected type out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn

from registries.oci import messages
from registries.oci.errors import MalformedResponse

MAX_TEXT_CHARACTERS = 65_536  # characters of one text that are kept
MAX_DEPTH = 100


def load(content: bytes, what: str) -> Any:
    """Return the value of UTF-8 JSON, with or without a byte order mark.

    Raises MalformedResponse, also for duplicate keys, NaN and great depth.
    """
    try:
        value = json.loads(content.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise _broken(what) from None
    if _deeper_than(value, MAX_DEPTH):
        raise _broken(what)
    return value


def load_object(content: bytes, what: str) -> dict[str, Any]:
    """As :func:`load`, for an object."""
    value = load(content, what)
    if not isinstance(value, dict):
        raise _broken(what)
    return value


def text(value: object, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """A string that every database and page can hold: no NUL, no lone surrogate, not too long. "" for other types."""
    if not isinstance(value, str):
        return ""
    return value[:limit].replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def text_map(value: object, count: int = 10_000) -> dict[str, str]:
    """The pairs of an object that are text to text. Empty for other types."""
    if not isinstance(value, Mapping):
        return {}
    pairs = [(text(key, 1000), text(item)) for key, item in value.items() if isinstance(item, str)]
    return dict(pairs[:count])


def parse_time(value: object) -> datetime | None:
    """An RFC 3339 time as an aware datetime in UTC; None for anything else, and for the zero time of Go."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        parsed = datetime.fromisoformat(value)
        parsed = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return parsed if parsed.year > 1 else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("duplicate key")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _deeper_than(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [item for each in level if isinstance(each, (dict, list)) for item in _items(each)]
        if not level:
            return False
    return True


def _items(value: dict[str, Any] | list[Any]) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value


def _broken(what: str) -> MalformedResponse:
    return MalformedResponse(
        messages.NOT_JSON(what=what),
        messages.OPEN_IN_BROWSER(),
    )

"""Keys of rows as they come in requests: anything may stand there."""

from __future__ import annotations

from collections.abc import Iterable

MAX_KEY_DIGITS = 18  # digits; a number of more may not fit a column of keys


def parse_key(text: str) -> int | None:
    """Return the key that ``text`` is, None where it is none."""
    return int(text) if text.isdecimal() and len(text) <= MAX_KEY_DIGITS else None


def parse_keys(texts: Iterable[str]) -> list[int]:
    """Return the keys among ``texts``, in their order."""
    return [found for text in texts if (found := parse_key(text)) is not None]

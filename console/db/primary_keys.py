"""Keys of rows as they come in requests: anything may stand there."""

from __future__ import annotations

from collections.abc import Iterable

LONGEST = 18  # digits; a number of more may not fit a column of keys


def key(text: str) -> int | None:
    """Return the key that ``text`` is, None where it is none."""
    return int(text) if text.isdecimal() and len(text) <= LONGEST else None


def keys(texts: Iterable[str]) -> list[int]:
    """Return the keys among ``texts``, in their order."""
    return [found for text in texts if (found := key(text)) is not None]

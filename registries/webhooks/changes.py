"""What a report of a registry comes to: something to look at again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Change:
    """Something to look at again: a tag, or where ``tag`` is "" a whole repository, by the names it may have."""

    names: tuple[str, ...]
    tag: str = ""


def change(names: tuple[str, ...], tag: object, pushed: bool) -> Change:
    """A push names its tag; a delete leads to a new listing, not to a deletion by hearsay. "-" is no tag at all."""
    return Change(names, (str(tag or "") or "-") if pushed else "")


def mappings(values: object) -> Iterator[Mapping[str, Any]]:
    """Yield the objects in a list; nothing for anything else."""
    return (each for each in values if isinstance(each, Mapping)) if isinstance(values, list) else iter(())


def inner(body: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    """Return the object at ``path``; an empty one where there is none."""
    found: Any = body
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}

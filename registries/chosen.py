"""Which repositories and tags of a registry a person wants: by patterns, the newest ones, the younger ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from registries.connectors.base import TagRef

MAX_PATTERNS = 200
_NUMBER = re.compile(r"(\d+)")


@dataclass(frozen=True)
class Patterns:
    """Patterns with ``*``, ``?`` and ``[…]``. Where none includes, all is included that none excludes."""

    included: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Patterns:
        """Return the patterns that a person typed; blank lines and lines that begin with # do not count."""
        lines = [line.strip() for line in text.splitlines()]
        wanted = [line for line in lines if line and not line.startswith("#")]
        return cls(
            tuple(line for line in wanted if not line.startswith("!")),
            tuple(line[1:].strip() for line in wanted if line.startswith("!")),
        )

    def match(self, name: str) -> bool:
        """Whether ``name`` is wanted."""
        included = not self.included or any(fnmatchcase(name, each) for each in self.included)
        return included and not any(fnmatchcase(name, each) for each in self.excluded)


@dataclass
class Choice:
    """What of one registry is wanted. ``newest`` tags of each repository, and tags pushed within ``days``; None: all.

    Used by several threads, each repository by one of them.
    """

    repositories: Patterns = field(default_factory=Patterns)
    tags: Patterns = field(default_factory=Patterns)
    newest: int | None = None
    days: int | None = None
    _left_out: dict[str, set[int]] = field(default_factory=dict)  # hashes of names, by repository

    def includes_repository(self, name: str) -> bool:
        """Whether the repository ``name`` is wanted."""
        return self.repositories.match(name)

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether ``tag`` is wanted, as far as its name and the last reading of its repository tell."""
        return (
            self.includes_repository(repository)
            and self.tags.match(tag)
            and hash(tag) not in self._left_out.get(repository, ())
        )

    def choose(self, repository: str, refs: Iterable[TagRef]) -> Iterator[TagRef]:
        """Yield those of ``refs``, all tags of ``repository``, that are wanted.

        A tag whose push time is not told is young enough. Which are the newest is decided by push time where that of
        every tag has one, else by the numbers in their names.
        """
        named = (ref for ref in refs if self.tags.match(ref.name))
        if self.newest is None and self.days is None:
            yield from named
            return
        left_out = self._left_out[repository] = set()
        found = {ref.name: ref for ref in named}
        since = datetime.now(UTC) - timedelta(days=self.days) if self.days is not None else None
        young = [ref for ref in found.values() if since is None or ref.pushed_at is None or ref.pushed_at >= since]
        if self.newest is not None:
            timed = all(ref.pushed_at for ref in young)
            young.sort(key=lambda ref: ((timed and ref.pushed_at) or _EARLIEST, _natural(ref.name)), reverse=True)
            young = young[: self.newest]
        left_out.update(hash(name) for name in found.keys() - {ref.name for ref in young})
        yield from young


_EARLIEST = datetime.min.replace(tzinfo=UTC)


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Return what orders names as people do: 1.10 behind 1.9, and a name without a number before both."""
    parts = _NUMBER.split(name)
    return [(part.isdigit(), int(part[:18]) if part.isdigit() else 0, part) for part in parts if part]

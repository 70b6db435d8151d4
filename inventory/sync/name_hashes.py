"""Names of a list that may be long: what is held of each is eight bytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, MutableMapping
from typing import Any


class NameHashes:
    """A set of names that tells which of others it does not hold. One in 2**64 that it does not hold is taken for held.

    Python's hash of a text differs from process to process, so nobody can choose names that are taken for each other.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._hashes = array("q", map(hash, names))

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, name: str) -> None:
        """Hold ``name``, too."""
        self._hashes.append(hash(name))

    def discard_from(self, others: MutableMapping[int, Any]) -> None:
        """Remove from ``others`` (:meth:`key` of a name → anything) those that are held."""
        for each in self._hashes:
            others.pop(each, None)

    @staticmethod
    def key(name: str) -> int:
        """Return what stands for ``name``."""
        return hash(name)

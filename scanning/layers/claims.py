"""Who looks at which layer: of all scans on this machine one at a time, so that no layer is read twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from console.processes.file_lock import FileLock, try_lock


class Claims:
    """What one scan has claimed, each until it is released. Locks are files in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[str, FileLock] = {}

    @property
    def held(self) -> frozenset[str]:
        """The names that are claimed."""
        return frozenset(self._locks)

    def __contains__(self, name: str) -> bool:
        return name in self._locks

    def take(self, name: str) -> None:
        """Claim ``name`` unless somebody else holds it."""
        if lock := try_lock(self._path(name)):
            self._locks[name] = lock

    def release(self, name: str) -> None:
        """Let others have ``name``; nothing where it is not held."""
        if lock := self._locks.pop(name, None):
            with lock, suppress(FileNotFoundError):
                self._path(name).unlink()

    def release_claims(self) -> None:
        """Let others have all. Those of this one's layers that are here by then need not be pulled by them."""
        for name in self.held:
            self.release(name)

    def _path(self, name: str) -> Path:
        return self._folder / name.replace(":", "-")


@contextmanager
def claim_layers(folder: Path, names: Iterable[str]) -> Iterator[Claims]:
    """Claim those of ``names`` that nobody else holds, until the end at the latest; never waits."""
    folder.mkdir(parents=True, exist_ok=True)
    claims = Claims(folder)
    try:
        for name in dict.fromkeys(names):
            claims.take(name)
        yield claims
    finally:
        claims.release_claims()

"""Who looks at which layer: of all scans on this machine one at a time, so that no layer is read twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from scanning.layers.locks import acquire


class Claims:
    """Blobs that one scan has the right to look at. Held until the end of its block, or until it lets them go."""

    def __init__(self, names: Iterable[str], held: ExitStack) -> None:
        self.names, self._held = frozenset(names), held

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def let_go(self) -> None:
        """Let other scans look at them. Those of this one's layers that are here by then need not be pulled by them."""
        self._held.close()


@contextmanager
def claimed(folder: Path, names: Iterable[str]) -> Iterator[Claims]:
    """Hold those of ``names`` that nobody else holds, and give them; never waits. Locks are files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        yield Claims([name for name in names if _take(folder / name.replace(":", "-"), held)], held)


def _take(path: Path, held: ExitStack) -> bool:
    descriptor = acquire(path)
    if descriptor is None:
        return False

    def give_back() -> None:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)

    held.callback(give_back)
    return True

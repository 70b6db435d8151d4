"""Who looks at which layer: of all scans on this machine one at a time, so that no layer is read twice."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from scanning.layers.locks import acquire


@contextmanager
def claimed(folder: Path, names: Iterable[str]) -> Iterator[list[str]]:
    """Hold those of ``names`` that nobody else holds, and give them; never waits. Locks are files in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        yield [name for name in names if _take(folder / name.replace(":", "-"), stack)]


def _take(path: Path, stack: ExitStack) -> bool:
    descriptor = acquire(path)
    if descriptor is None:
        return False

    def give_back() -> None:
        with suppress(FileNotFoundError):
            path.unlink()
        os.close(descriptor)

    stack.callback(give_back)
    return True

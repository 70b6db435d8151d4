"""Room for layers: a bound on what the store holds, and disk that must stay free for everything else."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from scanning.engines.base import Check
from scanning.layers.errors import StoreFull
from scanning.layers.locks import locked

WAIT_SECONDS = 600.0  # for room that other scans will give back
POLL_SECONDS = 0.2


class Space:
    """The room of the store at ``root``. The length of a partial file is the room taken for it."""

    def __init__(self, root: Path, *, max_bytes: int, min_free_ratio: float, wait_seconds: float) -> None:
        self.root, self.layers, self.max_bytes = root, root / "layers", max_bytes
        self.min_free_ratio, self.wait_seconds = min_free_ratio, wait_seconds

    def take(self, file: BinaryIO, size: int, *, check: Check, own: frozenset[str]) -> None:
        """Make the partial file ``file`` ``size`` bytes long, once there is room; ``own`` are the keys of its lease.

        Raises StoreFull when there is none in time, at once where no other scan could give any back.
        """
        deadline = time.monotonic() + self.wait_seconds
        while True:
            with locked(self.root / "space.lock", check=check):
                shortage = self._shortage(size - os.fstat(file.fileno()).st_size, size, own)
                if shortage is None:
                    os.ftruncate(file.fileno(), size)
                    return
            if not shortage.retry or time.monotonic() >= deadline:
                raise shortage
            check()
            time.sleep(POLL_SECONDS)

    def _shortage(self, more: int, size: int, own: frozenset[str]) -> StoreFull | None:
        mine = others = unwritten = 0
        for folder in folders(self.layers):
            held, promised = _sizes(folder)
            unwritten += promised
            if folder.name in own:
                mine += held
            else:
                others += held
        if mine + more > self.max_bytes:
            return StoreFull(
                f"The layers of this image need more than the {gib(self.max_bytes)} that the layer store may hold.",
                "Raise TALLYMAN_LAYER_STORE_BYTES, where the disk has the room, and scan again.",
                retry=False,
            )
        if mine + others + more > self.max_bytes:
            return StoreFull(
                f"The layer store is full: other scans hold {gib(others)} of {gib(self.max_bytes)}.",
                "Wait for them to end, scan fewer images at a time, or raise TALLYMAN_LAYER_STORE_BYTES.",
            )
        disk = os.statvfs(self.root)
        free = disk.f_bavail * disk.f_frsize - unwritten
        if free - more < self.min_free_ratio * disk.f_blocks * disk.f_frsize:
            return StoreFull(
                f"There is no space on the disk of the layer store: {gib(free)} free, {gib(size)} needed, "
                f"and {self.min_free_ratio:.0%} of it must stay free.",
                f"Make room on the disk that holds {self.root}, and scan again.",
                retry=others > 0,
            )
        return None


@contextmanager
def no_space(root: Path) -> Iterator[None]:
    """Make the system's errors for a full disk a StoreFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreFull(
            "There is no space left on the disk of the layer store.",
            f"Make room on the disk that holds {root}, and scan again.",
        ) from error


def folders(parent: Path) -> list[Path]:
    """Return the folders in ``parent``, none where there is no such folder."""
    try:
        return [folder for folder in parent.iterdir() if folder.is_dir()]
    except FileNotFoundError:
        return []


def _sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes that a layer takes, and how many of them are taken but not yet written."""
    try:
        with os.scandir(folder) as files:
            found = {file.name: file.stat() for file in files}
    except FileNotFoundError:  # dropped meanwhile
        return 0, 0
    partial = found.get("partial")
    unwritten = max(0, partial.st_size - partial.st_blocks * 512) if partial else 0
    return sum(file.st_size for file in found.values()), unwritten


def gib(size: int) -> str:
    """Return ``size`` bytes for a person."""
    return f"{size / (1 << 30):.1f} GiB"

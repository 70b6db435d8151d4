"""Room for layers: a bound on what the store holds, and disk that must stay free for everything else.

Scans take room bit by bit, since how large a layer unpacks is known at its end only. Scans that each hold some and need
more could wait for each other for ever. So of all that wait with room in their hands the oldest lease alone goes on
waiting; the younger ones give back what they hold (:class:`StoreFull` with ``waits``) and begin again later. The oldest
therefore gets all the room there is, and one after the other comes to its end.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from console.processes.file_lock import lock, try_lock
from scanning.engines.base import StopCheck
from scanning.engines.formats.layer_errors import StoreFull
from scanning.layers import messages

ROOM_WAIT_SECONDS = 600.0  # for room that other scans will give back, with room in hand
EMPTY_ROOM_WAIT_SECONDS = 30.0  # the same with none in hand: then the place of the scan is better given to another
POLL_SECONDS = 0.2
WAITING_FILE = "waiting"  # file in the folder of a lease that waits for room
YIELD_MESSAGE = (
    messages.STORE_NEEDED_BY_OLDER_SCAN(),
    messages.STARTS_WHEN_SPACE(),
)
BOOKKEEPING_FILES = frozenset(("lock", WAITING_FILE))  # files in the folder of a lease that are no keys of layers


class StoreSpace:
    """The room of the store at ``root``. The length of a partial file is the room taken for it."""

    def __init__(self, root: Path, *, max_bytes: int, min_free_ratio: float, wait_seconds: float) -> None:
        self.root, self.layers, self.max_bytes = root, root / "layers", max_bytes
        self.min_free_ratio, self.wait_seconds = min_free_ratio, wait_seconds

    def take(self, file: BinaryIO, size: int, *, check: StopCheck, lease: Path) -> None:
        """Make the partial file ``file`` ``size`` bytes long, once there is room; ``lease`` is the folder of its lease.

        Raises StoreFull where there is none in time, where an older lease needs what this one holds (both with
        ``waits``), and at once where no other scan could give any back.
        """
        started = time.monotonic()
        while True:
            with lock(self.root / "space.lock", check=check):
                shortage = self._shortage(size - os.fstat(file.fileno()).st_size, size, keys_of(lease))
                yields = self.must_yield(lease)
                if shortage is None and not yields:
                    os.ftruncate(file.fileno(), size)
                    return
                holds = self.holds_room(lease)
                wait_seconds = self.wait_seconds if holds else min(self.wait_seconds, EMPTY_ROOM_WAIT_SECONDS)
                if shortage is not None and not shortage.waits:
                    raise shortage
                if (yields and holds) or time.monotonic() - started >= wait_seconds:
                    raise shortage or StoreFull(*YIELD_MESSAGE, waits=True)
                if holds:
                    (lease / WAITING_FILE).touch()
            check()
            time.sleep(POLL_SECONDS)

    def require_fitting(self, size: int, *, lease: Path) -> None:
        """Raise StoreFull where a further layer of ``size`` bytes could never fit beside those of its lease."""
        if sum(_sizes(self.layers / key)[0] for key in keys_of(lease)) + size > self.max_bytes:
            raise self._never_fits()

    def _never_fits(self) -> StoreFull:
        return StoreFull(
            messages.IMAGE_TOO_LARGE(value=gib(self.max_bytes)),
            messages.RAISE_STORE_BYTES(),
            retry=False,
        )

    def holds_room(self, lease: Path) -> bool:
        """Whether layers of the lease take room."""
        return any(_sizes(self.layers / key)[0] for key in keys_of(lease))

    def must_yield(self, lease: Path) -> bool:
        """Whether an older lease waits for room, so that this one must not wait with room in hand."""
        mine = _age_key(lease)
        others = (other for other in subfolders(lease.parent) if other != lease and (other / WAITING_FILE).exists())
        older = (other for other in others if mine and (age := _age_key(other)) and age < mine)
        return any(_is_alive(other) for other in older)

    def _shortage(self, more: int, size: int, own: frozenset[str]) -> StoreFull | None:
        mine = others = unwritten = 0
        for folder in subfolders(self.layers):
            held, promised = _sizes(folder)
            unwritten += promised
            if folder.name in own:
                mine += held
            else:
                others += held
        if mine + more > self.max_bytes:
            return self._never_fits()
        if mine + others + more > self.max_bytes:
            return StoreFull(
                messages.STORE_FULL(value=gib(others), value2=gib(self.max_bytes)),
                messages.WAIT_OR_RAISE_STORE_BYTES(),
                waits=True,
            )
        disk = os.statvfs(self.root)
        free = disk.f_bavail * disk.f_frsize - unwritten
        if free - more < self.min_free_ratio * disk.f_blocks * disk.f_frsize:
            return StoreFull(
                messages.DISK_TOO_FULL(value=gib(free), value2=gib(size), min_free_ratio=f"{self.min_free_ratio:.0%}"),
                messages.FREE_SPACE_ON_DISK(root=self.root),
                retry=others > 0,
                waits=others > 0,
            )
        return None


@contextmanager
def as_store_full(root: Path) -> Iterator[None]:
    """Make the system's errors for a full disk a StoreFull."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise StoreFull(
            messages.DISK_FULL(),
            messages.FREE_SPACE_ON_DISK(root=root),
        ) from error


def subfolders(parent: Path) -> list[Path]:
    """Return the folders in ``parent``, none where there is no such folder."""
    try:
        return [folder for folder in parent.iterdir() if folder.is_dir()]
    except FileNotFoundError:
        return []


def keys_of(lease: Path) -> frozenset[str]:
    """Return the keys of the layers that the lease in this folder needs."""
    return frozenset(marker.name for marker in lease.iterdir()) - BOOKKEEPING_FILES


def _age_key(lease: Path) -> tuple[int, str] | None:
    """Return what orders leases by age, the oldest first; None where this one is gone."""
    try:
        return int((lease / "lock").read_text() or 0), lease.name
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def _is_alive(lease: Path) -> bool:
    """Whether the owner of the lease lives; of a dead one, all is left until somebody sweeps it."""
    if held := try_lock(lease / "lock"):
        held.release()
    return held is None


def _sizes(folder: Path) -> tuple[int, int]:
    """Return the bytes that a layer takes, and how many of them are taken but not yet written."""
    try:
        with os.scandir(folder) as files:
            found = {file.name: file.stat() for file in files}
    except FileNotFoundError:  # dropped meanwhile
        return 0, 0
    partial = found.get("partial")
    unwritten = max(0, partial.st_size - partial.st_blocks * 512) if partial else 0
    return sum(file.st_size for name, file in found.items() if name != "lock"), unwritten


def gib(size: int) -> str:
    """Return ``size`` bytes for a person."""
    return f"{size / (1 << 30):.1f} GiB"

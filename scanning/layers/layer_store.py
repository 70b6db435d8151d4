"""The layer store: uncompressed layers on disk, there as long as a scan needs them and not longer.

    <root>/lock                              short: for the making and the sweeping of leases
    <root>/space.lock                        short: for taking room
    <root>/leases/<owner>-<random>/lock      held by the owner while it lives; says when it began (ns)
    <root>/leases/<owner>-<random>/waiting   this lease waits for room, and holds some
    <root>/leases/<owner>-<random>/<key>     this lease needs the layer <key>
    <root>/looks/<source>/<blob>             held by the scan whose engines look at the layer
    <root>/layers/<key>/lock                 held while the layer is pulled, and for short to take or leave it
    <root>/layers/<key>/partial              being pulled; its length is the room taken for it
    <root>/layers/<key>/<diff ID>            complete and verified

``<key>`` is where the layer is pulled from and the digest of its blob, never the diff ID that a config claims for it: a
pull from elsewhere, however slow, holds up nobody who pulls the same from a registry of his own. All locks are the
system's (``flock``): what a dead process leaves behind is recognised by its lock being free, and swept.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from console.processes.file_lock import POLL_SECONDS, lock, try_lock
from scanning.engines.base import StopCheck
from scanning.engines.formats.decompress import decompressed
from scanning.engines.formats.layer_errors import CorruptLayer, DiffIdMismatch, LayerError, LayerTooLarge, StoreFull
from scanning.layers import messages
from scanning.layers.claims import Claims, claim_layers
from scanning.layers.space import (
    ROOM_WAIT_SECONDS,
    WAITING_FILE,
    YIELD_MESSAGE,
    StoreSpace,
    as_store_full,
    gib,
    keys_of,
    subfolders,
)

DIGEST_PATTERN = re.compile(r"(sha256):([0-9a-f]{64})|(sha512):([0-9a-f]{128})")
OWNER_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

MAX_COMPRESSION_RATIO = 200  # uncompressed to compressed …
RATIO_FREE_BYTES = 256 << 20  # … beyond so many uncompressed bytes
MAX_LAYER_BYTES = 64 << 30  # uncompressed
ROOM_STEP_BYTES = 64 << 20  # room is taken in steps of this
MAX_CLAIMED_ROOM_BYTES = 256 << 20  # of room for what a manifest merely says; more is taken as it comes
SHORT_WAIT_SECONDS = 0.5  # others take room for a moment at a time; only what lasts is shown as a wait


@dataclass(frozen=True)
class StoredLayerFile:
    """A complete, verified, uncompressed layer. ``path`` may be read while the lease is held."""

    path: Path
    diff_id: str
    size: int  # uncompressed bytes


class LayerStore:
    """Layers under ``root``, shared by all processes of this machine, never more than ``max_bytes`` of them.

    New layers are also held back while less than ``min_free_ratio`` of the disk would be free. ``wait_seconds`` bounds
    the wait for room.
    """

    def __init__(
        self,
        root: Path,
        *,
        max_bytes: int,
        min_free_ratio: float = 0.10,
        max_layer_bytes: int = MAX_LAYER_BYTES,
        wait_seconds: float = ROOM_WAIT_SECONDS,
    ) -> None:
        self.root, self.layers, self.leases = root, root / "layers", root / "leases"
        self.max_layer_bytes = max_layer_bytes
        self.space = StoreSpace(root, max_bytes=max_bytes, min_free_ratio=min_free_ratio, wait_seconds=wait_seconds)

    @contextmanager
    def lease(self, owner: str, *, source: str = "") -> Iterator[LayerLease]:
        """Give a lease; what was taken with it is given back at the end, whatever the end.

        ``owner`` names who works, for the eye (``scan-12-1``): letters, digits, ``.``, ``_`` and ``-``. ``source``
        names where it pulls from, likewise.
        """
        if not OWNER_PATTERN.fullmatch(owner) or (source and not OWNER_PATTERN.fullmatch(source)):
            raise ValueError(f"no name for a lease: {owner!r}")
        self.sweep()
        with as_store_full(self.root), lock(self.root / "lock"):
            folder = self.leases / f"{owner}-{secrets.token_hex(4)}"
            folder.mkdir(parents=True)
            held = try_lock(folder / "lock")
            (folder / "lock").write_text(str(time.time_ns()))
        if held is None:
            raise RuntimeError(f"somebody else holds the new lease {folder}")
        with held:
            try:
                yield LayerLease(self, folder, source)
            finally:
                self._end(folder)

    def claims(self, digests: Iterable[str], *, source: str = "") -> AbstractContextManager[Claims]:
        """Hold the right to look at those of these blobs at which no other scan of this machine that pulls from
        ``source`` looks, and give them.

        Never waits: ask again later for the others, with nothing in hand.
        """
        return claim_layers(self.root / "looks" / source, digests)

    def sweep(self) -> int:
        """Remove what dead processes left behind. Returns how many leases and stray layers that were."""
        removed = 0
        for folder in subfolders(self.leases):
            with lock(self.root / "lock"):
                dead = try_lock(folder / "lock")
            if dead is None:
                continue
            with dead:
                self._end(folder)
                removed += 1
        return removed + sum(self._drop(folder.name) for folder in subfolders(self.layers))

    def _end(self, folder: Path) -> None:
        (folder / WAITING_FILE).unlink(missing_ok=True)
        keys = sorted(keys_of(folder))
        for key in keys:
            (folder / key).unlink()
        for key in keys:
            self._drop(key)
        _remove(folder)

    def _drop(self, key: str) -> bool:
        """Remove a layer that no lease needs. Returns whether it did.

        Who holds its lock without needing it does so for a moment, so this waits: else of two leases that end
        together each could leave the layer to the other.
        """
        folder = self.layers / key
        while folder.is_dir() and not self._needed(key):
            if (held := try_lock(folder / "lock")) is None:
                time.sleep(POLL_SECONDS)
                continue
            with held:
                if not self._needed(key):
                    _remove(folder)
                    return True
        return False

    def _needed(self, key: str) -> bool:
        return any((lease / key).exists() for lease in subfolders(self.leases))


class LayerLease:
    """What one scan has taken from the store. May be used by several threads."""

    def __init__(self, store: LayerStore, folder: Path, source: str) -> None:
        self._store, self._folder, self._source = store, folder, source
        self._counting = threading.Lock()
        self._waiting = 0  # threads that wait for room

    @property
    def waits_for_room(self) -> bool:
        """Whether a pull of this lease waits for room now."""
        return self._waiting > 0

    def get(
        self,
        *,
        digest: str,
        size: int | None,
        diff_id: str,
        open_blob: Callable[[], AbstractContextManager[BinaryIO]],
        check: StopCheck,
        progress: Callable[[int], None],
    ) -> StoredLayerFile:
        """Return the layer of the blob ``digest``, pulled by ``open_blob`` if nobody has it yet.

        ``size`` is that of the blob, None where its manifest does not tell (schema 1); ``diff_id`` is what the config
        claims, "" where it does not. ``open_blob`` gives the blob as it is in the registry and
        itself verifies it against ``digest``. ``progress`` gets the number of compressed bytes read so far of this
        layer. Where another process pulls the same layer from the same source, this waits for it, calling ``check``.
        Raises LayerError, and what ``open_blob`` and ``check`` raise; nothing
        partial stays behind.
        """
        key = _key(self._source, digest, _algorithm(diff_id))
        with as_store_full(self._store.root), self._hold(key, check) as folder:
            (self._folder / folder.name).touch()
            if (file := _complete_file(folder)) is not None:
                return _check_diff_id(file, diff_id)
            try:
                return self._pull(folder, size, diff_id, open_blob, check, progress)
            finally:
                (folder / "partial").unlink(missing_ok=True)

    def release_file(self, file: StoredLayerFile) -> None:
        """Need the layer no more, whose file must not be read after that. It goes unless another lease needs it."""
        key = file.path.parent.name
        (self._folder / key).unlink(missing_ok=True)
        self._store._drop(key)

    @contextmanager
    def _hold(self, key: str, check: StopCheck) -> Iterator[Path]:
        """Hold the lock of a folder for the layer ``key``, and give the folder."""
        folder = self._store.layers / key

        def check_room() -> None:
            check()
            if self._store.space.must_yield(self._folder) and self._store.space.holds_room(self._folder):
                raise StoreFull(*YIELD_MESSAGE, waits=True)

        with lock(folder / "lock", check=check_room):
            yield folder

    def _pull(
        self,
        folder: Path,
        size: int | None,
        diff_id: str,
        open_blob: Callable[[], AbstractContextManager[BinaryIO]],
        check: StopCheck,
        progress: Callable[[int], None],
    ) -> StoredLayerFile:
        partial = folder / "partial"
        hasher = hashlib.new(_algorithm(diff_id))
        with partial.open("wb", buffering=0) as file:
            claimed = max(size or 0, 1)
            self._store.space.require_fitting(claimed, lease=self._folder)
            taken, written = min(claimed, MAX_CLAIMED_ROOM_BYTES), 0
            self._room(file, taken, check)
            with open_blob() as blob:
                source = _CountedBlob(blob, size, check, progress)
                with closing(decompressed(source)) as chunks:
                    for chunk in chunks:
                        check()
                        written += len(chunk)
                        self._bound(written, source.count)
                        if written > taken:
                            taken = max(taken + ROOM_STEP_BYTES, written)
                            self._room(file, taken, check)
                        hasher.update(chunk)
                        _write(file, chunk)
            file.truncate(written)
        found = f"{hasher.name}:{hasher.hexdigest()}"
        complete = _check_diff_id(StoredLayerFile(folder / _file_name(found), found, written), diff_id)
        partial.rename(complete.path)
        return complete

    def _room(self, file: BinaryIO, size: int, check: StopCheck) -> None:
        is_counted, began = False, time.monotonic()

        def waits() -> None:
            nonlocal is_counted
            if not is_counted and time.monotonic() - began > SHORT_WAIT_SECONDS:
                is_counted = True
                self._count_waiting(1)
            check()

        try:
            self._store.space.take(file, size, check=waits, lease=self._folder)
        finally:
            if is_counted:
                self._count_waiting(-1)

    def _count_waiting(self, more: int) -> None:
        with self._counting:
            self._waiting += more
            if not self._waiting:
                (self._folder / WAITING_FILE).unlink(missing_ok=True)

    def _bound(self, written: int, read: int) -> None:
        if written > self._store.max_layer_bytes:
            raise LayerTooLarge(messages.LARGER_THAN(size=gib(self._store.max_layer_bytes)))
        if written > RATIO_FREE_BYTES and written > MAX_COMPRESSION_RATIO * max(read, 1):
            raise LayerTooLarge(messages.UNPACKS_TO_TOO_MUCH(ratio=MAX_COMPRESSION_RATIO))


class _CountedBlob:
    """A blob that tells how far it is read, and that stops where the work must stop."""

    def __init__(self, blob: BinaryIO, size: int | None, check: StopCheck, progress: Callable[[int], None]) -> None:
        self._blob, self._size, self._check, self._progress = blob, size, check, progress
        self.count = 0

    def read(self, size: int = -1, /) -> bytes:
        self._check()
        chunk = self._blob.read(size)
        self.count += len(chunk)
        if self._size is not None and self.count > self._size:
            raise CorruptLayer(messages.LONGER_THAN_MANIFEST_SAYS(size=self._size))
        if chunk:
            self._progress(self.count)
        return chunk


def _complete_file(folder: Path) -> StoredLayerFile | None:
    for file in folder.iterdir():
        if file.name not in ("lock", "partial"):
            return StoredLayerFile(file, file.name.replace("-", ":", 1), file.stat().st_size)
    return None


def _check_diff_id(file: StoredLayerFile, diff_id: str) -> StoredLayerFile:
    if diff_id and file.diff_id != diff_id:
        raise DiffIdMismatch(diff_id, file.diff_id)
    return file


def _key(source: str, digest: str, algorithm: str) -> str:
    """Return the name of a blob's folder: one for each source, and each algorithm that diff IDs are told in."""
    parts = (source, _file_name(digest), "" if algorithm == "sha256" else algorithm)
    return "-".join(part for part in parts if part)


def _algorithm(diff_id: str) -> str:
    return _file_name(diff_id).partition("-")[0] if diff_id else "sha256"


def _file_name(digest: str) -> str:
    if not DIGEST_PATTERN.fullmatch(digest):
        raise LayerError(
            messages.DIGEST_UNKNOWN(value=f"{digest[:150]!r}"),
            messages.BUILD_WITH_SHA256(),
        )
    return digest.replace(":", "-")


def _write(file: BinaryIO, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[file.write(view) :]


def _remove(folder: Path) -> None:
    """Remove a folder whose lock is held: the lock last, so that nobody who gets a new one finds the old content."""
    for file in folder.iterdir():
        if file.name != "lock":
            file.unlink()
    (folder / "lock").unlink()
    with suppress(OSError):  # another has made a new lock in it already
        folder.rmdir()

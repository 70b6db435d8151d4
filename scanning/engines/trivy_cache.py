"""Trivy's cache, one folder for each worker at work: Trivy locks a cache, and a second process fails after 5 seconds.

A slot is taken by a file lock, which the kernel gives back however the worker ends. Beside Trivy's own cache a slot
keeps a small file for each layer that it knows, with what is shown of the secrets in that layer: so a layer that Trivy
knows need not be pulled to show them again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from scanning.engines.base import EngineError

MAX_SLOTS = 256
CACHE_BYTES = 4 * 1024**3  # a cache that has grown beyond starts anew


@dataclass(frozen=True)
class Shown:
    """What is kept of one secret: the line with the secret masked, and its keyed hash."""

    masked: str
    fingerprint: str


class Slot:
    """A cache folder, held by this process alone."""

    def __init__(self, folder: Path, variant: str) -> None:
        self.folder, self._variant = folder, variant

    @property
    def cache(self) -> Path:
        """The folder for ``--cache-dir``."""
        return self.folder / "trivy"

    def knows(self, diff_id: str) -> bool:
        """Return whether Trivy has analysed the layer in this cache, with this variant of settings."""
        return self._note(diff_id).exists()

    def secrets(self, diff_id: str) -> dict[str, Shown]:
        """Return what is kept of the layer's secrets, by the key under which it was kept; {} where nothing is."""
        try:
            kept = json.loads(self._note(diff_id).read_bytes())
            return {key: Shown(masked, fingerprint) for key, (masked, fingerprint) in kept.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def remember(self, diff_id: str, secrets: Mapping[str, Shown]) -> None:
        """Note that Trivy knows the layer, and what to show of its secrets."""
        note = self._note(diff_id)
        note.parent.mkdir(parents=True, exist_ok=True)
        partial = note.with_suffix(".new")
        partial.write_text(json.dumps({key: [shown.masked, shown.fingerprint] for key, shown in secrets.items()}))
        partial.replace(note)

    def forget(self, diff_ids: Collection[str]) -> None:
        """Note that these layers must be pulled again."""
        for diff_id in diff_ids:
            self._note(diff_id).unlink(missing_ok=True)

    def reset(self) -> None:
        """Throw away the cache and all notes: the cache is damaged, or too large."""
        for name in ("trivy", "known"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def prepare(self, database: Path | None) -> None:
        """Make the cache folder with a link to the database (None: none is needed) and an empty index of Java archives.

        Without an index of Java archives Trivy fails on every image that holds one; with an empty one it knows archives
        by their own manifest and properties.
        """
        with contextlib.suppress(FileNotFoundError):
            if (self.cache / "fanal" / "fanal.db").stat().st_size > CACHE_BYTES:
                self.reset()
        self.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make_java_index(self.cache / "java-db")
        link = self.cache / "db"
        if link.is_symlink():
            link.unlink()
        elif link.exists():
            shutil.rmtree(link)
        if database is not None:
            link.symlink_to(database, target_is_directory=True)

    def _note(self, diff_id: str) -> Path:
        name = diff_id.removeprefix("sha256:")
        return self.folder / "known" / self._variant / name[:2] / f"{name}.json"


@contextlib.contextmanager
def take_slot(root: Path, *, variant: str, diff_ids: Collection[str]) -> Iterator[Slot]:
    """Hold the free slot that knows most of ``diff_ids``, or a new one where none is free.

    ``variant`` names the settings that a note is good for. Raises EngineError where there is no room for a slot.
    """
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        slots = [Slot(folder, variant) for folder in root.glob("slot-*")]
    except OSError as error:
        raise EngineError(
            f"{root} cannot be used: {error.strerror}.", "Check the rights on the data folder."
        ) from error
    slots.sort(key=lambda slot: (-sum(map(slot.knows, diff_ids)), slot.folder.name))
    new = (Slot(root / f"slot-{number}", variant) for number in range(MAX_SLOTS))
    for slot in (*slots, *new):
        slot.folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(slot.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            yield slot
            return
        finally:
            os.close(descriptor)
    raise EngineError("All caches of Trivy are in use.", "Run fewer workers on this machine.", retry=True)


def _make_java_index(folder: Path) -> None:
    if (folder / "metadata.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "trivy-java.db")) as index:
        index.executescript(
            """
            CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
            CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT);
            """
        )
    years = {"UpdatedAt": "2000-01-01T00:00:00Z", "DownloadedAt": "2000-01-01T00:00:00Z"}
    (folder / "metadata.json").write_text(json.dumps({"Version": 1, "NextUpdate": "2099-01-01T00:00:00Z", **years}))

"""Trivy's cache, made anew for each run of what is known of its layers, and read afterwards for what is new.

Trivy keeps what it has analysed of a layer in a bbolt file that one process at a time may hold. So none is kept: before
a run the file is written with the layers that are known, by whichever worker, and given to Trivy alone. A layer in it
need be neither pulled nor read again. What is known lies in a ``LayerCache``, which all workers share.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from scanning.engines.trivy import bbolt_writer
from scanning.engines.trivy.bbolt import BboltError, Bucket
from scanning.engines.trivy.vulndb_folder import VULNDB_SCHEMA

NOBODY = "nobody"  # owner of notes that are good for those images alone that have all layers of the run
MAX_BLOB_BYTES = 64 * 1024**2  # bytes of what Trivy tells of one layer


@dataclass(frozen=True)
class MaskedSecret:
    """What is kept of one secret: the line with the secret masked, and its keyed hash."""

    masked: str
    fingerprint: str


@dataclass(frozen=True)
class CachedLayer:
    """What is known of a layer: Trivy's own record of it, and what is shown of each secret by the secret's key."""

    key: str  # of the record in Trivy's cache
    record: bytes  # JSON
    secrets: Mapping[str, MaskedSecret] = field(default_factory=dict)
    databases: Mapping[str, str] = field(default_factory=dict)  # of package managers: path → package_databases.Damage
    warnings: Mapping[str, str] = field(default_factory=dict)  # of Trivy on files of the layer: path → what it says
    read_with: tuple[str, ...] = ()  # all layers of the run in which it was read, itself among them; (): alone


class LayerCache(Protocol):
    """Keeps notes of layers for all workers. ``variant`` names the engine and settings that a note is good for.

    ``owner`` says whose image asks: it gets what was read alone, or in a run for this owner, or in one of which it has
    all layers itself. In any other run, a layer that took Trivy over would speak for layers of others.
    """

    def cached(self, variant: str, diff_ids: Collection[str], *, owner: str) -> frozenset[str]:
        """Return those of an image's layers of which there is a note."""

    def load(self, variant: str, diff_ids: Collection[str], *, owner: str) -> Mapping[str, CachedLayer]:
        """Return the notes there are of an image's layers."""

    def save(self, variant: str, notes: Mapping[str, CachedLayer], *, owner: str) -> None:
        """Keep notes by diff ID, in place of older ones; ``owner`` is for whom they were read, "" where each alone."""

    def discard(self, variant: str, diff_ids: Collection[str]) -> None:
        """Have these layers pulled and read again."""


class NullLayerCache:
    """Knows nothing and keeps nothing."""

    def cached(self, variant: str, diff_ids: Collection[str], *, owner: str) -> frozenset[str]:
        """Return none of them."""
        return frozenset()

    def load(self, variant: str, diff_ids: Collection[str], *, owner: str) -> Mapping[str, CachedLayer]:
        """Return no notes."""
        return {}

    def save(self, variant: str, notes: Mapping[str, CachedLayer], *, owner: str) -> None:
        """Do nothing."""

    def discard(self, variant: str, diff_ids: Collection[str]) -> None:
        """Do nothing."""


def make_cache_folder(folder: Path, *, notes: Collection[CachedLayer], database: Path | None, java_index: Path) -> None:
    """Make the folder for ``--cache-dir`` with links to the database (None: none is needed) and the Java index."""
    (folder / "fanal").mkdir(parents=True)
    if notes:
        records = {note.key.encode(): note.record for note in notes}
        bbolt_writer.write(folder / "fanal" / "fanal.db", {b"artifact": {}, b"blob": records})
    if database is not None:
        (folder / "db").symlink_to(database, target_is_directory=True)
    (folder / "java-db").symlink_to(java_index, target_is_directory=True)


def read_cache(folder: Path, *, known: Collection[str] = ()) -> dict[str, tuple[str, bytes]]:
    """Return Trivy's records by diff ID, each with its key; {} where the cache cannot be read.

    Those under the ``known`` keys, which were written by us, are left out.
    """
    found: dict[str, tuple[str, bytes]] = {}
    try:
        with (folder / "fanal" / "fanal.db").open("rb") as file:
            for key, value in Bucket.open(file).bucket(b"blob").items():
                if isinstance(value, bytes) and len(value) <= MAX_BLOB_BYTES and key.decode() not in known:
                    found[str(json.loads(value)["DiffID"])] = (key.decode(), value)
    except (OSError, BboltError, KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found


def hidden_paths(note: CachedLayer) -> list[str]:
    """Return the paths that a layer hides of those below it, with all that lies below them."""
    if b'"OpaqueDirs"' not in note.record and b'"WhiteoutFiles"' not in note.record:
        return []
    try:
        record = json.loads(note.record)
        hidden = (*(record.get("OpaqueDirs") or ()), *(record.get("WhiteoutFiles") or ()))
        return [str(each).removesuffix("/") for each in hidden]
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []


def without_files(record: bytes) -> bytes:
    """Return Trivy's record of a layer without the names of the files of each package of the system.

    They are three quarters of it, and then of each report on an image with the layer, and are asked for by nobody:
    Trivy itself needs them while it reads the layer, to leave out what the system's packages have brought.
    """
    if b'"InstalledFiles"' not in record:
        return record
    try:
        told = json.loads(record)
        for group in told.get("PackageInfos") or []:
            for package in group.get("Packages") or []:
                package.pop("InstalledFiles", None)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return record  # of a form that is not known: as it is
    return json.dumps(told, separators=(",", ":")).encode()


def make_java_index(root: Path) -> Path:
    """Return the folder of an empty index of Java archives below ``root``, made where there is none.

    Without an index Trivy fails on every image that holds a Java archive; with an empty one it knows archives by their
    own manifest and properties.
    """
    return _made_once(root / "java-db", _write_java_index)


def make_empty_database(root: Path) -> Path:
    """Return the folder of a database that lists no vulnerabilities below ``root``, made where there is none."""
    return _made_once(root / "no-vulnerabilities", _write_empty_database)


def _made_once(folder: Path, write: Callable[[Path], None]) -> Path:
    """Return ``folder``; what ``write`` makes takes its place as a whole where it is not there. Raises OSError."""
    if folder.exists():
        return folder
    made = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}")
    made.mkdir(mode=0o700)
    write(made)
    try:
        os.rename(made, folder)  # noqa: PTH104 (fails where another process was first)
    except OSError:
        shutil.rmtree(made)
        if not folder.exists():
            raise
    return folder


def _write_java_index(folder: Path) -> None:
    with contextlib.closing(sqlite3.connect(folder / "trivy-java.db")) as index:
        index.executescript(
            """
            CREATE TABLE artifacts(id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT);
            CREATE TABLE indices(artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT);
            """
        )
    _write_metadata(folder, version=1)


def _write_empty_database(folder: Path) -> None:
    bbolt_writer.write(folder / "trivy.db", {b"vulnerability": {}, b"data-source": {}})
    _write_metadata(folder, version=VULNDB_SCHEMA)


def _write_metadata(folder: Path, *, version: int) -> None:
    years = {"UpdatedAt": "2000-01-01T00:00:00Z", "DownloadedAt": "2000-01-01T00:00:00Z"}
    (folder / "metadata.json").write_text(
        json.dumps({"Version": version, "NextUpdate": "2099-01-01T00:00:00Z", **years})
    )

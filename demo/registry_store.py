"""What the small distribution server holds: blobs and manifests by digest, repositories and their tags."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class StoredManifest:
    """A manifest or index as it was put, byte for byte."""

    digest: str
    media_type: str
    content: bytes


@dataclass(frozen=True)
class StoredBlob:
    """A blob, in memory or in a file."""

    digest: str
    size: int
    source: bytes | Path

    def open(self) -> BinaryIO:
        """Return a new reader at the first byte."""
        return io.BytesIO(self.source) if isinstance(self.source, bytes) else self.source.open("rb")


@dataclass
class _Repository:
    manifests: dict[str, StoredManifest] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    blobs: set[str] = field(default_factory=set)


class RegistryStore:
    """Content by digest. With a ``folder``, blobs lie there as files; else in memory, or where a given path points.

    May be used by many threads.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder / "blobs" / "sha256" if folder else None
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._blobs: dict[str, StoredBlob] = {}
        self._repositories: dict[str, _Repository] = {}

    def put_blob(self, data: bytes | Path) -> str:
        """Keep ``data`` and return its sha256 digest. Putting the same content again changes nothing."""
        digest, size = _measure(data)
        with self._lock:
            if digest not in self._blobs:
                self._blobs[digest] = StoredBlob(digest, size, self._place(digest, data))
        return digest

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        """Keep a manifest under a tag, or under its digest alone, and return the digest.

        The blobs it names become readable in ``repository``, whether they are there already or not.
        """
        by_digest = ":" in reference
        digest = reference if by_digest else "sha256:" + hashlib.sha256(content).hexdigest()
        with self._lock:
            held = self._repositories.setdefault(repository, _Repository())
            held.manifests[digest] = StoredManifest(digest, media_type, content)
            held.blobs.update(_named_blobs(content))
            if not by_digest:
                held.tags[reference] = digest
        return digest

    def remove_tag(self, repository: str, tag: str) -> None:
        """Forget a tag. Its manifest stays, as in a registry without garbage collection."""
        with self._lock:
            self._repositories[repository].tags.pop(tag)

    def remove_repository(self, repository: str) -> None:
        """Forget a repository with all its tags and manifests."""
        with self._lock:
            self._repositories.pop(repository)

    def repositories(self) -> list[str]:
        """Names in lexical order."""
        with self._lock:
            return sorted(self._repositories)

    def tags(self, repository: str) -> list[str] | None:
        """Tags in lexical order; None for an unknown repository."""
        with self._lock:
            held = self._repositories.get(repository)
            return sorted(held.tags) if held else None

    def manifest(self, repository: str, reference: str) -> StoredManifest | None:
        """The manifest of a tag or a digest, or None."""
        with self._lock:
            held = self._repositories.get(repository)
            return held.manifests.get(held.tags.get(reference, reference)) if held else None

    def blob(self, repository: str, digest: str) -> StoredBlob | None:
        """A blob that some manifest of this repository names, or None: access to blobs is per repository."""
        with self._lock:
            held = self._repositories.get(repository)
            return self._blobs.get(digest) if held and digest in held.blobs else None

    def _place(self, digest: str, data: bytes | Path) -> bytes | Path:
        if self._folder is None:
            return data
        target = self._folder / digest.partition(":")[2]
        if not target.exists():
            descriptor, name = tempfile.mkstemp(dir=self._folder)
            with os.fdopen(descriptor, "wb") as out:
                if isinstance(data, bytes):
                    out.write(data)
                else:
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, out, CHUNK_BYTES)
            Path(name).replace(target)
        return target


def _measure(data: bytes | Path) -> tuple[str, int]:
    if isinstance(data, bytes):
        return "sha256:" + hashlib.sha256(data).hexdigest(), len(data)
    with data.open("rb") as source:
        return "sha256:" + hashlib.file_digest(source, "sha256").hexdigest(), data.stat().st_size


def _named_blobs(content: bytes) -> Iterator[str]:
    """The digests of config and layers that a manifest names; nothing for what cannot be read."""
    try:
        manifest: Any = json.loads(content)
        entries = [manifest.get("config") or {}, *(manifest.get("layers") or []), *(manifest.get("blobs") or [])]
        yield from (entry["digest"] for entry in entries if "digest" in entry)
        yield from (entry["blobSum"] for entry in manifest.get("fsLayers") or [])
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return

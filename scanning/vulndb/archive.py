"""The vulnerability database as one file for other machines: packed here, published, fetched there.

The same database gives the same bytes wherever it is packed, so their SHA-256 tells databases apart.
"""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from isal import igzip

from console.machines import content, versions
from console.machines.content import ContentError
from console.machines.models import SharedFile
from scanning.engines.base import StopCheck

__all__ = ["VULNDB_VERSION_NAME", "ContentError", "fetch", "publish", "read_digest", "write_digest"]

VULNDB_VERSION_NAME = "database"  # name of its version
VULNDB_FILES = ("metadata.json", "trivy.db")
MAX_ARCHIVE_BYTES = 2 * 1024**3  # the public database has about 100 MB when it is packed
DIGEST_FILE = "archive.sha256"  # in the folder of a database


def publish(database: Path, *, scratch: Path, version: str, check: StopCheck) -> str:
    """Have all machines use the database in this folder; return the SHA-256 of its archive.

    ``scratch`` is a folder of the caller's. Raises ContentError, OSError, and whatever ``check`` raises.
    """
    archive = scratch / "shared.tar.gz"
    try:
        _pack(database, archive, check)
        file = content.store(archive, limit=MAX_ARCHIVE_BYTES, check=check)
    finally:
        archive.unlink(missing_ok=True)
    versions.publish(VULNDB_VERSION_NAME, version=version, file=file)
    return file.sha256


def fetch(file: SharedFile, target: Path, *, check: StopCheck) -> None:
    """Write the archive to ``target``. Raises ContentError, OSError, and whatever ``check`` raises."""
    content.fetch(file, target, limit=MAX_ARCHIVE_BYTES, check=check)


def write_digest(database: Path, sha256: str) -> None:
    """Note in the folder of a database by which archive other machines have it."""
    (database / DIGEST_FILE).write_text(sha256)


def read_digest(database: Path) -> str:
    """Return what :func:`write_digest` has noted, "" where it has not."""
    try:
        return (database / DIGEST_FILE).read_text().strip()
    except OSError:
        return ""


def _pack(database: Path, target: Path, check: StopCheck) -> None:
    with (
        target.open("xb") as raw,
        igzip.IGzipFile("", "wb", 2, raw, 0) as packed,  # type: ignore[no-untyped-call]
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name in VULNDB_FILES:
            path = database / name
            member = tarfile.TarInfo(name)  # without owner and times
            member.size = path.stat().st_size
            with _Checked(path, check) as source:
                archive.addfile(member, source)


class _Checked(io.BufferedReader):
    """A file that is read only as long as ``check`` raises nothing."""

    def __init__(self, path: Path, check: StopCheck) -> None:
        super().__init__(io.FileIO(path))
        self._check = check

    def read(self, size: int | None = -1, /) -> bytes:
        self._check()
        return super().read(size)

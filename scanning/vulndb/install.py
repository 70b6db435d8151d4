"""The vulnerability database on disk: installed beside the old one, checked, and swapped in one step.

<data>/trivy/db-<version>-<random>/   trivy.db and metadata.json; never changed once there
<data>/trivy/current                a link to the one in use

Where several machines share one PostgreSQL, what is installed on one is installed on all: see scanning.fleet.versions.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

from console.i18n.message_codes import NOTHING, Message
from console.jobs.errors import JobFailure
from console.machines.identity import has_shared_database
from console.machines.models import SharedFile
from console.processes.file_lock import try_lock
from registries.clients import open_anonymous
from registries.oci import ImageManifest, Reference, parse_manifest
from registries.oci.errors import NotFound, RegistryError
from scanning.engines.base import EngineError, StopCheck
from scanning.engines.trivy.vulndb_folder import VulndbFacts, read_facts
from scanning.vulndb import archive as vulndb_archive
from scanning.vulndb import messages
from scanning.vulndb.check import check_vulndb, make_trivy

VULNDB_FILES = ("trivy.db", "metadata.json")
MAX_VULNDB_BYTES = 8 * 1024**3  # the public database has about 1 GB
COPY_CHUNK_BYTES = 4 * 1024**2
DOWNLOAD_TIMEOUT_SECONDS = 3600.0
VULNDB_SCHEMA = "2"  # the tag, where the settings name none
VULNDB_MEDIA_TYPE = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"


class VulndbError(JobFailure):
    """A database could not be had or is not good; the one in use is as it was."""


def folder() -> Path:
    """Return where the database in use lies: a link, which may lead nowhere before the first update."""
    return _root() / "current"


def current_facts() -> VulndbFacts | None:
    """Return the facts of the database in use, or None where there is none that can be read."""
    try:
        return read_facts(folder())
    except EngineError:
        return None


def install(source: Path, *, check: StopCheck = lambda: None) -> VulndbFacts:
    """Check the database at ``source``, put it in use, and return its facts.

    ``source`` is a folder with trivy.db and metadata.json, or that trivy.db with metadata.json beside it, or the
    tar.gz that holds both, as registries serve it. Raises DatabaseError, and whatever ``check`` raises.
    """
    with _incoming_folder() as incoming:
        try:
            _copy_source(source, incoming, check)
        except FileNotFoundError as error:
            raise VulndbError(
                messages.NO_SUCH_FILE(path=error.filename),
                messages.NAME_FOLDER_OR_ARCHIVE(),
            ) from error
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise VulndbError(
                messages.NOT_COPIED(reason=reason),
                messages.CHECK_FILE_AND_SPACE(),
            ) from error
        return _put_in_use(incoming, check)


def install_shared(file: SharedFile, *, check: StopCheck) -> VulndbFacts:
    """Put the database that another machine has published in use here.

    Raises DatabaseError, and whatever ``check`` raises.
    """
    with _incoming_folder() as incoming:
        try:
            vulndb_archive.fetch(file, incoming / "db.tar.gz", check=check)
            _copy_source(incoming / "db.tar.gz", incoming, check)
            (incoming / "db.tar.gz").unlink()
        except (vulndb_archive.ContentError, tarfile.TarError, zlib.error, EOFError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else error
            raise VulndbError(
                messages.NOT_COPIED_HERE(reason=reason),
                messages.CHECK_SPACE_AND_UPDATE(),
            ) from error
        facts = _checked(incoming, check)
        vulndb_archive.write_digest(incoming, file.sha256)
        return _swap(incoming, facts)


def publish_current(*, check: StopCheck) -> None:
    """Give the database in use here to all machines. Raises DatabaseError, and whatever ``check`` raises."""
    with _incoming_folder() as incoming:
        facts = read_facts(folder())
        sha256 = _publish(facts.folder, incoming, facts, check)
        vulndb_archive.write_digest(facts.folder, sha256)


def shared_sha256() -> str:
    """Return the SHA-256 of the archive that the database in use here came in, "" where it was never shared."""
    return vulndb_archive.read_digest(folder())


def download(*, check: StopCheck) -> VulndbFacts:
    """Download the database from the repository of the settings, and put it in use.

    It comes by the transport of the console, as images do: so proxy, authorities and closed addresses are the same, and
    every byte fits the digest of its manifest. Raises DatabaseError, and whatever ``check`` raises.
    """
    repository = settings.TRIVY_DATABASE_REPOSITORY
    ends = time.monotonic() + DOWNLOAD_TIMEOUT_SECONDS

    def go_on() -> None:
        check()
        if time.monotonic() > ends:
            raise _download_failed(repository, messages.TOOK_TOO_LONG())

    _executable()  # nothing can be done with a database that nothing can read
    with tempfile.TemporaryDirectory(dir=_root(), prefix="download-") as scratch:
        archive = Path(scratch) / "db.tar.gz"
        try:
            _fetch(Reference.parse(repository), archive, go_on)
        except RegistryError as error:
            raise _download_failed(repository, error.reason, retry=error.retry) from error
        except tarfile.TarError as error:
            raise _download_failed(repository, Message(str(error))) from error
        return install(archive, check=check)


def _fetch(reference: Reference, target: Path, check: StopCheck) -> None:
    """Write the one layer of the artifact ``reference`` to ``target``. Raises RegistryError, tarfile.TarError."""
    host, tag = reference.host or "docker.io", reference.tag or VULNDB_SCHEMA
    with open_anonymous(host, plain_http=settings.TRIVY_DATABASE_PLAIN_HTTP, check=check) as client:
        manifest = parse_manifest(client.manifest(reference.repository, reference.digest or tag))
        layers = manifest.layers if isinstance(manifest, ImageManifest) else ()
        if len(layers) != 1 or layers[0].media_type != VULNDB_MEDIA_TYPE:
            raise NotFound(messages.NO_DATABASE_THERE(), NOTHING)
        with client.blob(reference.repository, layers[0]) as content:
            _copy(content, target, check)


def _root() -> Path:
    root: Path = settings.DATA_DIR / "trivy"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def _executable() -> Path:
    try:
        return make_trivy(folder(), _root()).executable()
    except EngineError as error:
        raise VulndbError(error.reason, error.remedy) from error


def _download_failed(repository: str, reason: Message, *, retry: bool = True) -> VulndbError:
    return VulndbError(
        messages.DOWNLOAD_FAILED(repository=repository, reason=reason),
        messages.CHECK_REACHABLE_OR_MIRROR(),
        retry=retry,
    )


@contextlib.contextmanager
def _incoming_folder() -> Iterator[Path]:
    """Hold the right to install, and give an empty folder beside the databases that is gone afterwards."""
    root = _root()
    lock = try_lock(root / "install.lock")
    if lock is None:
        raise VulndbError(messages.ANOTHER_UPDATE(), messages.WAIT_UNTIL_ENDED(), retry=True)
    with lock:
        yesterday = time.time() - 24 * 3600
        for left in (*root.glob("incoming-*"), *root.glob("download-*"), *root.glob("check-*")):
            # Of an update that was killed; a download that is under way holds no lock, but takes no day either.
            if left.name.startswith("incoming-") or left.stat().st_mtime < yesterday:
                shutil.rmtree(left, ignore_errors=True)
        incoming = Path(tempfile.mkdtemp(dir=root, prefix="incoming-"))
        try:
            yield incoming
        finally:
            shutil.rmtree(incoming, ignore_errors=True)


def _copy_source(source: Path, incoming: Path, check: StopCheck) -> None:
    if source.is_dir():
        source = source / "trivy.db"
    with source.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    if is_gzip:
        with tarfile.open(source, "r|gz") as archive:
            for member in archive:
                name = member.name.removeprefix("./")
                if member.isfile() and name in VULNDB_FILES and (content := archive.extractfile(member)):
                    _copy(content, incoming / name, check)  # type: ignore[arg-type]  # BufferedReader, but for IO[bytes]
    else:
        for name in VULNDB_FILES:
            with source.with_name(name if name != "trivy.db" else source.name).open("rb") as content:
                _copy(content, incoming / name, check)


def _copy(content: BinaryIO, target: Path, check: StopCheck) -> None:
    left = MAX_VULNDB_BYTES
    with target.open("wb") as file:
        while chunk := content.read(COPY_CHUNK_BYTES):
            check()
            left -= len(chunk)
            if left < 0:
                raise tarfile.TarError("it is larger than a vulnerability database can be")
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())


def _put_in_use(incoming: Path, check: StopCheck) -> VulndbFacts:
    """Check the database in ``incoming``, give it to all machines, and put it in use."""
    facts = _checked(incoming, check)
    if has_shared_database():
        vulndb_archive.write_digest(incoming, _publish(incoming, incoming, facts, check))
    return _swap(incoming, facts)


def _publish(database: Path, scratch: Path, facts: VulndbFacts, check: StopCheck) -> str:
    try:
        return vulndb_archive.publish(database, scratch=scratch, version=facts.version, check=check)
    except (vulndb_archive.ContentError, OSError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise VulndbError(
            messages.NOT_PUBLISHED(reason=reason),
            messages.CHECK_FOLDER_AND_POSTGRESQL(),
        ) from error


def _checked(incoming: Path, check: StopCheck) -> VulndbFacts:
    """Return the facts of the database in ``incoming``. Raises DatabaseError where it is not good."""
    try:
        facts = read_facts(incoming)
        check_vulndb(incoming, scratch=_root(), check=check)
    except EngineError as error:
        raise VulndbError(
            messages.NEW_IS_INVALID(reason=error.reason),
            messages.GET_AGAIN(),
        ) from error
    return facts


def _swap(incoming: Path, facts: VulndbFacts) -> VulndbFacts:
    """Put the database in ``incoming`` in use. The one before stays, for scans that are under way."""
    root = _root()
    target = root / f"db-{facts.version}-{secrets.token_hex(4)}"
    before = folder().resolve()
    incoming.rename(target)
    link = root / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name, target_is_directory=True)
    link.replace(folder())
    for old in root.glob("db-*"):
        if old not in (target, before):
            shutil.rmtree(old, ignore_errors=True)
    return read_facts(folder())

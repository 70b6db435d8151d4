"""The team's YARA rules for all machines: they come from the folder on the primary machine, and reach each other one.

<data>/shared-rules/rules-<random>/   as published; never changed once there
<data>/shared-rules/current           a link to those in use here

The folder that people put rules into is only read. On SQLite, which means one machine, it is what scans use.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import tempfile
import threading
from pathlib import Path, PurePosixPath

from django.conf import settings

from console.jobs.errors import JobFailure
from console.machines import content, versions
from console.machines.identity import has_shared_database, machine_id
from console.machines.models import FleetVersion, SharedFile
from scanning.engines.base import StopCheck
from scanning.engines.yara.ruleset import (
    MAX_TEAM_BYTES,
    PROBLEM_SUFFIX,
    RULE_FILE_SUFFIXES,
    RuleFile,
    files_of,
    read_team,
)
from scanning.rules import messages

RULES_VERSION_NAME = "rules"  # name of their version, which is the number of their files
MAX_RULE_FILES = 100_000
DIGEST_FILE = "archive.sha256"

Signature = tuple[tuple[str, int, int, int], ...]
_published: tuple[Signature, str] | None = None  # the folder as it was last read by this process, and its SHA-256
_lock = threading.Lock()


class RulesError(JobFailure):
    """The rules could not be brought to this machine; those in use are as they were."""


def source_folder() -> Path:
    """Return the folder that people put rules into; on the primary machine its rules are those of all machines."""
    return Path(settings.RULES)


def folder() -> Path:
    """Return the folder that scans on this machine take rules from; it need not exist."""
    return _root() / "current" if has_shared_database() else source_folder()


def shared_sha256() -> str:
    """Return the SHA-256 of the archive that the rules in use here came in, "" where there are none."""
    try:
        return (_root() / "current" / DIGEST_FILE).read_text().strip()
    except OSError:
        return ""


def publish_changes(before: FleetVersion | None, *, check: StopCheck) -> FleetVersion | None:
    """Have all machines use the rules in the folder of this one, the primary; return the version in use then.

    An absent folder changes nothing, nor does an empty one where the rules in use came from another machine: that is
    a folder that nobody has filled yet. Raises RulesError, and whatever ``check`` raises.
    """
    global _published
    source = source_folder()
    if not source.is_dir():
        return before
    signature = _signature(source)
    with _lock:
        if before and _published == (signature, before.sha256):
            return before
    sources = read_team(source)
    if not sources and (before is None or before.machine != machine_id()):
        return before
    try:
        with tempfile.TemporaryDirectory(dir=_root(), prefix="new-") as scratch:
            archive = Path(scratch) / "rules.tar"
            _pack(sources, archive)
            with archive.open("rb") as packed:
                sha256 = hashlib.file_digest(packed, "sha256").hexdigest()
            if before is None or before.sha256 != sha256:
                file = content.store(archive, limit=2 * MAX_TEAM_BYTES, check=check)
                before = versions.publish(RULES_VERSION_NAME, version=str(len(sources)), file=file)
    except (content.ContentError, OSError) as error:
        raise RulesError(
            messages.NOT_PUBLISHED(reason=_error_reason(error)),
            messages.CHECK_FOLDER_AND_POSTGRESQL(),
        ) from error
    with _lock:
        _published = signature, before.sha256
    return before


def install_shared(file: SharedFile, *, check: StopCheck) -> None:
    """Put the rules that the primary machine has published in use here. Raises RulesError and what ``check`` raises."""
    root = _root()
    incoming = Path(tempfile.mkdtemp(dir=root, prefix="rules-"))
    try:
        archive = incoming / DIGEST_FILE
        content.fetch(file, archive, limit=2 * MAX_TEAM_BYTES, check=check)
        _unpack(archive, incoming)
        archive.write_text(file.sha256)
    except (content.ContentError, tarfile.TarError, OSError) as error:
        shutil.rmtree(incoming, ignore_errors=True)
        raise RulesError(
            messages.NOT_COPIED_HERE(reason=_error_reason(error)),
            messages.CHECK_SPACE(),
        ) from error
    except BaseException:
        shutil.rmtree(incoming, ignore_errors=True)
        raise
    before = folder().resolve()
    link = root / ".current.new"
    link.unlink(missing_ok=True)
    link.symlink_to(incoming.name, target_is_directory=True)
    link.replace(folder())
    for old in root.glob("rules-*"):
        if old not in (incoming, before):
            shutil.rmtree(old, ignore_errors=True)


def _root() -> Path:
    root: Path = settings.DATA_DIR / "shared-rules"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def _signature(source: Path) -> Signature:
    """Return what changes with any file of the folder, without reading them."""
    found = []
    for file in files_of(source):
        try:
            status = file.stat()
            found.append((str(file), status.st_size, status.st_mtime_ns, status.st_ino))
        except OSError:
            found.append((str(file), -1, 0, 0))
    return tuple(found)


def _pack(sources: list[RuleFile], target: Path) -> None:
    """Write the same bytes for the same rules, whenever and wherever that is done."""
    with target.open("xb") as file, tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        for source in sources:
            bad = bool(source.problem)
            data = source.problem.encode() if bad else source.content
            member = tarfile.TarInfo(source.name + (PROBLEM_SUFFIX if bad else ""))
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive, "r:") as members:
        for number, member in enumerate(members):
            path = PurePosixPath(member.name)
            if number >= MAX_RULE_FILES or not member.isfile() or path.is_absolute() or ".." in path.parts:
                raise tarfile.TarError(messages.NO_FILE_OF_RULES())
            if not path.name.endswith(RULE_FILE_SUFFIXES):
                raise tarfile.TarError(messages.NO_FILE_OF_RULES())
            found = members.extractfile(member)
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(found.read() if found else b"")


def _error_reason(error: Exception) -> object:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error

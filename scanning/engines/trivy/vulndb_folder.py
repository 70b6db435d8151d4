"""Trivy's vulnerability database as a folder: ``trivy.db`` (bbolt) and ``metadata.json``. Reads it; changes nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from scanning.engines.base import EngineError
from scanning.engines.trivy import bbolt, messages

VULNDB_SCHEMA = 2  # that Trivy 0.76 reads
MAX_METADATA_BYTES = 64 * 1024
MAX_BUCKET_DEPTH = 8  # platform, package, vulnerability are three
JSON_FIRST_BYTES = frozenset(bytes([byte]) for byte in b'{["-0123456789tfn')
INSTALL_REMEDY = messages.UPDATE_DATABASE_OR_FROM_FILE()


@dataclass(frozen=True)
class VulndbFacts:
    """What is known of a vulnerability database."""

    folder: Path  # as it is on disk, links resolved, so that it stays this one while another is installed
    built_at: datetime  # by its makers
    size: int  # bytes
    is_demo: bool  # the small one that the project makes itself

    @property
    def version(self) -> str:
        """A short text that differs for different databases, part of cache keys."""
        return f"{'demo-' if self.is_demo else ''}{self.built_at:%Y%m%dT%H%M%SZ}"

    def age_days(self, now: datetime | None = None) -> int:
        """Return the whole days since it was built."""
        return max(0, ((now or datetime.now(UTC)) - self.built_at).days)


def read_facts(folder: Path) -> VulndbFacts:
    """Return the facts of the database in ``folder``. Raises EngineError where there is none or it is not readable."""
    folder = folder.resolve()
    try:
        with (folder / "metadata.json").open("rb") as file:
            text = file.read(MAX_METADATA_BYTES + 1)
        size = (folder / "trivy.db").stat().st_size
    except FileNotFoundError as error:
        raise EngineError(messages.NO_DATABASE(), INSTALL_REMEDY) from error
    except OSError as error:
        raise EngineError(
            messages.DATABASE_UNREADABLE(strerror=error.strerror), messages.CHECK_RIGHTS_ON_FOLDER(folder=folder)
        ) from error
    try:
        metadata = json.loads(text)
        schema, built_at = metadata["Version"], datetime.fromisoformat(metadata["UpdatedAt"])
        built_at = (built_at if built_at.tzinfo else built_at.replace(tzinfo=UTC)).astimezone(UTC)
        is_demo = metadata.get("Demo") is True
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise EngineError(messages.METADATA_DAMAGED(), INSTALL_REMEDY) from error
    if schema != VULNDB_SCHEMA:
        raise EngineError(
            messages.DATABASE_OTHER_SCHEMA(schema=schema, schema2=VULNDB_SCHEMA),
            messages.USE_OTHER_SCHEMA(schema=VULNDB_SCHEMA, schema2=VULNDB_SCHEMA, install=INSTALL_REMEDY),
        )
    return VulndbFacts(folder, built_at, size, is_demo)


def check_contents(folder: Path) -> None:
    """Read the database from end to end; raise EngineError where anything is damaged. Seconds for the public one."""
    try:
        with (folder / "trivy.db").open("rb") as file:
            _check_bucket(bbolt.Bucket.open(file))
    except (OSError, bbolt.BboltError) as error:
        raise EngineError(messages.DATABASE_DAMAGED(error=error), INSTALL_REMEDY) from error


def _check_bucket(bucket: bbolt.Bucket, depth: int = 0) -> None:
    if depth > MAX_BUCKET_DEPTH:
        raise bbolt.BboltError("its tables form a circle")
    for _key, value in bucket.items():
        if isinstance(value, bbolt.Bucket):
            _check_bucket(value, depth + 1)
        elif value[:1] not in JSON_FIRST_BYTES:
            raise bbolt.BboltError("a value is no JSON")


def check_file(folder: Path) -> None:
    """Raise EngineError where ``trivy.db`` is no whole bbolt file with the buckets that Trivy needs."""
    path = folder / "trivy.db"
    try:
        bbolt.read_meta(path)
        with path.open("rb") as file:
            names = {name for name, _bucket in bbolt.Bucket.open(file).items()}
    except (OSError, bbolt.BboltError) as error:
        raise EngineError(messages.DATABASE_DAMAGED(error=error), INSTALL_REMEDY) from error
    if not {b"vulnerability", b"data-source"} <= names:
        raise EngineError(messages.NO_DATABASE_OF_TRIVY(), INSTALL_REMEDY)

"""What engines take and give: plain values. No ORM, no HTTP, no queue in here or beside it."""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Protocol

from console.i18n.message_codes import NOTHING, ExplainedError, Message


class RiskCategory(enum.StrEnum):
    """What a scan looks for."""

    VULNERABILITIES = "vulnerabilities"
    SENSITIVE = "sensitive"
    MALWARE = "malware"


class Severity(enum.IntEnum):
    """How bad a finding is; the values are those of ``inventory.Image.Severity``."""

    UNKNOWN = 1
    LOW = 2
    MEDIUM = 3
    HIGH = 4
    CRITICAL = 5


class EngineError(ExplainedError):
    """An engine could not do its work."""


@dataclass(frozen=True)
class Readiness:
    """Whether an engine can work now. Where it cannot, ``reason`` and ``remedy`` say why and what to do."""

    ready: bool
    version: str = ""
    reason: Message = NOTHING
    remedy: Message = NOTHING
    facts: tuple[tuple[str, str], ...] = ()  # (label, value) for the page, e.g. ("SHA-256", "1f88…")
    database_updated_at: datetime | None = None  # vulnerability database: when its makers built it
    database_is_demo: bool = False  # the small database that the project makes itself


@dataclass(frozen=True)
class StoredLayer:
    """One uncompressed layer on disk. The path may be read while the lease it came with is held."""

    position: int
    diff_id: str
    path: Path | None  # None: not pulled, because every engine knows it already
    size: int = 0  # uncompressed bytes
    # If other images have it too, a text that is the same for layers which the same images have: whoever made another
    # layer of this image must not speak for it.
    sharers: str = ""


@dataclass(frozen=True)
class PackageFact:
    """One package found in an image."""

    purl: str  # with qualifiers; a made-up ``pkg:generic/…`` where the engine gives none
    type: str  # deb, apk, rpm, pypi, npm, golang, …
    name: str
    version: str
    architecture: str = ""
    source_name: str = ""
    source_version: str = ""
    licenses: tuple[str, ...] = ()
    path: str = ""
    diff_id: str = ""  # layer that brought it
    record: Mapping[str, object] | None = field(default=None, compare=False, repr=False)  # to match it again by

    @cached_property
    def identity(self) -> str:
        """The SHA-256 (hex) of all that the package is matched and named by, wherever it lies.

        Two facts with one identity get the same vulnerabilities within one system. A purl alone is none: an image may
        name any source package, release or module for it.
        """
        named = (self.purl, self.type, self.name, self.version, self.architecture, self.source_name)
        told = [*named, self.source_version, self.record]
        return hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


@dataclass(frozen=True)
class VulnerabilityFact:
    """What is known of a vulnerability itself, whatever holds it."""

    id: str  # CVE-…, GHSA-…, …
    title: str = ""
    description: str = ""
    severity: Severity = Severity.UNKNOWN
    severity_source: str = ""
    cvss_score: float | None = None
    cvss_vector: str = ""
    references: tuple[str, ...] = ()
    cwes: tuple[str, ...] = ()
    published_at: datetime | None = None
    modified_at: datetime | None = None


@dataclass(frozen=True)
class MatchFact:
    """A vulnerability of a package. ``package`` is the identity of its fact, "" where the package is told otherwise."""

    purl: str
    vulnerability: str
    severity: Severity
    severity_source: str = ""
    fixed_version: str = ""
    status: str = ""  # fixed, affected, will_not_fix, end_of_life, …
    url: str = ""  # primary reference
    package: str = ""


@dataclass(frozen=True)
class SecretFact:
    """Sensitive data in a file. The value itself never leaves the engine; ``masked`` shows 4 + 2 characters at most."""

    rule: str
    category: str
    title: str
    severity: Severity
    path: str
    start_line: int
    end_line: int
    masked: str  # the line, with the secret masked
    fingerprint: str  # keyed hash (HMAC-SHA256, hex), equal for equal secrets of this console
    diff_id: str = ""


@dataclass(frozen=True)
class MalwareFact:
    """One file that a malware engine recognises."""

    engine: str  # yara, clamav
    rule: str
    family: str
    kind: str  # virus | trojan
    severity: Severity
    description: str
    reference: str
    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class LayerReport:
    """What a malware engine saw in one layer. Kept per diff ID and engine version."""

    findings: tuple[MalwareFact, ...]
    files: int  # regular files looked at
    bytes: int
    skipped: tuple[Message, ...] = ()  # what was not looked at and why, e.g. "2 files over 512 MiB"


@dataclass(frozen=True)
class ImageInput:
    """An image as the analyser gets it."""

    config: bytes  # the config blob as the registry holds it
    layers: Sequence[StoredLayer]
    history: Sequence[dict[str, object]] = field(default_factory=list)


@dataclass(frozen=True)
class ImageReport:
    """What the analyser found in an image."""

    os_name: str  # "debian 12.6", "" where the system is not known
    os_end_of_life: bool
    packages: tuple[PackageFact, ...]
    vulnerabilities: tuple[VulnerabilityFact, ...]
    matches: tuple[MatchFact, ...]
    secrets: tuple[SecretFact, ...]
    os_listed: bool = True  # whether there are advisories for this operating system
    # What packages of the operating system are matched by; None where that is not known: they are of this image alone.
    system: str | None = None
    matched_with: str = ""  # engine and database, in an order of age
    release_listed: bool = True  # whether the database has advisories for this release of it
    os_unknown: bool = False  # packages of an operating system, and it is not known of which
    # The package database of the system that is damaged, with how: ``package_databases.Damage``, "" where none is.
    damaged_database: str = ""
    damage: str = ""
    unread: tuple[str, ...] = ()  # files of packages that could not be read


class MalwareEngine(Protocol):
    """What looks for viruses and trojans in layers."""

    name: str

    def version(self) -> str:
        """Return the version of engine and rules as of the last ``ready()``: the key of what is kept of a layer."""

    def ready(self) -> Readiness:
        """Say whether it can work now."""

    def scan_layer(self, path: Path, *, check: StopCheck) -> LayerReport:
        """Look at every file in the uncompressed layer at ``path``. Raises EngineError, and what ``check`` raises."""


class StopCheck(Protocol):
    """Raises where the work must stop: cancelled, timed out, worker going down. Called often; it is cheap."""

    def __call__(self) -> None: ...

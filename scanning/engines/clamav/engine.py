"""ClamAV: viruses and trojans by the signatures of a clamd of the team's, where one is configured.

Each file of a layer is streamed to clamd, which unpacks archives by itself. Nothing is written to disk. Where the files
lie in a layer is found out in a sandbox (see client.py); what is sent from here is not looked at here.
"""

from __future__ import annotations

import hashlib
import mmap
from datetime import UTC, datetime
from pathlib import Path

from console.i18n.message_codes import NOTHING
from scanning.engines import messages as engine_messages
from scanning.engines.base import EngineError, LayerReport, MalwareFact, Readiness, RiskCategory, Severity, StopCheck
from scanning.engines.clamav import messages
from scanning.engines.clamav.clamd import Clamd, ClamdVersion, FileTooLarge
from scanning.engines.formats.tar import Data
from scanning.engines.sandbox.client import SandboxClient
from scanning.engines.sandbox.pool import SandboxPool
from scanning.engines.sandbox.responses import LayerFile
from scanning.engines.skipped_content import Notes
from scanning.engines.yara.scan import MAX_LAYER_FINDINGS

SCAN_REVISION = 1  # of how this module looks; part of the version, so that raising it has every layer looked at again
SIGNATURES_OLD_DAYS = 7  # the public signatures are renewed every day
RELEASE_STEP_BYTES = 64 << 20  # pages of the mmap are given back in steps of this
VIRUS_NAME_PARTS = (
    "eicar",
    "virus",
    "worm",
    "test",
)  # parts of a signature's name; what is no virus is shown as a trojan
HEURISTIC_PREFIXES = ("PUA.", "Heuristics.")  # signatures of what is not wanted, or looks as if


class ClamAv:
    """The engine. ``address`` is the path of clamd's socket or its ``host:port``; larger files are left out.

    ``sandbox`` is where layers are read; engines of a process may share one.
    """

    name = "clamav"
    categories = frozenset({RiskCategory.MALWARE})

    def __init__(
        self, *, address: str, max_file_bytes: int, sandbox: SandboxClient | SandboxPool | None = None
    ) -> None:
        self._address, self._max_file_bytes = address, max_file_bytes
        self._sandbox = sandbox or SandboxClient()
        self._version = ""

    def version(self) -> str:
        """Return the version of ClamAV, of its signatures and of our way of looking, as of the last ``ready()``."""
        if not self._version:
            self._version = self._full_version(self._read_version())
        return self._version

    def ready(self) -> Readiness:
        """Say whether clamd answers, with which signatures and how old they are."""
        facts = [("Address", self._address)]
        try:
            reported = self._read_version()
        except EngineError as error:
            return Readiness(False, "clamav", error.reason, error.remedy, tuple(facts))
        self._version = self._full_version(reported)
        facts = [("Version", reported.engine), *facts]
        days = (datetime.now(UTC) - reported.built_at).days if reported.built_at else None
        if reported.signatures is None:
            facts.append(("Signatures", "the team's own alone: clamd names no version of the public ones"))
        else:
            built = (
                engine_messages.DATABASE_BUILT(at=f"{reported.built_at:%Y-%m-%d %H:%M}", days=days)
                if reported.built_at
                else engine_messages.UNKNOWN_TIME()
            )
            facts += [("Signatures", str(reported.signatures)), ("Signatures built", built)]
        facts.append(
            ("Largest file", f"{self._max_file_bytes / 1024**2:.0f} MiB, and what StreamMaxLength of clamd allows")
        )
        old = days is not None and days > SIGNATURES_OLD_DAYS
        return Readiness(
            ready=True,
            version=self._version,
            reason=messages.SIGNATURES_OLD(days=days) if old else NOTHING,
            remedy=messages.UPDATE_DAILY() if old else NOTHING,
            facts=tuple(facts),
        )

    def scan_layer(self, path: Path, *, check: StopCheck) -> LayerReport:
        """Look at every file in the uncompressed layer at ``path``. Raises EngineError, and what ``check`` raises."""
        with Clamd(self._address) as clamd:
            layer_scan = _LayerScan(clamd, check, self._max_file_bytes)
            layer_scan.layer(path, self._sandbox)
        return LayerReport(tuple(layer_scan.findings), layer_scan.files, layer_scan.bytes, layer_scan.notes.lines())

    def _read_version(self) -> ClamdVersion:
        with Clamd(self._address) as clamd:
            return clamd.version()

    def _full_version(self, reported: ClamdVersion) -> str:
        # Signatures of one's own have no version: what they have not found is looked for again the next day.
        signatures = reported.signatures or f"own-{datetime.now(UTC):%Y%m%d}"
        return f"clamav {reported.engine}, signatures {signatures}, look {SCAN_REVISION}.{self._max_file_bytes}"


class _LayerScan:
    """One look at one layer."""

    def __init__(self, clamd: Clamd, check: StopCheck, max_file_bytes: int) -> None:
        self.findings: list[MalwareFact] = []
        self.files = self.bytes = 0
        self.notes = Notes()
        self._clamd, self._check, self._max_file_bytes = clamd, check, max_file_bytes
        self._mebibytes = max_file_bytes / 1024**2

    def layer(self, path: Path, sandbox: SandboxClient | SandboxPool) -> None:
        """Look at all files of the layer."""
        data, touched = None, 0
        for found in sandbox.walk(path, check=self._check):
            if isinstance(found, str):
                self.notes.add(messages.LAYER_DAMAGED(), found)
                continue
            if found.size > self._max_file_bytes:
                self.notes.add(messages.TOO_LARGE(mebibytes=f"{self._mebibytes:.0f}"), found.path)
                continue
            if data is None:
                with path.open("rb") as file:
                    # Not closed by hand: views of it may still be in the traceback of an exception.
                    data = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
            self._file(found.path, _content(data, found))
            touched += found.size
            if touched > RELEASE_STEP_BYTES:
                data.madvise(mmap.MADV_DONTNEED)
                touched = 0

    def _file(self, path: str, content: Data) -> None:
        self.files += 1
        self.bytes += len(content)
        try:
            signature = self._clamd.scan(content, check=self._check)
        except FileTooLarge:
            self.notes.add(messages.STREAM_TOO_LARGE(), path)
            return
        if not signature:
            return
        if len(self.findings) >= MAX_LAYER_FINDINGS:
            self.notes.add(messages.TOO_MANY_FINDINGS(max_findings=MAX_LAYER_FINDINGS), path)
            return
        digest = hashlib.sha256(content).hexdigest()
        self.findings.append(malware_fact(signature, path=path, size=len(content), sha256=digest))


def _content(data: mmap.mmap, file: LayerFile) -> Data:
    if file.segments is None:
        return memoryview(data)[file.offset : file.offset + file.size]
    content = bytearray(file.size)
    for segment in file.segments:
        content[segment.position : segment.position + segment.size] = data[
            segment.offset : segment.offset + segment.size
        ]
    return content


def malware_fact(signature: str, *, path: str, size: int, sha256: str) -> MalwareFact:
    """Return the finding that a signature makes, whose name reads Platform.Category.Family-Number."""
    name = signature.removesuffix(".UNOFFICIAL")
    parts = name.split(".")
    return MalwareFact(
        engine="clamav",
        rule=name,
        family=(parts[2] if len(parts) > 2 else parts[-1]).partition("-")[0],
        kind="virus" if any(word in name.lower() for word in VIRUS_NAME_PARTS) else "trojan",
        severity=Severity.MEDIUM if name.startswith(HEURISTIC_PREFIXES) else Severity.HIGH,
        description=messages.DETECTED_AS(signature=signature),
        reference="",
        path=path,
        size=size,
        sha256=sha256,
    )

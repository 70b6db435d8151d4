"""ClamAV: viruses and trojans by the signatures of a clamd of the team's, where one is configured.

Each file of a layer is streamed to clamd, which unpacks archives by itself. Nothing is written to disk.
"""

from __future__ import annotations

import hashlib
import mmap
import os
from datetime import UTC, datetime
from pathlib import Path

from scanning.engines import tar
from scanning.engines.archives import Notes
from scanning.engines.base import Check, EngineError, LayerReport, MalwareFact, Readiness, RiskCategory, Severity
from scanning.engines.clamd import Clamd, TooLong, Version
from scanning.engines.yara import MAX_FINDINGS, shown

REVISION = 1  # of how this module looks; part of the version, so that raising it has every layer looked at again
OLD_DAYS = 7  # the public signatures are renewed every day
RELEASE = 64 << 20  # pages of the mmap are given back in steps of this
VIRUSES = ("eicar", "virus", "worm", "test")  # parts of a signature's name; what is no virus is shown as a trojan
POSSIBLE = ("PUA.", "Heuristics.")  # signatures of what is not wanted, or looks as if


class ClamAv:
    """The engine. ``address`` is the path of clamd's socket or its ``host:port``; larger files are left out."""

    name = "clamav"
    categories = frozenset({RiskCategory.MALWARE})

    def __init__(self, *, address: str, max_file_bytes: int) -> None:
        self._address, self._max_file_bytes = address, max_file_bytes
        self._version = ""

    def version(self) -> str:
        """Return the version of ClamAV, of its signatures and of our way of looking, as of the last ``ready()``."""
        if not self._version:
            self._version = self._named(self._ask())
        return self._version

    def ready(self) -> Readiness:
        """Say whether clamd answers, with which signatures and how old they are."""
        facts = [("Address", self._address)]
        try:
            told = self._ask()
        except EngineError as error:
            return Readiness(False, "clamav", error.reason, error.remedy, tuple(facts))
        self._version = self._named(told)
        facts = [("Version", told.engine), *facts]
        days = (datetime.now(UTC) - told.built_at).days if told.built_at else None
        if told.signatures is None:
            facts.append(("Signatures", "the team's own alone: clamd names no version of the public ones"))
        else:
            built = f"{told.built_at:%Y-%m-%d %H:%M} UTC ({days} days ago)" if told.built_at else "at an unknown time"
            facts += [("Signatures", str(told.signatures)), ("Signatures built", built)]
        facts.append(
            ("Largest file", f"{self._max_file_bytes / 1024**2:.0f} MiB, and what StreamMaxLength of clamd allows")
        )
        old = days is not None and days > OLD_DAYS
        return Readiness(
            ready=True,
            version=self._version,
            reason=f"The signatures are {days} days old: what was found since is not recognised." if old else "",
            remedy="Have freshclam update them every day." if old else "",
            facts=tuple(facts),
        )

    def scan_layer(self, path: Path, *, check: Check) -> LayerReport:
        """Look at every file in the uncompressed layer at ``path``. Raises EngineError, and what ``check`` raises."""
        with path.open("rb") as file, Clamd(self._address) as clamd:
            look = _Look(clamd, check, self._max_file_bytes)
            if os.fstat(file.fileno()).st_size:
                # Not closed by hand: views of it may still be in the traceback of an exception.
                look.layer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        return LayerReport(tuple(look.findings), look.files, look.bytes, look.notes.lines())

    def _ask(self) -> Version:
        with Clamd(self._address) as clamd:
            return clamd.version()

    def _named(self, told: Version) -> str:
        # Signatures of one's own have no version: what they have not found is looked for again the next day.
        signatures = told.signatures or f"own-{datetime.now(UTC):%Y%m%d}"
        return f"clamav {told.engine}, signatures {signatures}, look {REVISION}.{self._max_file_bytes}"


class _Look:
    """One look at one layer."""

    def __init__(self, clamd: Clamd, check: Check, max_file_bytes: int) -> None:
        self.findings: list[MalwareFact] = []
        self.files = self.bytes = 0
        self.notes = Notes()
        self._clamd, self._check, self._max_file_bytes = clamd, check, max_file_bytes
        self._limit = f"over {max_file_bytes / 1024**2:.0f} MiB, not given to ClamAV"

    def layer(self, data: mmap.mmap) -> None:
        """Look at all files of the layer."""
        view, touched = memoryview(data), 0
        try:
            for entry in tar.walk(data):
                self._check()
                if not entry.is_file or not entry.size:
                    continue
                if entry.size > self._max_file_bytes:
                    self.notes.add(self._limit, shown(entry.path))
                    continue
                at_once = view[entry.offset : entry.offset + entry.size]
                self._file(entry.path, at_once if entry.segments is None else tar.read(data, entry))
                touched += entry.size
                if touched > RELEASE:
                    data.madvise(mmap.MADV_DONTNEED)
                    touched = 0
        except tar.TarError as error:
            self.notes.add("of this layer is damaged, and what follows was not looked at", str(error))

    def _file(self, path: str, content: tar.Data) -> None:
        self.files += 1
        self.bytes += len(content)
        try:
            signature = self._clamd.scan(content, check=self._check)
        except TooLong:
            self.notes.add("larger than clamd takes (StreamMaxLength)", shown(path))
            return
        if not signature:
            return
        if len(self.findings) >= MAX_FINDINGS:
            self.notes.add(f"recognised beyond the first {MAX_FINDINGS}, not listed", shown(path))
            return
        digest = hashlib.sha256(content).hexdigest()
        self.findings.append(fact(signature, path=shown(path), size=len(content), sha256=digest))


def fact(signature: str, *, path: str, size: int, sha256: str) -> MalwareFact:
    """Return the finding that a signature makes, whose name reads Platform.Category.Family-Number."""
    name = signature.removesuffix(".UNOFFICIAL")
    parts = name.split(".")
    return MalwareFact(
        engine="clamav",
        rule=name,
        family=(parts[2] if len(parts) > 2 else parts[-1]).partition("-")[0],
        kind="virus" if any(word in name.lower() for word in VIRUSES) else "trojan",
        severity=Severity.MEDIUM if name.startswith(POSSIBLE) else Severity.HIGH,
        description=f"ClamAV knows this file as {signature}.",
        reference="",
        path=path,
        size=size,
        sha256=sha256,
    )

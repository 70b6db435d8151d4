"""YARA-X: viruses and trojans by the project's rules and the team's own.

A layer is read in place: its headers are walked in an mmap and each file's bytes are given to YARA-X, nothing is
unpacked to disk. Files over 64 MiB are given in overlapping pieces, each behind the file's first 4 KiB so that rules
see what kind of file it is; memory stays flat whatever the size of the layer.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yara_x

from scanning.engines import tar
from scanning.engines.archives import Bounds, Notes, kind, members
from scanning.engines.base import Check, EngineError, LayerReport, MalwareFact, Readiness, RiskCategory, Severity
from scanning.engines.ruleset import RuleSet, compile_rules, engine_version, read_sources, rules_version

REVISION = 1  # of how this module looks; part of the version, so that raising it has every layer looked at again

PIECE = 64 << 20
OVERLAP = 1 << 20
HEAD = 4096
MAX_FILE_BYTES = 4 << 30
MAX_FINDINGS = 5000  # in a layer
MAX_PATH = 1000  # characters of a path in a finding
TIMEOUT = 20  # seconds for one piece
RELEASE = 64 << 20  # pages of the mmap are given back in steps of this

SEVERITIES = {severity.name.lower(): severity for severity in Severity}
SCORES = ((80, Severity.CRITICAL), (60, Severity.HIGH), (40, Severity.MEDIUM))


class Yara:
    """The engine. ``rules`` is the project's folder of rules, ``extra`` the team's, which need not exist."""

    name = "yara"
    categories = frozenset({RiskCategory.MALWARE})

    def __init__(self, *, rules: Path, extra: Path | None = None, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self._folder, self._extra, self._max_file_bytes = rules, extra, max_file_bytes
        self._lock = threading.Lock()
        self._set: RuleSet | None = None

    def version(self) -> str:
        """Return the version of YARA-X, of our way of looking and of all rules, as they were last compiled."""
        return self._rules().version

    def ready(self) -> Readiness:
        """Say whether there are rules to look with; compiles them again where a file has changed.

        An error in a file of the team's does not stop the others: it is shown, and every report names the file.
        """
        try:
            rules = self._rules(refresh=True)
        except EngineError as error:
            return Readiness(ready=False, version=engine_version(), reason=error.reason, remedy=error.remedy)
        facts = [
            ("Version", engine_version()),
            ("Rules", str(rules.count)),
            ("Rules of the team", str(rules.team_count)),
            ("Rules version", rules.version.rpartition("+")[2]),
            *((("Rules folder", str(self._extra)),) if self._extra else ()),
            *(("Error in a rule", problem) for problem in rules.problems),
        ]
        reason = f"Rules with errors are not applied: {'; '.join(rules.problems)}." if rules.problems else ""
        remedy = f"Correct them in {self._extra}; the next scan takes them up." if rules.problems else ""
        return Readiness(ready=True, version=rules.version, reason=reason, remedy=remedy, facts=tuple(facts))

    def scan_layer(self, path: Path, *, check: Check) -> LayerReport:
        """Look at every file in the uncompressed layer at ``path``, and into archives in it.

        Uses the rules of the last ``ready()``, so that what is found belongs to ``version()``. Raises EngineError where
        there are no rules, and what ``check`` raises.
        """
        rules = self._rules()
        look = _Look(rules, check, self._max_file_bytes)
        for problem in rules.problems:
            look.notes.add("of the team's rules with an error, not applied", problem)
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size:
                # Not closed by hand: views of it may still be in the traceback of an exception.
                look.layer(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        return LayerReport(tuple(look.findings), look.files, look.bytes, look.notes.lines())

    def _rules(self, *, refresh: bool = False) -> RuleSet:
        with self._lock:
            if self._set is None or refresh:
                sources = read_sources(self._folder, self._extra)
                version = rules_version(sources, look=(REVISION, self._max_file_bytes))
                if self._set is None or self._set.version != version:
                    self._set = compile_rules(sources, version=version)
            return self._set


class _Look:
    """One look at one layer."""

    def __init__(self, rules: RuleSet, check: Check, max_file_bytes: int) -> None:
        self.findings: list[MalwareFact] = []
        self.files = self.bytes = 0
        self.notes = Notes()
        self._rules, self._check, self._max_file_bytes = rules, check, max_file_bytes
        self._bounds = Bounds()
        self._data: mmap.mmap | None = None
        self._touched = 0
        self._scanner = yara_x.Scanner(rules.rules)
        self._scanner.set_timeout(TIMEOUT)
        self._scanner.max_matches_per_pattern(1000)
        self._scanner.fast_scan(True)

    def layer(self, data: mmap.mmap) -> None:
        """Look at all files of the layer."""
        self._data = data
        view = memoryview(data)
        try:
            for entry in tar.walk(data):
                self._check()
                if entry.is_file and entry.size:
                    if entry.size > self._max_file_bytes:
                        self.notes.add(f"over {self._max_file_bytes / (1 << 30):.1f} GiB", shown(entry.path))
                    elif entry.segments is None:
                        self._file(entry.path, view[entry.offset : entry.offset + entry.size])
                    elif entry.size <= PIECE:
                        self._file(entry.path, tar.read(data, entry))
                    else:  # of mostly nothing: what is there, without the holes
                        self.notes.add(f"with holes and over {PIECE >> 20} MiB, read in parts", shown(entry.path))
                        for segment in entry.segments:
                            self._file(entry.path, view[segment.offset : segment.offset + segment.size])
                self._release(tar.BLOCK)
        except tar.TarError as error:
            self.notes.add("of this layer is damaged, and what follows was not looked at", str(error))

    def _file(self, path: str, content: tar.Data, depth: int = 0) -> None:
        """Look at one file, and at the files in it if it is an archive."""
        self.files += 1
        self.bytes += len(content)
        hits: dict[tuple[str, str], Any] = {}
        self._name(path)
        for piece in _pieces(content):
            self._check()
            try:
                for rule in self._scanner.scan(piece).matching_rules:
                    hits[rule.namespace, rule.identifier] = rule
            except yara_x.TimeoutError:
                self.notes.add(f"given up after {TIMEOUT} s", shown(path))
            except yara_x.ScanError as error:
                self.notes.add(f"that YARA-X failed at ({error})", shown(path))
            self._release(len(piece))
        if hits:
            self._found(path, content, list(hits.values()))
        if kind(content):
            self._archive(path, content, depth)

    def _release(self, count: int) -> None:
        """Give back the pages of the mmap after every so many bytes read, so that they do not count as our memory."""
        self._touched += count
        if self._touched > RELEASE and self._data is not None:
            self._data.madvise(mmap.MADV_DONTNEED)
            self._touched = 0

    def _archive(self, path: str, content: tar.Data, depth: int) -> None:
        if depth >= self._bounds.depth:
            self.notes.add(f"in archives nested deeper than {depth}", shown(path))
            return
        for inner, member in members(content, path, self._bounds, self.notes):
            self._check()
            if member:
                self._file(inner, member, depth + 1)

    def _found(self, path: str, content: tar.Data, rules: list[Any]) -> None:
        digest = hashlib.sha256()
        for start in range(0, len(content), PIECE):
            digest.update(content[start : start + PIECE])
            self._release(PIECE)
        for rule in rules:
            if len(self.findings) >= MAX_FINDINGS:
                self.notes.add(f"recognised beyond the first {MAX_FINDINGS}, not listed", shown(path))
                return
            self.findings.append(fact(rule, path=shown(path), size=len(content), sha256=digest.hexdigest()))

    def _name(self, path: str) -> None:
        name = path.rpartition("/")[2]
        values = {"filename": name, "filepath": f"/{path}", "extension": os.path.splitext(name)[1]}  # noqa: PTH122
        for variable, value in values.items():
            self._scanner.set_global(variable, shown(value))


def _pieces(content: tar.Data) -> Iterator[bytes]:
    if len(content) <= PIECE:
        yield bytes(content)
        return
    head = bytes(content[:HEAD])
    yield bytes(content[:PIECE])
    for start in range(PIECE - OVERLAP, len(content) - OVERLAP, PIECE - OVERLAP):
        yield b"".join((head, content[start : start + PIECE]))


def fact(rule: Any, *, path: str, size: int, sha256: str) -> MalwareFact:
    """Return the finding that a matching rule makes. The team's rules may lack any of our metadata."""
    meta = {key.lower(): value for key, value in rule.metadata}
    return MalwareFact(
        engine="yara",
        rule=rule.identifier,
        family=str(meta.get("family", "") or meta.get("malware", "") or rule.identifier),
        kind="virus" if str(meta.get("kind", "")).lower() == "virus" else "trojan",
        severity=_severity(meta),
        description=str(meta.get("description", "")),
        reference=str(meta.get("reference", "")),
        path=path,
        size=size,
        sha256=sha256,
    )


def _severity(meta: dict[str, Any]) -> Severity:
    """Return the severity: by its name, else by the ``score`` of 0 to 100 that public rule sets have, else high."""
    if severity := SEVERITIES.get(str(meta.get("severity", "")).lower()):
        return severity
    score = meta.get("score")
    return (
        next((severity for least, severity in SCORES if score >= least), Severity.LOW)
        if isinstance(score, int)
        else Severity.HIGH
    )


def shown(path: str) -> str:
    """Return ``path`` for a person and a database: what is no text is escaped, so that two paths never look the same.

    Of a path over 1000 characters the middle is left out.
    """
    if not path.isprintable() or "\\" in path:
        path = "".join(char if char.isprintable() and char != "\\" else _escaped(char) for char in path)
    return path if len(path) <= MAX_PATH else f"{path[: MAX_PATH // 2]}…{path[-(MAX_PATH // 2) + 1 :]}"


def _escaped(char: str) -> str:
    if "\udc80" <= char <= "\udcff":  # a byte that is no UTF-8
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()

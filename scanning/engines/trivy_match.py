"""Matching stored packages with the vulnerability database, thousands in one run of Trivy and without their images.

Trivy is given an image of one empty layer, and in its cache a record of that layer that holds all the packages, as if
it had found them there. So the packages go the way that those of a scan go, and get what a scan would give them.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scanning.engines.base import (
    Check,
    EngineError,
    ImageInput,
    MatchFact,
    RiskCategory,
    StoredLayer,
    VulnerabilityFact,
)
from scanning.engines.trivy_cache import LayerNote, make_cache, read_cache
from scanning.engines.trivy_command import FLAGS, Runner, failure, scanners, start
from scanning.engines.trivy_database import DatabaseFacts
from scanning.engines.trivy_layout import write_layout
from scanning.engines.trivy_report import Report, read_match, read_report

LAYER = bytes(10240)  # an empty tar
DIFF_ID = f"sha256:{hashlib.sha256(LAYER).hexdigest()}"
REPOSITORY = re.compile(rb'"Repository":(\{"Family"[^{}]{0,400}\})')  # of a layer; packages have a member of that name
# Makers who patch a distribution's packages. Trivy takes their advisories for all packages of an image in which it sees
# one of theirs, or their mark: there a package alone does not say what it is matched with.
PATCHED_VERSION, PATCHED_NAME = ("root.io", "roo7"), "seal-"
MARK = b"rapidfort"
MATCH_SECONDS = 600.0
# Each match as a line. What describes a vulnerability is told once, and not at all where it is known.
TELL = """\
{{- $told := dict %s -}}
{{- range . }}{{ range .Vulnerabilities }}{{ if hasKey $told .VulnerabilityID -}}
{{ toJson (dict "VulnerabilityID" .VulnerabilityID "PkgID" .PkgID "Status" .Status "PrimaryURL" .PrimaryURL \
"Severity" .Severity "SeveritySource" .SeveritySource "FixedVersion" .FixedVersion) }}
{{ else }}{{ $_ := set $told .VulnerabilityID 1 }}{{ toJson . }}
{{ end }}{{ end }}{{ end }}"""
PLAIN = re.compile(r"[A-Za-z0-9_.:-]+")  # names of vulnerabilities that may stand in a template


@dataclass(frozen=True)
class Matches:
    """What the database says of some packages, by the number that each was given."""

    matches: list[tuple[int, MatchFact]]
    vulnerabilities: list[VulnerabilityFact]  # those of the matches that were not known


class Matcher:
    """Matches packages with one database. Make one where the work starts: the database stays the same for it."""

    def __init__(
        self, run: Runner, *, executable: Path, version: str, database: DatabaseFacts, java_index: Path, key: str = ""
    ) -> None:
        self._run, self._executable, self._java_index = run, executable, java_index
        self._key = key
        self.database = database
        self.matched_with = matched_with(version, database)
        self.version = version

    def match(
        self,
        packages: Mapping[int, Mapping[str, object]],
        *,
        system: str,
        known: Collection[str],
        scratch: Path,
        check: Check,
    ) -> Matches:
        """Return the vulnerabilities of ``packages``, records of PackageFact by any number.

        ``system`` is the ImageReport's; "" for packages of programming languages. Of the vulnerabilities whose names
        are in ``known`` no description is read. May run in several threads. Raises EngineError and what ``check`` does.
        """
        told = " ".join(f'"{name}" 1' for name in known if PLAIN.fullmatch(name))
        flags = ["--format", "template", "--template", "@tell.tpl"]
        found = Matches([], [])
        for some, out in self._matched(packages, system, flags, TELL % told, scratch=scratch, check=check):
            _read(out, some, into=found)
        return found

    def reports(
        self, packages: Mapping[int, Mapping[str, object]], *, system: str, scratch: Path, check: Check
    ) -> Iterator[Report]:
        """Yield reports on ``packages``, as of ``match``, in which the path of each is its number.

        Where ``system`` is one, all packages of the reports are told of with it, those of languages too.
        """
        for _some, out in self._matched(packages, system, FLAGS[:3], "", scratch=scratch, check=check):
            yield read_report(out)

    def key(self, scratch: Path, check: Check) -> str:
        """Return the name under which this Trivy keeps the record of our layer; it may be given to a new Matcher."""
        if not self._key:
            _out, cache = self._start(scratch, [], flags=["--format", "json"], template="", check=check)
            try:
                self._key = cache[DIFF_ID][0]
            except KeyError as error:
                raise EngineError(
                    "Trivy does not keep what it knows of layers as this console expects.",
                    "Use the version of Trivy that the project pins: remove TALLYMAN_TRIVY.",
                ) from error
        return self._key

    def _matched(
        self,
        packages: Mapping[int, Mapping[str, object]],
        system: str,
        flags: Sequence[str],
        template: str,
        *,
        scratch: Path,
        check: Check,
    ) -> Iterator[tuple[dict[int, Mapping[str, object]], bytes]]:
        """Yield the packages in parts, each with what Trivy writes of it."""
        key = self.key(scratch, check)
        for some in _distinct(packages):
            note = LayerNote(key, json.dumps(_record(some, system)).encode())
            out, _cache = self._start(scratch, [note], flags=flags, template=template, check=check)
            yield some, out

    def _start(
        self, scratch: Path, notes: Sequence[LayerNote], *, flags: Sequence[str], template: str, check: Check
    ) -> tuple[bytes, dict[str, tuple[str, bytes]]]:
        work = scratch / f"match-{secrets.token_hex(4)}"
        try:
            work.mkdir()
            (work / "layer").write_bytes(LAYER)
            (work / "tell.tpl").write_text(template)
            config = json.dumps({"rootfs": {"diff_ids": [DIFF_ID]}}).encode()
            layers = [StoredLayer(0, DIFF_ID, work / "layer", len(LAYER))]
            write_layout(work / "layout", ImageInput(config, layers), check=check)
            make_cache(work / "cache", notes=notes, database=self.database.folder, java_index=self._java_index)
            argv: list[str | Path] = [self._executable, "image", "--input", "layout", "--cache-dir", work / "cache"]
            argv += ["--scanners", scanners([RiskCategory.VULNERABILITIES]), "--timeout", f"{MATCH_SECONDS + 60:.0f}s"]
            argv += [*FLAGS[3:], *flags]  # without the list of all packages
            finished = start(self._run, argv, check=check, timeout=MATCH_SECONDS, cwd=work)
            if finished.returncode != 0:
                raise failure(finished)
            return finished.stdout, {} if notes else read_cache(work / "cache")
        except OSError as error:
            raise EngineError(
                f"The packages could not be laid out for Trivy: {error.strerror}.",
                "Check the free space and the rights of the data folder.",
                retry=True,
            ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)


def matched_with(version: str, database: DatabaseFacts | None) -> str:
    """Return the text that says what packages were matched with: that of an older database sorts first."""
    return f"{database.built_at:%Y%m%dT%H%M%SZ} {database.version} trivy {version}"[:100] if database else ""


def system_of(report: Report, records: Sequence[bytes]) -> str | None:
    """Return what the packages of the operating system of an image are matched by, beside themselves.

    ``records`` are Trivy's own of its layers, from the base upwards. "" where the system is not known, None where that
    is more than can be told of a package.
    """
    if not report.os_name:
        return ""
    own = [fact for fact in report.packages.values() if fact.record and "Type" not in fact.record]
    if any(is_patched(fact.name, fact.version, fact.source_name) for fact in own):
        return None
    described: dict[str, Any] = {"OS": report.system}
    for record in records:
        if MARK in record:
            return None
        if found := REPOSITORY.findall(record):
            described["Repository"] = json.loads(found[-1])
    return json.dumps(described, sort_keys=True, separators=(",", ":"))


def is_patched(name: str, version: str, source_name: str) -> bool:
    """Return whether a package is of a maker who patches those of a distribution."""
    return any(part in version for part in PATCHED_VERSION) or any(
        each.lower().startswith(PATCHED_NAME) for each in (name, source_name)
    )


def _distinct(packages: Mapping[int, Mapping[str, object]]) -> Iterator[dict[int, Mapping[str, object]]]:
    """Yield the packages in as few parts as it takes for no system package to have a namesake of its version.

    Of namesakes (of two architectures, say) Trivy tells one.
    """
    parts: list[dict[int, Mapping[str, object]]] = []
    seen: Counter[tuple[object, ...]] = Counter()
    for number, package in packages.items():
        name = tuple(package.get(part) for part in ("Name", "Epoch", "Version", "Release"))
        place = 0 if "Type" in package else seen[name]
        seen[name] += 1
        if place == len(parts):
            parts.append({})
        parts[place][number] = package
    yield from parts


def _record(packages: Mapping[int, Mapping[str, object]], system: str) -> dict[str, Any]:
    """Return what Trivy keeps of a layer, for one that would hold the packages."""
    # A path and an id of its own: Trivy takes two packages of the same name and version in one place for one.
    # A layer of its own: else Trivy looks for it, through all packages for each.
    plain: list[dict[str, object]] = []
    applications: dict[object, list[dict[str, object]]] = {}
    for number, stored in packages.items():
        package = {**stored, "ID": str(number), "FilePath": f"{number}", "Layer": {"DiffID": DIFF_ID}}
        kind = package.pop("Type", None)
        (applications.setdefault(kind, []) if kind else plain).append(package)
    record: dict[str, Any] = {"SchemaVersion": 2, "DiffID": DIFF_ID, **(json.loads(system) if system else {})}
    if plain:
        record["PackageInfos"] = [{"FilePath": "packages", "Packages": plain}]
    if applications:
        record["Applications"] = [
            {"Type": kind, "FilePath": f"{kind}", "Packages": members} for kind, members in applications.items()
        ]
    return record


def _read(out: bytes, packages: Collection[int], *, into: Matches) -> None:
    try:
        for value in _lines(out):
            match, vulnerability = read_match(value)
            number = int(value["PkgID"])
            if number not in packages:
                raise ValueError("a package that was not given")
            into.matches.append((number, match))
            if vulnerability:
                into.vulnerabilities.append(vulnerability)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(
            "Trivy wrote matches that cannot be read.",
            "Use the version of Trivy that the project pins: remove TALLYMAN_TRIVY.",
        ) from error


def _lines(out: bytes) -> Iterator[dict[str, Any]]:
    start = 0
    while (end := out.find(b"\n", start)) >= 0:
        if end > start:
            yield json.loads(out[start:end])
        start = end + 1
    if out[start:].strip():
        raise ValueError("cut off")

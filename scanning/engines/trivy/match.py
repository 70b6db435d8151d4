"""Matching stored packages with the vulnerability database, thousands in one run of Trivy and without their images.

Trivy is given an image of one empty layer, and in its cache a record of that layer that holds all the packages, as if
it had found them there. So the packages go the way that those of a scan go, and get what a scan would give them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import secrets
import shutil
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from scanning.engines.base import (
    EngineError,
    ImageInput,
    MatchFact,
    RiskCategory,
    StopCheck,
    StoredLayer,
    VulnerabilityFact,
)
from scanning.engines.trivy import messages, rpc_messages
from scanning.engines.trivy.advisory_texts import read_vulnerabilities
from scanning.engines.trivy.cache import CachedLayer, make_cache_folder, read_cache
from scanning.engines.trivy.command import (
    COMMON_FLAGS,
    JSON_REPORT,
    SCANNER_NAMES,
    Runner,
    failure_error,
    run_trivy,
    scanners_option,
)
from scanning.engines.trivy.oci_layout import write_layout
from scanning.engines.trivy.protobuf import NotEncodable, encode
from scanning.engines.trivy.report import TrivyReport, read_match
from scanning.engines.trivy.server import LayerRecord, MatchServer, ServerFailed
from scanning.engines.trivy.vulndb_folder import VulndbFacts

log = logging.getLogger(__name__)

Packages: TypeAlias = Mapping[int, Mapping[str, object]]

EMPTY_LAYER = bytes(10240)  # an empty tar
EMPTY_LAYER_DIFF_ID = f"sha256:{hashlib.sha256(EMPTY_LAYER).hexdigest()}"
REPOSITORY_PATTERN = re.compile(
    rb'"Repository":(\{"Family"[^{}]{0,400}\})'
)  # of a layer; packages have a member of that name
# Makers who patch a distribution's packages. Where one package of an image is theirs, Trivy takes their advisories for
# all packages of its system (``pkg/detector/ospkg`` of its sources: rootio, seal); so they are part of the system. Who
# they are is shown to Trivy again by a package that does not exist.
ROOT_IO, SEAL = "root.io", "seal"
ROOT_IO_VERSION_PATTERNS = {
    "debian": re.compile(r"\.root\.io"),
    "ubuntu": re.compile(r"\.root\.io"),
    "alpine": re.compile(r"-r\d007\d"),
}
SEAL_NAME_PREFIX = "seal-"
SEAL_FAMILIES = frozenset(("alpine", "cbl-mariner", "centos", "redhat", "debian", "oracle", "ubuntu"))
PATCHER_KEY = "Patcher"  # member of a system
MARKER_NUMBER = "shown"  # number of the package that does not exist
RAPIDFORT_MARK = b"rapidfort"  # of images that Trivy's records say more of than is read here
MATCH_TIMEOUT_SECONDS = 600.0
_SERVED_MEMBERS = frozenset(rpc_messages.PACKAGE.fields) | {"Type"}  # of a package
# Each match as a line. The number of a package stands where its layer's digest would: each detector takes over the
# layer, but that of Azure Linux and CBL-Mariner not the ID.
MATCH_TEMPLATE = """\
{{- range . }}{{ range .Vulnerabilities }}\
{{ toJson (dict "VulnerabilityID" .VulnerabilityID "Number" .Layer.Digest "Status" .Status "PrimaryURL" .PrimaryURL \
"Severity" .Severity "SeveritySource" .SeveritySource "FixedVersion" .FixedVersion) }}
{{ end }}{{ end }}"""


@dataclass(frozen=True)
class MatchResult:
    """What the database says of some packages, by the number that each was given."""

    matches: list[tuple[int, MatchFact]]
    vulnerabilities: list[VulnerabilityFact]  # those of the matches that were not known, as the database has them


class Matcher:
    """Matches packages with one database. Make one where the work starts: the database stays the same for it."""

    def __init__(
        self,
        run: Runner,
        *,
        executable: Path,
        version: str,
        database: VulndbFacts,
        java_index: Path,
        server: MatchServer | None,
        home: Path,
    ) -> None:
        self._run, self._executable, self._java_index = run, executable, java_index
        self._server, self._home = server, home
        self._key = ""
        self.database = database
        self.matched_with = matched_with(version, database)
        self.version = version

    def match(
        self,
        packages: Packages,
        *,
        system: str,
        known: Collection[str],
        scratch: Path,
        check: StopCheck,
    ) -> MatchResult:
        """Return the vulnerabilities of ``packages``, records of PackageFact by any number.

        ``system`` is the ImageReport's; "" for packages of programming languages. Of the vulnerabilities whose names
        are in ``known`` no description is read. May run in several threads. Raises EngineError and what ``check`` does.
        """
        matches: list[tuple[int, MatchFact]] = []
        for some in _split_namesakes(packages):
            for part in self._parts(some):
                found = self._match_on_server(part, system, check=check) if self._server else None
                if found is None:
                    found = self._match_in_run(part, system, scratch=scratch, check=check)
                matches += found
        told = set(known)
        new = (match.vulnerability for _number, match in matches if match.vulnerability not in told)
        return MatchResult(matches, list(read_vulnerabilities(self.database.folder, new)))

    def _parts(self, packages: Packages) -> Iterator[Packages]:
        """Yield apart what the server is told of, and what it is not: its message has no field for some of it."""
        unspoken = {
            number: package
            for number, package in packages.items()
            if self._server and not _SERVED_MEMBERS.issuperset(package)
        }
        rest = {number: package for number, package in packages.items() if number not in unspoken}
        yield from (part for part in (rest, unspoken) if part)

    def _match_on_server(
        self, packages: Packages, system: str, *, check: StopCheck
    ) -> list[tuple[int, MatchFact]] | None:
        """Return what the server finds; None where Trivy is to be asked without it."""
        assert self._server is not None  # noqa: S101 (asked where there is one)
        record = _record(packages, system)
        content = partial(encode, record, rpc_messages.BLOB)
        try:
            answer = self._server.scan(
                [LayerRecord(f"match-{secrets.token_hex(16)}", content)],
                executable=self._executable,
                database=self.database.folder,
                home=self._home,
                scanners=[SCANNER_NAMES[RiskCategory.VULNERABILITIES]],
                table=rpc_messages.MATCHED,
                check=check,
                timeout=MATCH_TIMEOUT_SECONDS,
                keep=False,
            )
        except (ServerFailed, NotEncodable) as error:
            log.info("%s packages are matched without the server of Trivy: %s", len(packages), error)
            return None
        found = (each for result in answer.get("Results") or () for each in result.get("Vulnerabilities") or ())
        return list(_numbers_read(({**each, "Number": each["Layer"]["Digest"]} for each in found), packages))

    def _match_in_run(
        self, packages: Packages, system: str, *, scratch: Path, check: StopCheck
    ) -> list[tuple[int, MatchFact]]:
        """Return what a run of Trivy finds, which has the packages in its cache as those of a layer."""
        note = CachedLayer(self.key(scratch, check), json.dumps(_record(packages, system)).encode())
        report = ["--format", "template", "--template", "@tell.tpl"]
        out, _cache = self._start(scratch, [note], report=report, template=MATCH_TEMPLATE, check=check)
        return list(_numbers_read(_lines(out), packages))

    def key(self, scratch: Path, check: StopCheck) -> str:
        """Return the name under which this Trivy keeps the record of our layer."""
        if not self._key:
            _out, cache = self._start(scratch, [], report=JSON_REPORT, template="", check=check)
            try:
                self._key = cache[EMPTY_LAYER_DIFF_ID][0]
            except KeyError as error:
                raise EngineError(
                    messages.CACHE_UNEXPECTED(),
                    messages.USE_PINNED_VERSION(),
                ) from error
        return self._key

    def _start(
        self, scratch: Path, notes: Sequence[CachedLayer], *, report: Sequence[str], template: str, check: StopCheck
    ) -> tuple[bytes, dict[str, tuple[str, bytes]]]:
        work = scratch / f"match-{secrets.token_hex(4)}"
        try:
            work.mkdir()
            (work / "layer").write_bytes(EMPTY_LAYER)
            (work / "tell.tpl").write_text(template)
            config = json.dumps({"rootfs": {"diff_ids": [EMPTY_LAYER_DIFF_ID]}}).encode()
            layers = [StoredLayer(0, EMPTY_LAYER_DIFF_ID, work / "layer", len(EMPTY_LAYER))]
            write_layout(work / "layout", ImageInput(config, layers), check=check)
            make_cache_folder(work / "cache", notes=notes, database=self.database.folder, java_index=self._java_index)
            argv: list[str | Path] = [self._executable, "image", "--input", "layout", "--cache-dir", work / "cache"]
            argv += [
                "--scanners",
                scanners_option([RiskCategory.VULNERABILITIES]),
                "--timeout",
                f"{MATCH_TIMEOUT_SECONDS + 60:.0f}s",
            ]
            argv += [*COMMON_FLAGS, *report]  # without the list of all packages
            finished = run_trivy(self._run, argv, check=check, timeout=MATCH_TIMEOUT_SECONDS, cwd=work)
            if finished.returncode != 0:
                raise failure_error(finished)
            return finished.stdout, {} if notes else read_cache(work / "cache")
        except OSError as error:
            raise EngineError(
                messages.PACKAGES_NOT_PREPARED(strerror=error.strerror),
                messages.CHECK_SPACE_AND_RIGHTS(),
                retry=True,
            ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)


def matched_with(version: str, database: VulndbFacts | None) -> str:
    """Return the text that says what packages were matched with: that of an older database sorts first."""
    return f"{database.built_at:%Y%m%dT%H%M%SZ} {database.version} trivy {version}"[:100] if database else ""


def system_of(report: TrivyReport, records: Sequence[bytes]) -> str:
    """Return what the packages of the operating system of an image are matched by, beside themselves.

    ``records`` are Trivy's own of its layers, from the base upwards. "" where the system is not known. What is read:
    family, version, extended support and supplier of the system, the release of the package repositories, and who has
    patched its packages.
    """
    if not report.os_name:
        return ""
    described: dict[str, Any] = {"OS": report.system}
    for record in records:
        if found := REPOSITORY_PATTERN.findall(record):
            described["Repository"] = json.loads(found[-1])
    own = (fact for fact in report.packages.values() if fact.record and "Type" not in fact.record)
    family = str(report.system.get("Family", ""))
    if patcher := _patcher(family, ((fact.name, fact.version, fact.source_name) for fact in own)):
        described[PATCHER_KEY] = patcher
    return json.dumps(described, sort_keys=True, separators=(",", ":"))


def _patcher(family: str, packages: Iterable[tuple[str, str, str]]) -> str:
    """Return who has patched the packages (name, version, source name) of a system; "" where nobody has."""
    pattern, found = ROOT_IO_VERSION_PATTERNS.get(family), ""
    for name, version, source_name in packages:
        if pattern and pattern.search(version):
            return ROOT_IO
        if family in SEAL_FAMILIES and any(each.lower().startswith(SEAL_NAME_PREFIX) for each in (name, source_name)):
            found = SEAL
    return found


def _patcher_marker(patcher: str, family: object) -> dict[str, object]:
    """Return a package that shows Trivy who has patched those of a system, and that no advisory is for."""
    if patcher == SEAL:
        return {"Name": f"{SEAL_NAME_PREFIX}tallyman-shown", "Version": "0"}
    return {"Name": "tallyman-shown", "Version": "0-r00070" if family == "alpine" else "0.root.io"}


def _split_namesakes(packages: Packages) -> Iterator[dict[int, Mapping[str, object]]]:
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


def _record(packages: Packages, system: str) -> dict[str, Any]:
    """Return what Trivy keeps of a layer, for one that would hold the packages."""
    described = json.loads(system) if system else {}
    plain: list[dict[str, object]] = []
    applications: dict[object, list[dict[str, object]]] = {}
    for number, stored in packages.items():
        package = _numbered(stored, number)
        kind = package.pop("Type", None)
        (applications.setdefault(kind, []) if kind else plain).append(package)
    if patcher := described.pop(PATCHER_KEY, ""):
        plain.append(_numbered(_patcher_marker(patcher, (described.get("OS") or {}).get("Family")), MARKER_NUMBER))
    record: dict[str, Any] = {"SchemaVersion": 2, "DiffID": EMPTY_LAYER_DIFF_ID, **described}
    if plain:
        record["PackageInfos"] = [{"FilePath": "packages", "Packages": plain}]
    if applications:
        record["Applications"] = [
            {"Type": kind, "FilePath": f"{kind}", "Packages": members} for kind, members in applications.items()
        ]
    return record


def _numbered(package: Mapping[str, object], number: object) -> dict[str, object]:
    """Return a package with its number in each place that Trivy takes over from it."""
    # A path and an id of its own: Trivy takes two packages of the same name and version in one place for one.
    # A layer of its own: else Trivy looks for it, through all packages for each.
    told = f"{number}"
    return {**package, "ID": told, "FilePath": told, "Layer": {"Digest": told, "DiffID": EMPTY_LAYER_DIFF_ID}}


def _numbers_read(values: Iterable[dict[str, Any]], packages: Collection[int]) -> Iterator[tuple[int, MatchFact]]:
    """Yield each match with the number of its package."""
    try:
        for value in values:
            if value["Number"] == MARKER_NUMBER:
                continue
            number = int(value["Number"])
            if number not in packages:
                raise ValueError("a package that was not given")
            yield number, read_match(value)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(
            messages.MATCHES_UNREADABLE(),
            messages.USE_PINNED_VERSION(),
        ) from error


def _lines(out: bytes) -> Iterator[dict[str, Any]]:
    start = 0
    while (end := out.find(b"\n", start)) >= 0:
        if end > start:
            yield json.loads(out[start:end])
        start = end + 1
    if out[start:].strip():
        raise ValueError("cut off")

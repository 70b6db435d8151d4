"""Reads Trivy's JSON report (SchemaVersion 2) of an image into facts.

The report is reduced while it is parsed: each package and each vulnerability becomes its facts as soon as its closing
brace is read, so that a report of many megabytes never stands in memory as dictionaries.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import quote

from scanning.engines.base import EngineError, MatchFact, PackageFact, Severity
from scanning.engines.trivy import messages
from scanning.engines.trivy.secrets import FoundSecret

REPORT_SCHEMA = 2
# Operating systems with advisories in Trivy's database (its documentation, "Supported OS").
LISTED = (
    frozenset(
        ("alma", "alpine", "amazon", "azurelinux", "bottlerocket", "cbl-mariner", "centos", "chainguard", "coreos")
    )
    | {"debian", "echo", "minimos", "opensuse", "opensuse-leap", "opensuse-tumbleweed", "opensuse.leap"}
    | {
        *("opensuse.tumbleweed", "oracle", "photon", "redhat", "rocky", "slem", "suse linux enterprise server"),
        *("suse linux enterprise micro", "sles", "slemicro", "ubuntu", "wolfi", "windows"),
    }
)
# Members of a package that say where it lies in an image, or that no advisory is chosen by.
_IMAGE_SPECIFIC_KEYS = frozenset(
    ("ID", "Identifier", "Layer", "FilePath", "Licenses", "DependsOn", "InstalledFiles", "Locations", "Digest")
) | {"Maintainer", "Relationship", "Indirect", "Dev", "AnalyzedBy", "Fingerprint"}

Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class TrivyReport:
    """What a report says."""

    os_name: str = ""
    os_end_of_life: bool = False
    os_listed: bool = True
    os_unknown: bool = False  # there are packages of an operating system that Trivy does not know
    system: Json = field(default_factory=dict)  # operating system as Trivy describes it
    packages: dict[tuple[str, str], PackageFact] = field(default_factory=dict)  # by identity and path
    matches: dict[tuple[str, str], MatchFact] = field(default_factory=dict)  # by identity and vulnerability
    secrets: list[FoundSecret] = field(default_factory=list)


@dataclass(frozen=True)
class _Package:
    uid: str
    fact: PackageFact
    has_purl: bool


@dataclass(frozen=True)
class _Match:
    uid: str
    named: bool  # whether the package is named by Trivy's ID of it; the detector of Azure Linux names none
    package: str
    version: str
    fact: MatchFact


def read_report(text: bytes) -> TrivyReport:
    """Return what the report says. Fields that are missing are empty; what is of another kind raises EngineError."""
    reader = _Reader()
    try:
        top = json.loads(text, object_hook=reader.reduce)
        if not isinstance(top, dict) or top.get("SchemaVersion") != REPORT_SCHEMA:
            raise EngineError(
                messages.REPORT_UNKNOWN(),
                messages.USE_PINNED_VERSION(),
            )
        metadata = top.get("Metadata") or {}
        reader.system(metadata.get("OS") or {})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _unreadable() from error
    return reader.report


def read_answer(answer: Json) -> TrivyReport:
    """Return the same of an answer of Trivy's server, as rpc_messages.SCANNED reads it."""
    reader = _Reader()
    try:
        for result in answer.get("Results") or ():
            reader.result(
                {
                    **result,
                    "Class": _str(result, "Class"),
                    "Packages": [_package(each) for each in result.get("Packages") or ()],
                    "Vulnerabilities": [_match(each) for each in result.get("Vulnerabilities") or ()],
                    "Secrets": [_secret(each) for each in result.get("Secrets") or ()],
                }
            )
        reader.system(answer.get("OS") or {})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable() from error
    return reader.report


def read_secrets(record: bytes, diff_id: str) -> list[FoundSecret]:
    """Return the secrets in Trivy's own record of the layer ``diff_id``, as a report would name them."""
    try:
        return secrets_in(json.loads(record), diff_id)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return []


def secrets_in(record: Json, diff_id: str) -> list[FoundSecret]:
    """Return the same of a record that is parsed. Raises TypeError or AttributeError where it is of another form."""
    return [
        replace(_secret(finding), path=_str(file, "FilePath").lstrip("/"), diff_id=diff_id)
        for file in record.get("Secrets") or []
        for finding in file.get("Findings") or []
    ]


def read_match(value: Json) -> MatchFact:
    """Return one vulnerability as Trivy writes it; the caller knows its package. Raises TypeError where it is none."""
    return MatchFact(
        purl="",
        vulnerability=_str(value, "VulnerabilityID"),
        severity=_severity(value),
        severity_source=_str(value, "SeveritySource"),
        fixed_version=_str(value, "FixedVersion"),
        status=_str(value, "Status"),
        url=_str(value, "PrimaryURL"),
    )


def _unreadable() -> EngineError:
    return EngineError(messages.REPORT_UNREADABLE(), messages.SCAN_AGAIN_OR_FIND_DEFECT(), retry=True)


class _Reader:
    def __init__(self) -> None:
        self.report = TrivyReport()

    def system(self, system: Json) -> None:
        """Take over the operating system as Trivy describes it."""
        family = _str(system, "Family")
        known = family not in ("", "none")  # "none": packages of a system that Trivy does not know
        self.report.os_name = f"{family} {_str(system, 'Name')}".strip() if known else ""
        self.report.os_end_of_life = system.get("EOSL") is True
        self.report.os_listed = not known or family in LISTED
        self.report.os_unknown = family == "none"
        self.report.system = {name: member for name, member in system.items() if name != "EOSL"}

    def reduce(self, value: Json) -> object:
        """Return what is kept of a JSON object whose members are reduced already."""
        if "VulnerabilityID" in value:
            return _match(value)
        if "RuleID" in value and "StartLine" in value:
            return _secret(value)
        if "Identifier" in value and "Name" in value:
            return _package(value)
        if "Target" in value and "Class" in value:
            self.result(value)
            return None
        return value

    def result(self, value: Json) -> None:
        """Take over one result: the packages and vulnerabilities of one target, or the secrets of one file."""
        target, kind = _str(value, "Target"), _str(value, "Type")
        own = value["Class"] == "os-pkgs"
        by_uid: dict[str, PackageFact] = {}
        others: dict[tuple[str, str], list[PackageFact]] = {}  # by name and version
        for package in _members(value, "Packages", _Package):
            fact = package.fact
            path = fact.path or (target if value["Class"] == "lang-pkgs" and "/" in target else "")
            record = fact.record if own else {**(fact.record or {}), "Type": kind}
            fact = replace(fact, path=path, type=fact.type if package.has_purl else kind, record=record)
            by_uid[package.uid] = fact
            others.setdefault((fact.name, fact.version), []).append(fact)
            self.report.packages.setdefault((fact.identity, fact.path), fact)
        for match in _members(value, "Vulnerabilities", _Match):
            named = by_uid.get(match.uid)
            holders = [named] if named else others.get((match.package, match.version), [])
            if named and own and not match.named:
                # Without an ID Trivy tells of namesakes (of two architectures) but one.
                alike = others[named.name, named.version]
                holders = [fact for fact in alike if _source_of(fact) == _source_of(named)]
            if not holders:
                raise ValueError("a vulnerability of a package that is not listed")
            for fact in holders:
                found = replace(match.fact, purl=fact.purl, package=fact.identity)
                self.report.matches.setdefault((fact.identity, found.vulnerability), found)
        for secret in _members(value, "Secrets", FoundSecret):
            if secret.diff_id:
                self.report.secrets.append(replace(secret, path=target.lstrip("/")))


def _package(value: Json) -> _Package:
    identifier = value["Identifier"] or {}
    name, version = _str(value, "Name"), _version(value, "")
    given = _str(identifier, "PURL")
    purl = given or _generic(name, version)
    fact = PackageFact(
        purl=purl,
        type=purl.removeprefix("pkg:").split("/", 1)[0],
        name=name,
        version=version,
        architecture=_str(value, "Arch"),
        source_name=_str(value, "SrcName"),
        source_version=_version(value, "Src"),
        licenses=_strs(value, "Licenses"),
        path=_str(value, "FilePath"),
        diff_id=_str(value.get("Layer") or {}, "DiffID"),
        record={member: what for member, what in value.items() if member not in _IMAGE_SPECIFIC_KEYS and what},
    )
    return _Package(_str(identifier, "UID"), fact, bool(given))


def _match(value: Json) -> _Match:
    identifier = value.get("PkgIdentifier") or {}
    name, version = _str(value, "PkgName"), _str(value, "InstalledVersion")
    fact = MatchFact(
        purl=_str(identifier, "PURL") or _generic(name, version),
        vulnerability=_str(value, "VulnerabilityID"),
        severity=_severity(value),
        severity_source=_str(value, "SeveritySource"),
        fixed_version=_str(value, "FixedVersion"),
        status=_str(value, "Status"),
        url=_str(value, "PrimaryURL"),
    )
    return _Match(_str(identifier, "UID"), bool(_str(value, "PkgID")), name, version, fact)


def _source_of(fact: PackageFact) -> tuple[str, str]:
    return fact.source_name, fact.source_version


def _secret(value: Json) -> FoundSecret:
    end_line = _int(value, "EndLine")
    lines = (value.get("Code") or {}).get("Lines") or []
    last = next((_str(line, "Content") for line in lines if line.get("Number") == end_line), "")
    return FoundSecret(
        rule=_str(value, "RuleID"),
        category=_str(value, "Category"),
        title=_str(value, "Title"),
        severity=_severity(value),
        path="",
        start_line=_int(value, "StartLine"),
        end_line=end_line,
        offset=_int(value, "Offset")
        if "Match" in value and not _str(value, "Match").startswith("Binary file ")
        else None,
        match=_str(value, "Match"),
        last_line=last,
        diff_id=_str(value.get("Layer") or {}, "DiffID"),
    )


def _version(value: Json, prefix: str) -> str:
    """Return epoch, version and release of a package (or of its source: ``Src``) as its package manager writes them."""
    version, release = _str(value, f"{prefix}Version"), _str(value, f"{prefix}Release")
    epoch = _int(value, f"{prefix}Epoch")
    return (f"{epoch}:" if epoch else "") + version + (f"-{release}" if release else "")


def _severity(value: Json) -> Severity:
    name = _str(value, "Severity")
    return Severity[name] if name in Severity.__members__ else Severity.UNKNOWN


def _generic(name: str, version: str) -> str:
    return f"pkg:generic/{quote(name, safe='')}@{quote(version, safe='')}"


def _str(value: Json, key: str) -> str:
    text = value.get(key)
    if text is None:
        return ""
    if not isinstance(text, str):
        raise TypeError(f"{key} is no text")
    return text.replace("\x00", "")


def _strs(value: Json, key: str) -> tuple[str, ...]:
    texts = value.get(key) or []
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise TypeError(f"{key} is no list of texts")
    return tuple(text.replace("\x00", "") for text in texts)


def _int(value: Json, key: str) -> int:
    number = value.get(key) or 0
    if not isinstance(number, int) or number < 0:
        raise TypeError(f"{key} is no count")
    return number


def _members(value: Json, key: str, kind: type[T]) -> list[T]:
    members = value.get(key) or []
    if not isinstance(members, list) or not all(isinstance(member, kind) for member in members):
        raise TypeError(f"{key} holds something else")
    return members

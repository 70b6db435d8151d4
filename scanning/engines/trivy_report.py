"""Reads Trivy's JSON report (SchemaVersion 2) of an image into facts.

The report is reduced while it is parsed: each package and each vulnerability becomes its facts as soon as its closing
brace is read, so that a report of many megabytes never stands in memory as dictionaries.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from scanning.engines.base import EngineError, MatchFact, PackageFact, Severity, VulnerabilityFact
from scanning.engines.trivy_secrets import FoundSecret

SCHEMA = 2
MAX_TEXT = 20_000  # characters of a description
MAX_REFERENCES = 100
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
_OF_THE_IMAGE = frozenset(
    ("ID", "Identifier", "Layer", "FilePath", "Licenses", "DependsOn", "InstalledFiles", "Locations", "Digest")
) | {"Maintainer", "Relationship", "Indirect", "Dev", "AnalyzedBy", "Fingerprint"}
_CVSS = (("V3Score", "V3Vector"), ("V40Score", "V40Vector"), ("V2Score", "V2Vector"))  # in the order of preference

Json = dict[str, Any]
T = TypeVar("T")


@dataclass
class Report:
    """What a report says."""

    os_name: str = ""
    os_end_of_life: bool = False
    os_listed: bool = True
    os_unknown: bool = False  # there are packages of an operating system that Trivy does not know
    system: Json = field(default_factory=dict)  # operating system as Trivy describes it
    packages: dict[tuple[str, str], PackageFact] = field(default_factory=dict)  # by purl and path
    vulnerabilities: dict[str, VulnerabilityFact] = field(default_factory=dict)
    matches: dict[tuple[str, str], MatchFact] = field(default_factory=dict)  # by purl and vulnerability
    secrets: list[FoundSecret] = field(default_factory=list)


@dataclass(frozen=True)
class _Package:
    uid: str
    fact: PackageFact
    has_purl: bool


@dataclass(frozen=True)
class _Match:
    uid: str
    fact: MatchFact


def read_report(text: bytes) -> Report:
    """Return what the report says. Fields that are missing are empty; what is of another kind raises EngineError."""
    reader = _Reader()
    try:
        top = json.loads(text, object_hook=reader.reduce)
        if not isinstance(top, dict) or top.get("SchemaVersion") != SCHEMA:
            raise EngineError(
                "Trivy wrote a report of a form that this console does not know.",
                "Use the version of Trivy that the project pins: remove TALLYMAN_TRIVY.",
            )
        metadata = top.get("Metadata") or {}
        system = metadata.get("OS") or {}
        family = _str(system, "Family")
        known = family not in ("", "none")  # "none": packages of a system that Trivy does not know
        reader.report.os_name = f"{family} {_str(system, 'Name')}".strip() if known else ""
        reader.report.os_end_of_life = system.get("EOSL") is True
        reader.report.os_listed = not known or family in LISTED
        reader.report.os_unknown = family == "none"
        reader.report.system = {name: member for name, member in system.items() if name != "EOSL"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EngineError(
            "Trivy wrote a report that cannot be read.",
            "Scan the image again. If it happens again, look for a defect of this version of Trivy.",
            retry=True,
        ) from error
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


def read_match(value: Json) -> tuple[MatchFact, VulnerabilityFact | None]:
    """Return one vulnerability as Trivy writes it, with what is known of it where that is told: it has ``References``.

    Raises TypeError, KeyError or ValueError where it is of another form.
    """
    reader = _Reader()
    fact = reader.match(value).fact
    return fact, reader.report.vulnerabilities[fact.vulnerability] if "DataSource" in value else None


class _Reader:
    def __init__(self) -> None:
        self.report = Report()

    def reduce(self, value: Json) -> object:
        """Return what is kept of a JSON object whose members are reduced already."""
        if "VulnerabilityID" in value:
            return self.match(value)
        if "RuleID" in value and "StartLine" in value:
            return _secret(value)
        if "Identifier" in value and "Name" in value:
            return _package(value)
        if "Target" in value and "Class" in value:
            self._result(value)
            return None
        return value

    def match(self, value: Json) -> _Match:
        """Return a vulnerability of a package, and note what is told of the vulnerability itself."""
        name = _str(value, "VulnerabilityID")
        severity, source = _severity(value), _str(value, "SeveritySource")
        if name not in self.report.vulnerabilities:
            rank, rated_by = _rating(value)
            score, vector = _cvss(value, rated_by)
            self.report.vulnerabilities[name] = VulnerabilityFact(
                id=name,
                title=_str(value, "Title")[:MAX_TEXT],
                description=_str(value, "Description")[:MAX_TEXT],
                severity=rank,
                severity_source=rated_by,
                cvss_score=score,
                cvss_vector=vector,
                references=_strs(value, "References")[:MAX_REFERENCES],
                cwes=_strs(value, "CweIDs"),
                published_at=_time(value, "PublishedDate"),
                modified_at=_time(value, "LastModifiedDate"),
            )
        identifier = value.get("PkgIdentifier") or {}
        purl = _str(identifier, "PURL") or _generic(_str(value, "PkgName"), _str(value, "InstalledVersion"))
        fact = MatchFact(
            purl=purl,
            vulnerability=name,
            severity=severity,
            severity_source=source,
            fixed_version=_str(value, "FixedVersion"),
            status=_str(value, "Status"),
            url=_str(value, "PrimaryURL"),
        )
        return _Match(_str(identifier, "UID"), fact)

    def _result(self, value: Json) -> None:
        """Take over one result: the packages and vulnerabilities of one target, or the secrets of one file."""
        target, kind = _str(value, "Target"), _str(value, "Type")
        by_uid: dict[str, str] = {}
        for package in _members(value, "Packages", _Package):
            fact = package.fact
            path = fact.path or (target if value["Class"] == "lang-pkgs" and "/" in target else "")
            record = fact.record if value["Class"] == "os-pkgs" else {**(fact.record or {}), "Type": kind}
            fact = replace(fact, path=path, type=fact.type if package.has_purl else kind, record=record)
            by_uid[package.uid] = fact.purl
            self.report.packages.setdefault((fact.purl, fact.path), fact)
        for match in _members(value, "Vulnerabilities", _Match):
            purl = by_uid.get(match.uid, match.fact.purl) if match.uid else match.fact.purl
            self.report.matches.setdefault((purl, match.fact.vulnerability), replace(match.fact, purl=purl))
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
        record={member: what for member, what in value.items() if member not in _OF_THE_IMAGE and what},
    )
    return _Package(_str(identifier, "UID"), fact, bool(given))


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


def _cvss(value: Json, severity_source: str) -> tuple[float | None, str]:
    """Return score and vector of the source of the severity, else of the NVD, else of any; version 3 before 4 and 2."""
    scores = value.get("CVSS") or {}
    for source in (severity_source, "nvd", *sorted(scores)):
        rating = scores.get(source) or {}
        for score, vector in _CVSS:
            if isinstance(rating.get(score), int | float):
                return float(rating[score]), _str(rating, vector)
    return None, ""


def _severity(value: Json) -> Severity:
    name = _str(value, "Severity")
    return Severity[name] if name in Severity.__members__ else Severity.UNKNOWN


def _rating(value: Json) -> tuple[Severity, str]:
    """Return the severity of a vulnerability and who gave it: the same whatever package of whatever system has it."""
    ranks = value.get("VendorSeverity") or {}
    for source in ("nvd", "ghsa", *sorted(ranks)):
        if isinstance(rank := ranks.get(source), int) and 0 <= rank < len(Severity):
            return Severity(rank + 1), source
    return _severity(value), _str(value, "SeveritySource")


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


def _time(value: Json, key: str) -> datetime | None:
    text = _str(value, key)
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time and time.tzinfo and time.year > 1 else None


def _members(value: Json, key: str, kind: type[T]) -> list[T]:
    members = value.get(key) or []
    if not isinstance(members, list) or not all(isinstance(member, kind) for member in members):
        raise TypeError(f"{key} holds something else")
    return members

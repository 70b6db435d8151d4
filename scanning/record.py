"""Writing what a scan found, as differences: an unchanged rescan writes no finding rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from hashlib import sha256
from itertools import islice
from typing import Any, TypeVar

from django.db import models

from inventory import summary
from inventory.models import Image
from scanning.engines.base import ImageReport, MalwareFact, MatchFact, PackageFact, SecretFact, VulnerabilityFact
from scanning.models import (
    ImagePackage,
    MalwareFinding,
    Package,
    PackageVulnerability,
    SecretFinding,
    Vulnerability,
)
from scanning.models.packages import SeverityRank

T = TypeVar("T")
PURL_LENGTH = SYSTEM_LENGTH = 600
MATCH_KEY = ("package_id", "vulnerability_id")
MATCH_VALUES = ("severity", "severity_source", "fixed_version", "status", "url")
AT_ONCE = 10_000  # rows that are held in memory before they are written
CHUNK = 400  # values in one query; SQLite allows 32,766 parameters, shorter statements plan faster


@dataclass
class Changes:
    """What became different in the vulnerabilities of some packages."""

    packages: set[int] = field(default_factory=set)  # ids of those with a difference
    added: int = 0
    gone: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # of all there are now, by name in summary.Counts


def record_packages(*, image: Image, report: ImageReport) -> Changes:
    """Write packages and vulnerabilities of ``image`` and return the differences, with the counts of the image."""
    packages, stale = _packages(report)
    _image_packages(image, report.packages, packages)
    known = record_vulnerabilities(report.vulnerabilities)
    matches = [(package, match) for match in report.matches if (package := packages.get(_purl(match.purl)))]
    changes = record_matches(packages=packages.values(), known=known, matches=matches)
    if stale:
        mark_matched(packages.values(), matched_with=report.matched_with)
    changes.counts["packages"] = len(set(packages.values()))
    return changes


def record_matches(
    *,
    packages: Collection[int],
    known: Mapping[str, int],
    matches: Iterable[tuple[int, MatchFact]],
    rematch: int | None = None,
) -> Changes:
    """Make ``matches`` the vulnerabilities of ``packages`` (ids) and return the differences, which alone are written.

    ``known`` has the ids of the vulnerabilities by name; ``rematch`` is the id of the Rematch that brings new ones.
    """
    wanted = {
        (package, known[match.vulnerability]): match for package, match in matches if match.vulnerability in known
    }
    present: dict[tuple[int, int], tuple[Any, ...]] = {}
    for chunk in _chunks(packages):
        rows = PackageVulnerability.objects.filter(package_id__in=chunk)
        present |= {(row[0], row[1]): row[2:] for row in rows.values_list(*MATCH_KEY, *MATCH_VALUES, "pk")}
    added: list[PackageVulnerability] = []
    changed: list[PackageVulnerability] = []
    differing: set[int] = set()
    number = 0
    for (package, vulnerability), match in wanted.items():
        there = present.get((package, vulnerability))
        if there and there[:-1] == tuple(getattr(match, name) for name in MATCH_VALUES):
            continue
        values = _clean(PackageVulnerability, **{name: getattr(match, name) for name in MATCH_VALUES})
        row = PackageVulnerability(package_id=package, vulnerability_id=vulnerability, **values)
        if there is None:
            row.rematch_id = rematch
            added.append(row)
            differing.add(package)
            number += 1
            if len(added) >= AT_ONCE:  # an image may have hundreds of thousands
                PackageVulnerability.objects.bulk_create(added, batch_size=CHUNK, ignore_conflicts=True)
                added = []
        elif there[:-1] != tuple(values.values()):  # else a text that was cut to fit
            row.pk = there[-1]
            changed.append(row)
    gone = [(key, row[-1]) for key, row in present.items() if key not in wanted]
    if added:
        PackageVulnerability.objects.bulk_create(added, batch_size=CHUNK, ignore_conflicts=True)
    if changed:
        PackageVulnerability.objects.bulk_update(changed, MATCH_VALUES, batch_size=CHUNK)
    for some in _chunks(pk for _key, pk in gone):
        PackageVulnerability.objects.filter(pk__in=some).delete()
    differing |= {row.package_id for row in changed} | {package for (package, _other), _pk in gone}
    return Changes(differing, number, len(gone), _counted(wanted.values()))


def _counted(matches: Iterable[MatchFact]) -> dict[str, int]:
    counts = dict.fromkeys((*summary.SEVERITIES, "fixable"), 0)
    for match in matches:
        counts[SeverityRank(match.severity).name.lower()] += 1
        counts["fixable"] += bool(match.fixed_version)
    return counts


def mark_matched(packages: Iterable[int], *, matched_with: str) -> None:
    """Note of packages, by their ids, what their vulnerabilities are by."""
    for chunk in _chunks(packages):
        Package.objects.filter(pk__in=chunk).exclude(matched_with=matched_with).update(matched_with=matched_with)


def record_secrets(*, image: Image, secrets: Sequence[SecretFact]) -> dict[str, int]:
    """Make ``secrets`` the sensitive data of ``image``, and return the counts by their names in summary.Counts."""
    wanted = {
        (fact.rule, fact.path, fact.start_line, fact.fingerprint): _clean(
            SecretFinding,
            rule=fact.rule,
            category=fact.category,
            title=fact.title,
            severity=int(fact.severity),
            path=fact.path,
            start_line=fact.start_line,
            end_line=fact.end_line,
            masked=fact.masked,
            fingerprint=fact.fingerprint,
            diff_id=fact.diff_id,
        )
        for fact in secrets
    }
    present = SecretFinding.objects.filter(image=image)
    kept = _replace(SecretFinding, present, ["rule", "path", "start_line", "fingerprint"], wanted, image)
    return {"sensitive": len(kept), "sensitive_highest": _worst(kept)}


def record_malware(*, image: Image, findings: Iterable[tuple[str, MalwareFact]]) -> dict[str, int]:
    """Make ``findings``, pairs of diff ID and fact, the viruses and trojans of ``image``, and return their counts."""
    wanted = {
        (fact.engine, fact.rule, fact.path, diff_id): _clean(
            MalwareFinding, diff_id=diff_id, **{part.name: getattr(fact, part.name) for part in fields(fact)}
        )
        for diff_id, fact in findings
    }
    present = MalwareFinding.objects.filter(image=image)
    kept = _replace(MalwareFinding, present, ["engine", "rule", "path", "diff_id"], wanted, image)
    kinds = Counter(values["kind"] for values in kept)
    viruses, trojans = kinds[MalwareFinding.Kind.VIRUS], kinds[MalwareFinding.Kind.TROJAN]
    return {"viruses": viruses, "trojans": trojans, "malware_highest": _worst(kept)}


def _worst(kept: Iterable[Mapping[str, Any]]) -> int:
    return max((int(values["severity"]) for values in kept), default=0)


def _packages(report: ImageReport) -> tuple[dict[str, int], bool]:
    """Return the ids of the packages by purl, adding those that no image had before.

    And whether of any it is not known that it was matched last by what the report was.
    """
    wanted = {_purl(fact.purl): fact for fact in report.packages}
    ids: dict[str, int] = {}
    stale = []  # not known to be of this engine, database and system
    for chunk in _chunks(wanted):
        rows = Package.objects.filter(purl__in=chunk).values_list("purl", "pk", "system", "matched_with")
        for purl, pk, system, matched_with in rows:
            ids[purl] = pk
            if matched_with != report.matched_with or system != _system(wanted[purl], report):
                stale.append(pk)
    unlike = [
        row
        for chunk in _chunks(stale)
        for row in Package.objects.filter(pk__in=chunk).only("purl", "record", "system")
        if _differs(row, _matched_by(wanted[row.purl], report))
    ]
    if unlike:
        Package.objects.bulk_update(unlike, ["record", "system"], batch_size=100)
    new = [
        Package(
            **_clean(
                Package,
                purl=purl,
                type=fact.type,
                name=fact.name,
                version=fact.version,
                architecture=fact.architecture,
                source_name=fact.source_name,
                source_version=fact.source_version,
                licenses=list(fact.licenses),
                **_matched_by(fact, report),
            )
        )
        for purl, fact in wanted.items()
        if purl not in ids
    ]
    if new:
        Package.objects.bulk_create(new, batch_size=CHUNK, ignore_conflicts=True)
        ids |= _ids(Package, "purl", (row.purl for row in new))
    return ids, bool(stale or new)


def _matched_by(fact: PackageFact, report: ImageReport) -> dict[str, Any]:
    """Return what a package is matched again by: record and system."""
    system = _system(fact, report)
    return {"record": {} if system is None else _fit(fact.record), "system": system}


def _system(fact: PackageFact, report: ImageReport) -> str | None:
    """Return the system that a package is matched for; None where it cannot be matched again without its image."""
    if fact.record is None:
        return None
    system = "" if "Type" in fact.record else report.system
    return None if system is None or len(system) > SYSTEM_LENGTH else system


def _image_packages(image: Image, facts: Sequence[PackageFact], packages: dict[str, int]) -> None:
    wanted = {
        (packages[_purl(fact.purl)], _text(fact.path, 1000)): {"diff_id": _text(fact.diff_id, 140)} for fact in facts
    }
    present = {(row.package_id, row.path): row for row in ImagePackage.objects.filter(image=image)}
    ImagePackage.objects.bulk_create(
        [
            ImagePackage(image_id=image.pk, package_id=package, path=path, **values)
            for (package, path), values in wanted.items()
            if (package, path) not in present
        ],
        batch_size=CHUNK,
    )
    moved = [row for key, row in present.items() if key in wanted and _differs(row, wanted[key])]
    if moved:
        ImagePackage.objects.bulk_update(moved, ["diff_id"], batch_size=CHUNK)
    _delete(ImagePackage.objects, [row for key, row in present.items() if key not in wanted])


def record_vulnerabilities(facts: Sequence[VulnerabilityFact]) -> dict[str, int]:
    """Return the ids of the vulnerabilities by name, adding new ones and renewing those that read differently."""
    wanted = {
        fact.id: _clean(
            Vulnerability,
            name=fact.id,
            title=fact.title,
            description=fact.description,
            severity=int(fact.severity),
            severity_source=fact.severity_source,
            cvss_score=fact.cvss_score,
            cvss_vector=fact.cvss_vector,
            references=list(fact.references),
            cwes=list(fact.cwes),
            published_at=fact.published_at,
            modified_at=fact.modified_at,
        )
        for fact in facts
    }
    present: dict[str, Vulnerability] = {}
    for chunk in _chunks(wanted):
        present |= {row.name: row for row in Vulnerability.objects.filter(name__in=chunk)}
    ids = {name: row.pk for name, row in present.items()}
    new = [Vulnerability(**values) for name, values in wanted.items() if name not in present]
    if new:
        Vulnerability.objects.bulk_create(new, batch_size=CHUNK, ignore_conflicts=True)
        ids |= _ids(Vulnerability, "name", (row.name for row in new))
    changed = [row for name, row in present.items() if _differs(row, wanted[name])]
    if changed:
        names = [name for name in next(iter(wanted.values())) if name != "name"]
        Vulnerability.objects.bulk_update(changed, names, batch_size=100)
    return ids


def _replace(
    model: type[Any],
    present: models.QuerySet[Any],
    key: Sequence[str],
    wanted: dict[tuple[Any, ...], dict[str, Any]],
    image: Image,
) -> list[dict[str, Any]]:
    """Make the rows of ``present`` those of ``wanted`` with as few writes as it takes, and return what they hold."""
    rows = {tuple(getattr(row, name) for name in key): row for row in present}
    wanted = {tuple(values[name] for name in key): values for values in wanted.values()}
    if new := [model(image=image, **values) for identity, values in wanted.items() if identity not in rows]:
        model.objects.bulk_create(new, batch_size=CHUNK)
    changed = [row for identity, row in rows.items() if identity in wanted and _differs(row, wanted[identity])]
    if changed:
        names = [name for name in next(iter(wanted.values())) if name not in key]
        model.objects.bulk_update(changed, names, batch_size=CHUNK)
    _delete(model.objects, [row for identity, row in rows.items() if identity not in wanted])
    return list(wanted.values())


def _differs(row: models.Model, values: dict[str, Any]) -> bool:
    """Put ``values`` on ``row`` and return whether that changed anything."""
    different = False
    for name, value in values.items():
        if getattr(row, name) != value:
            setattr(row, name, value)
            different = True
    return different


def _ids(model: type[Any], field: str, values: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for chunk in _chunks(values):
        found |= dict(model.objects.filter(**{f"{field}__in": chunk}).values_list(field, "pk"))
    return found


def _delete(manager: models.Manager[Any], rows: Sequence[models.Model]) -> None:
    for chunk in _chunks(row.pk for row in rows):
        manager.filter(pk__in=chunk).delete()


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(values)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with every text fit to be kept as JSON."""
    return {name: _text(value, None) if isinstance(value, str) else value for name, value in values.items()}


def _fit(value: Any) -> Any:
    """Return ``value`` with every text in it as every database can keep it."""
    if isinstance(value, str):
        return _text(value, None)
    if isinstance(value, Mapping):
        return {_fit(name): _fit(member) for name, member in value.items()}
    return [_fit(member) for member in value] if isinstance(value, list | tuple) else value


def _purl(purl: str) -> str:
    """Return ``purl`` as the identity of a package: of one too long for the column, its start and its SHA-256."""
    text = _text(purl, None)
    return text if len(text) <= PURL_LENGTH else f"{text[: PURL_LENGTH - 65]}#{sha256(text.encode()).hexdigest()}"


def _text(value: str, length: int | None) -> str:
    """Return ``value`` as every database can keep it: without NUL, bytes that are no UTF-8 escaped, cut to length."""
    value = value.replace("\x00", "\ufffd").encode("utf-8", "backslashreplace").decode()
    return value if length is None or len(value) <= length else value[: length - 1] + "…"


def _clean(model: type[models.Model], **values: Any) -> dict[str, Any]:
    """Return ``values`` with every text fit for its column of ``model``."""
    return {
        name: [_text(str(item), None) for item in value]
        if isinstance(value, list)
        else _text(value, getattr(model._meta.get_field(name), "max_length", None))
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }

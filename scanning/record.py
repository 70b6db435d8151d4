"""Writing what a scan found, as differences: an unchanged rescan writes no finding rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    PackageVariant,
    PackageVulnerability,
    SecretFinding,
    Vulnerability,
)
from scanning.models.packages import SeverityRank

T = TypeVar("T")
PURL_LENGTH = SYSTEM_LENGTH = 600
MATCH_KEY = ("variant_id", "vulnerability_id")
MATCH_VALUES = ("severity", "severity_source", "fixed_version", "status", "url")
AT_ONCE = 10_000  # rows that are held in memory before they are written
CHUNK = 400  # values in one query; SQLite allows 32,766 parameters, shorter statements plan faster

Stored = dict[int, tuple[Any, ...]]  # what is stored of the vulnerabilities of one variant: MATCH_VALUES by their ids


@dataclass
class Changes:
    """What became different in the vulnerabilities of some variants of packages."""

    variants: set[int] = field(default_factory=set)  # ids of those with a difference
    added: int = 0
    gone: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # of all there are now, by name in summary.Counts
    newer: str = ""  # the newer database that all vulnerabilities are by already, as ImageReport.matched_with


@dataclass
class _Variant:
    """A variant that an image holds, and what its report says of it."""

    key: str
    fact: PackageFact
    system: str | None
    pk: int = 0  # 0: not stored yet
    package: int = 0
    matched_with: str = ""


def record_packages(*, image: Image, report: ImageReport) -> Changes:
    """Write packages and vulnerabilities of ``image`` and return the differences, with the counts of the image.

    What is stored of a variant that is matched with this database or a newer one stays as it is. Where the report says
    something else of one, the image gets a variant of its own, and the shared one is matched again.
    """
    known = record_vulnerabilities(report.vulnerabilities)
    found: dict[str, dict[int, MatchFact]] = {}
    for match in report.matches:
        if match.vulnerability in known:
            found.setdefault(match.package, {})[known[match.vulnerability]] = match
    held = [(fact, _variant(fact, report, image)) for fact in report.packages]
    variants = {variant.key: variant for _fact, variant in held}
    _look_up(variants)
    settled = {
        variant.pk: variant
        for variant in variants.values()
        if variant.pk and variant.system is not None and variant.matched_with >= report.matched_with > ""
    }
    stored = _stored_matches(settled)
    unlike = [
        variant
        for pk, variant in settled.items()
        if variant.matched_with == report.matched_with
        and not _same(stored.get(pk, {}), found.get(variant.fact.identity, {}))
    ]
    if unlike:
        PackageVariant.objects.filter(pk__in=[variant.pk for variant in unlike]).update(matched_with="")
        own = {variant.key: _own(variant.fact, image) for variant in unlike}
        _look_up({variant.key: variant for variant in own.values()})
        for variant in unlike:
            del settled[variant.pk]
            del variants[variant.key]
        variants |= {variant.key: variant for variant in own.values()}
        held = [(fact, own.get(variant.key, variant)) for fact, variant in held]
    _create([variant for variant in variants.values() if not variant.pk])
    _image_packages(image, [(fact, variants[variant.key]) for fact, variant in held])
    rest = {variant.pk: variant for variant in variants.values() if variant.pk not in settled}
    changes = record_matches(
        variants={pk: variant.package for pk, variant in rest.items()},
        known=known,
        matches=((pk, each) for pk, one in rest.items() for each in found.get(one.fact.identity, {}).values()),
    )
    mark_matched(
        (pk for pk, variant in rest.items() if variant.matched_with != report.matched_with),
        matched_with=report.matched_with,
    )
    for values in (one for pk in settled for one in stored.get(pk, {}).values()):
        _count(changes.counts, severity=values[0], fixed_version=values[2])
    changes.counts["packages"] = len({variant.package for variant in variants.values()})
    by = {variant.matched_with for variant in settled.values()}
    if not rest and by and min(by) > report.matched_with:
        changes.newer = min(by)
    return changes


def record_matches(
    *,
    variants: Mapping[int, int],
    known: Mapping[str, int],
    matches: Iterable[tuple[int, MatchFact]],
    rematch: int | None = None,
) -> Changes:
    """Make ``matches`` the vulnerabilities of ``variants`` and return the differences, which alone are written.

    ``variants`` are ids with those of their packages; ``known`` has the ids of the vulnerabilities by name; ``rematch``
    is the id of the Rematch that brings new ones.
    """
    wanted = {
        (variant, known[match.vulnerability]): match for variant, match in matches if match.vulnerability in known
    }
    present: dict[tuple[int, int], tuple[Any, ...]] = {}
    for chunk in _chunks(variants):
        rows = PackageVulnerability.objects.filter(variant_id__in=chunk)
        present |= {(row[0], row[1]): row[2:] for row in rows.values_list(*MATCH_KEY, *MATCH_VALUES, "pk")}
    added: list[PackageVulnerability] = []
    changed: list[PackageVulnerability] = []
    differing: set[int] = set()
    number = 0
    for (variant, vulnerability), match in wanted.items():
        there = present.get((variant, vulnerability))
        if there and there[:-1] == _told(match):
            continue
        values = _clean(PackageVulnerability, **dict(zip(MATCH_VALUES, _told(match), strict=True)))
        row = PackageVulnerability(
            variant_id=variant, package_id=variants[variant], vulnerability_id=vulnerability, **values
        )
        if there is None:
            row.rematch_id = rematch
            added.append(row)
            differing.add(variant)
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
    differing |= {row.variant_id for row in changed} | {variant for (variant, _other), _pk in gone}
    return Changes(differing, number, len(gone), _counted(wanted.values()))


def package_key(fact: PackageFact) -> str:
    """Return the key of the Package that ``fact`` is shown as."""
    named = (fact.purl, fact.type, fact.name, fact.version, fact.architecture, fact.source_name, fact.source_version)
    return _digest(named)


def variant_key(fact: PackageFact, *, system: str | None, image_id: str = "") -> str:
    """Return the key of the PackageVariant that ``fact`` is within ``system``; of one image alone by its ``image_id``.

    Raises ValueError where neither a system nor an image is given: whatever stands for itself must not be shared.
    """
    if system is None and not image_id:
        raise ValueError("a package that cannot be matched without its image belongs to that alone")
    return _digest((fact.identity, list(fact.licenses), system, image_id))


def _digest(told: Sequence[object]) -> str:
    return sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()


def _told(match: MatchFact) -> tuple[Any, ...]:
    return tuple(getattr(match, name) for name in MATCH_VALUES)


def _stored_matches(variants: Iterable[int]) -> dict[int, Stored]:
    """Return what is stored of the vulnerabilities of variants, by their ids."""
    stored: dict[int, Stored] = {}
    for chunk in _chunks(variants):
        rows = PackageVulnerability.objects.filter(variant_id__in=chunk).values_list(*MATCH_KEY, *MATCH_VALUES)
        for variant, vulnerability, *values in rows:
            stored.setdefault(variant, {})[vulnerability] = tuple(values)
    return stored


def _same(stored: Stored, found: Mapping[int, MatchFact]) -> bool:
    """Return whether a report says of a package what is stored of it."""
    if stored.keys() != found.keys():
        return False
    return all(
        stored[pk] == (told := _told(match))
        or stored[pk] == tuple(_clean(PackageVulnerability, **dict(zip(MATCH_VALUES, told, strict=True))).values())
        for pk, match in found.items()
    )


def _counted(matches: Iterable[MatchFact]) -> dict[str, int]:
    counts = dict.fromkeys((*summary.SEVERITIES, "fixable"), 0)
    for match in matches:
        _count(counts, severity=match.severity, fixed_version=match.fixed_version)
    return counts


def _count(counts: dict[str, int], *, severity: int, fixed_version: str) -> None:
    counts[SeverityRank(severity).name.lower()] += 1
    counts["fixable"] += bool(fixed_version)


def mark_matched(variants: Iterable[int], *, matched_with: str) -> None:
    """Note of variants, by their ids, what their vulnerabilities are by."""
    for chunk in _chunks(variants):
        rows = PackageVariant.objects.filter(pk__in=chunk)
        rows.exclude(matched_with=matched_with, failed_with="").update(
            matched_with=matched_with, failed_with="", failure=""
        )


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


def _variant(fact: PackageFact, report: ImageReport, image: Image) -> _Variant:
    """Return the variant that a package of ``image`` is."""
    system = _system(fact, report)
    if system is None:
        return _own(fact, image)
    return _Variant(variant_key(fact, system=system), fact, system)


def _own(fact: PackageFact, image: Image) -> _Variant:
    """Return the variant of a package that ``image`` shares with none: scans alone match it."""
    return _Variant(variant_key(fact, system=None, image_id=image.image_id), fact, None)


def _system(fact: PackageFact, report: ImageReport) -> str | None:
    """Return the system that a package is matched for; None where it cannot be matched again without its image."""
    if fact.record is None:
        return None
    system = "" if "Type" in fact.record else report.system
    return None if system is None or len(system) > SYSTEM_LENGTH else system


def _look_up(variants: Mapping[str, _Variant]) -> None:
    """Fill in what is stored of variants, given by their keys."""
    for chunk in _chunks(variants):
        rows = PackageVariant.objects.filter(key__in=chunk).values_list("key", "pk", "package_id", "matched_with")
        for key, pk, package, matched_with in rows:
            one = variants[key]
            one.pk, one.package, one.matched_with = pk, package, matched_with


def _create(variants: Sequence[_Variant]) -> None:
    """Store variants that no image had before, with their packages; fill in their ids."""
    if not variants:
        return
    packages = {package_key(variant.fact): variant.fact for variant in variants}
    ids = _ids(Package, "key", packages)
    if new := [_package(key, fact) for key, fact in packages.items() if key not in ids]:
        Package.objects.bulk_create(new, batch_size=CHUNK, ignore_conflicts=True)
        ids |= _ids(Package, "key", (row.key for row in new))
    rows = [
        PackageVariant(
            key=variant.key,
            package_id=ids[package_key(variant.fact)],
            licenses=[_text(each, None) for each in variant.fact.licenses],
            record={} if variant.system is None else _fit(variant.fact.record),
            system=variant.system,
        )
        for variant in variants
    ]
    PackageVariant.objects.bulk_create(rows, batch_size=CHUNK, ignore_conflicts=True)
    _look_up({variant.key: variant for variant in variants})


def _package(key: str, fact: PackageFact) -> Package:
    names = ("type", "name", "version", "architecture", "source_name", "source_version")
    return Package(key=key, **_clean(Package, purl=_purl(fact.purl), **{name: getattr(fact, name) for name in names}))


def _image_packages(image: Image, held: Sequence[tuple[PackageFact, _Variant]]) -> None:
    wanted = {
        (variant.pk, _text(fact.path, 1000)): (variant.package, {"diff_id": _text(fact.diff_id, 140)})
        for fact, variant in held
    }
    present = {(row.variant_id, row.path): row for row in ImagePackage.objects.filter(image=image)}
    ImagePackage.objects.bulk_create(
        [
            ImagePackage(image_id=image.pk, variant_id=variant, package_id=package, path=path, **values)
            for (variant, path), (package, values) in wanted.items()
            if (variant, path) not in present
        ],
        batch_size=CHUNK,
    )
    moved = [row for key, row in present.items() if key in wanted and _differs(row, wanted[key][1])]
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

"""Writing what a scan found, as differences: an unchanged rescan writes no finding rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any

from django.db import models

from console.db.batches import batched
from inventory import image_summary
from inventory.models import Image
from scanning.engines.base import ImageReport, MalwareFact, MatchFact, PackageFact, SecretFact, VulnerabilityFact
from scanning.findings.package_variants import Variant, create, look_up, own_variant, variant_of
from scanning.models import (
    ImagePackage,
    MalwareFinding,
    PackageVariant,
    PackageVulnerability,
    SecretFinding,
    Vulnerability,
)
from scanning.models.packages import SeverityRank
from scanning.models.rows import CHUNK_ROWS, assign, delete, ids_by, storable_fields, storable_text

MATCH_KEY = ("variant_id", "vulnerability_id")
MATCH_VALUES = ("severity", "severity_source", "fixed_version", "status", "url")
BATCH_ROWS = 10_000  # rows that are held in memory before they are written

StoredMatches = dict[
    int, tuple[Any, ...]
]  # what is stored of the vulnerabilities of one variant: MATCH_VALUES by their ids


@dataclass
class MatchChanges:
    """What became different in the vulnerabilities of some variants of packages."""

    variants: set[int] = field(default_factory=set)  # ids of those with a difference
    added: int = 0
    gone: int = 0
    counts: dict[str, int] = field(default_factory=dict)  # of all there are now, by name in summary.Counts
    newer: str = ""  # the newer database that all vulnerabilities are by already, as ImageReport.matched_with


def store_packages(*, image: Image, report: ImageReport) -> MatchChanges:
    """Write packages and vulnerabilities of ``image`` and return the differences, with the counts of the image.

    What is stored of a variant that is matched with this database or a newer one stays as it is. Where the report says
    something else of one, the image gets a variant of its own, and the shared one is matched again: by a rematch, until
    when no scan changes it either.
    """
    known = store_vulnerabilities(report.vulnerabilities)
    found: dict[str, dict[int, MatchFact]] = {}
    for match in report.matches:
        if match.vulnerability in known:
            found.setdefault(match.package, {})[known[match.vulnerability]] = match
    held = [(fact, variant_of(fact, report, image)) for fact in report.packages]
    variants = {variant.key: variant for _fact, variant in held}
    look_up(variants)
    settled = {
        variant.pk: variant
        for variant in variants.values()
        if variant.pk
        and variant.system is not None
        and (variant.matched_with >= report.matched_with > "" or not variant.matched_with)
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
        own = {variant.key: own_variant(variant.fact, image) for variant in unlike}
        look_up({variant.key: variant for variant in own.values()})
        for variant in unlike:
            del settled[variant.pk]
            del variants[variant.key]
        variants |= {variant.key: variant for variant in own.values()}
        held = [(fact, own.get(variant.key, variant)) for fact, variant in held]
    create([variant for variant in variants.values() if not variant.pk])
    _image_packages(image, [(fact, variants[variant.key]) for fact, variant in held])
    rest = {variant.pk: variant for variant in variants.values() if variant.pk not in settled}
    changes = store_matches(
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


def store_matches(
    *,
    variants: Mapping[int, int],
    known: Mapping[str, int],
    matches: Iterable[tuple[int, MatchFact]],
    rematch: int | None = None,
) -> MatchChanges:
    """Make ``matches`` the vulnerabilities of ``variants`` and return the differences, which alone are written.

    ``variants`` are ids with those of their packages; ``known`` has the ids of the vulnerabilities by name; ``rematch``
    is the id of the Rematch that brings new ones.
    """
    wanted = {
        (variant, known[match.vulnerability]): match for variant, match in matches if match.vulnerability in known
    }
    present: dict[tuple[int, int], tuple[Any, ...]] = {}
    for chunk in batched(variants, CHUNK_ROWS):
        rows = PackageVulnerability.objects.filter(variant_id__in=chunk)
        present |= {(row[0], row[1]): row[2:] for row in rows.values_list(*MATCH_KEY, *MATCH_VALUES, "pk")}
    added: list[PackageVulnerability] = []
    changed: list[PackageVulnerability] = []
    differing: set[int] = set()
    number = 0
    for (variant, vulnerability), match in wanted.items():
        there = present.get((variant, vulnerability))
        if there and there[:-1] == _match_values(match):
            continue
        values = storable_fields(PackageVulnerability, **dict(zip(MATCH_VALUES, _match_values(match), strict=True)))
        row = PackageVulnerability(
            variant_id=variant, package_id=variants[variant], vulnerability_id=vulnerability, **values
        )
        if there is None:
            row.rematch_id = rematch
            added.append(row)
            differing.add(variant)
            number += 1
            if len(added) >= BATCH_ROWS:  # an image may have hundreds of thousands
                PackageVulnerability.objects.bulk_create(added, batch_size=CHUNK_ROWS, ignore_conflicts=True)
                added = []
        elif there[:-1] != tuple(values.values()):  # else a text that was cut to fit
            row.pk = there[-1]
            changed.append(row)
    gone = [(key, row[-1]) for key, row in present.items() if key not in wanted]
    if added:
        PackageVulnerability.objects.bulk_create(added, batch_size=CHUNK_ROWS, ignore_conflicts=True)
    if changed:
        PackageVulnerability.objects.bulk_update(changed, MATCH_VALUES, batch_size=CHUNK_ROWS)
    for some in batched((pk for _key, pk in gone), CHUNK_ROWS):
        PackageVulnerability.objects.filter(pk__in=some).delete()
    differing |= {row.variant_id for row in changed} | {variant for (variant, _other), _pk in gone}
    return MatchChanges(differing, number, len(gone), _counted(wanted.values()))


_match_values: Callable[[MatchFact], tuple[Any, ...]] = attrgetter(*MATCH_VALUES)


def _stored_matches(variants: Iterable[int]) -> dict[int, StoredMatches]:
    """Return what is stored of the vulnerabilities of variants, by their ids."""
    stored: dict[int, StoredMatches] = {}
    for chunk in batched(variants, CHUNK_ROWS):
        rows = PackageVulnerability.objects.filter(variant_id__in=chunk).values_list(*MATCH_KEY, *MATCH_VALUES)
        for variant, vulnerability, *values in rows:
            stored.setdefault(variant, {})[vulnerability] = tuple(values)
    return stored


def _same(stored: StoredMatches, found: Mapping[int, MatchFact]) -> bool:
    """Return whether a report says of a package what is stored of it."""
    if stored.keys() != found.keys():
        return False
    return all(
        stored[pk] == (told := _match_values(match))
        or stored[pk]
        == tuple(storable_fields(PackageVulnerability, **dict(zip(MATCH_VALUES, told, strict=True))).values())
        for pk, match in found.items()
    )


def _counted(matches: Collection[MatchFact]) -> dict[str, int]:
    counts = dict.fromkeys((*image_summary.SEVERITIES, "fixable"), 0)
    for severity, number in Counter(int(match.severity) for match in matches).items():
        counts[SeverityRank(severity).name.lower()] += number
    counts["fixable"] = sum(bool(match.fixed_version) for match in matches)
    return counts


def _count(counts: dict[str, int], *, severity: int, fixed_version: str) -> None:
    counts[SeverityRank(severity).name.lower()] += 1
    counts["fixable"] += bool(fixed_version)


def mark_matched(variants: Iterable[int], *, matched_with: str) -> None:
    """Note of variants, by their ids, what their vulnerabilities are by."""
    for chunk in batched(variants, CHUNK_ROWS):
        rows = PackageVariant.objects.filter(pk__in=chunk)
        rows.exclude(matched_with=matched_with, failed_with="").update(
            matched_with=matched_with, failed_with="", failure=""
        )


def store_secrets(*, image: Image, secrets: Sequence[SecretFact]) -> dict[str, int]:
    """Make ``secrets`` the sensitive data of ``image``, and return the counts by their names in summary.Counts."""
    wanted = {
        (fact.rule, fact.path, fact.start_line, fact.fingerprint): storable_fields(
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


def store_malware(*, image: Image, findings: Iterable[tuple[str, MalwareFact]]) -> dict[str, int]:
    """Make ``findings``, pairs of diff ID and fact, the viruses and trojans of ``image``, and return their counts."""
    wanted = {
        (fact.engine, fact.rule, fact.path, diff_id): storable_fields(
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


def _image_packages(image: Image, held: Sequence[tuple[PackageFact, Variant]]) -> None:
    wanted = {
        (variant.pk, storable_text(fact.path, 1000)): (variant.package, {"diff_id": storable_text(fact.diff_id, 140)})
        for fact, variant in held
    }
    present = {(row.variant_id, row.path): row for row in ImagePackage.objects.filter(image=image)}
    ImagePackage.objects.bulk_create(
        [
            ImagePackage(image_id=image.pk, variant_id=variant, package_id=package, path=path, **values)
            for (variant, path), (package, values) in wanted.items()
            if (variant, path) not in present
        ],
        batch_size=CHUNK_ROWS,
    )
    moved = [row for key, row in present.items() if key in wanted and assign(row, wanted[key][1])]
    if moved:
        ImagePackage.objects.bulk_update(moved, ["diff_id"], batch_size=CHUNK_ROWS)
    delete(ImagePackage.objects, [row for key, row in present.items() if key not in wanted])


def store_vulnerabilities(facts: Sequence[VulnerabilityFact]) -> dict[str, int]:
    """Return the ids of the vulnerabilities by name, adding new ones and renewing those that read differently."""
    wanted = {
        fact.id: storable_fields(
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
    for chunk in batched(wanted, CHUNK_ROWS):
        present |= {row.name: row for row in Vulnerability.objects.filter(name__in=chunk)}
    ids = {name: row.pk for name, row in present.items()}
    new = [Vulnerability(**values) for name, values in wanted.items() if name not in present]
    if new:
        Vulnerability.objects.bulk_create(new, batch_size=CHUNK_ROWS, ignore_conflicts=True)
        ids |= ids_by(Vulnerability, "name", (row.name for row in new))
    changed = [row for name, row in present.items() if assign(row, wanted[name])]
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
        model.objects.bulk_create(new, batch_size=CHUNK_ROWS)
    changed = [row for identity, row in rows.items() if identity in wanted and assign(row, wanted[identity])]
    if changed:
        names = [name for name in next(iter(wanted.values())) if name not in key]
        model.objects.bulk_update(changed, names, batch_size=CHUNK_ROWS)
    delete(model.objects, [row for identity, row in rows.items() if identity not in wanted])
    return list(wanted.values())

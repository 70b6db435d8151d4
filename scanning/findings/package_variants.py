"""Which variants of packages an image holds, and their rows. Their keys hold all that they are matched and shown by."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from console.db.batches import batched
from inventory.models import Image
from scanning.engines.base import ImageReport, PackageFact
from scanning.models import Package, PackageVariant
from scanning.models.rows import CHUNK_ROWS, ids_by, storable, storable_fields, storable_text

MAX_PURL_CHARACTERS = MAX_SYSTEM_CHARACTERS = 600


@dataclass
class Variant:
    """A variant that an image holds, and what its report says of it."""

    key: str
    fact: PackageFact
    system: str | None
    pk: int = 0  # 0: not stored yet
    package: int = 0
    matched_with: str = ""


def package_key(fact: PackageFact) -> str:
    """Return the key of the Package that ``fact`` is shown as."""
    named = (fact.purl, fact.type, fact.name, fact.version, fact.architecture, fact.source_name, fact.source_version)
    return _digest(named)


def variant_key(fact: PackageFact, *, system: str | None, image_pk: int | None = None) -> str:
    """Return the key of the PackageVariant that ``fact`` is within ``system``; of one image alone by its ``image_pk``.

    Raises ValueError where neither a system nor an image is given: whatever stands for itself must not be shared.
    """
    if system is None and image_pk is None:
        raise ValueError("a package that cannot be matched without its image belongs to that alone")
    return _digest((fact.identity, list(fact.licenses), system, image_pk or ""))


def _digest(told: Sequence[object]) -> str:
    return sha256(json.dumps(told, separators=(",", ":")).encode()).hexdigest()


def variant_of(fact: PackageFact, report: ImageReport, image: Image) -> Variant:
    """Return the variant that a package of ``image`` is."""
    system = _system(fact, report)
    if system is None:
        return own_variant(fact, image)
    return Variant(variant_key(fact, system=system), fact, system)


def own_variant(fact: PackageFact, image: Image) -> Variant:
    """Return the variant of a package that ``image`` shares with none: scans alone match it.

    Nor with copies of it under the same image ID, of which less may have been seen.
    """
    return Variant(variant_key(fact, system=None, image_pk=image.pk), fact, None)


def _system(fact: PackageFact, report: ImageReport) -> str | None:
    """Return the system that a package is matched for; None where it cannot be matched again without its image."""
    if fact.record is None:
        return None
    system = "" if "Type" in fact.record else report.system
    return None if system is None or len(system) > MAX_SYSTEM_CHARACTERS else system


def look_up(variants: Mapping[str, Variant]) -> None:
    """Fill in what is stored of variants, given by their keys."""
    for chunk in batched(variants, CHUNK_ROWS):
        rows = PackageVariant.objects.filter(key__in=chunk).values_list("key", "pk", "package_id", "matched_with")
        for key, pk, package, matched_with in rows:
            one = variants[key]
            one.pk, one.package, one.matched_with = pk, package, matched_with


def create(variants: Sequence[Variant]) -> None:
    """Store variants that no image had before, with their packages; fill in their ids."""
    if not variants:
        return
    packages = {package_key(variant.fact): variant.fact for variant in variants}
    ids = ids_by(Package, "key", packages)
    if new := [_package(key, fact) for key, fact in packages.items() if key not in ids]:
        Package.objects.bulk_create(new, batch_size=CHUNK_ROWS, ignore_conflicts=True)
        ids |= ids_by(Package, "key", (row.key for row in new))
    rows = [
        PackageVariant(
            key=variant.key,
            package_id=ids[package_key(variant.fact)],
            licenses=[storable_text(each, None) for each in variant.fact.licenses],
            record={} if variant.system is None else storable(variant.fact.record),
            system=variant.system,
        )
        for variant in variants
    ]
    PackageVariant.objects.bulk_create(rows, batch_size=CHUNK_ROWS, ignore_conflicts=True)
    look_up({variant.key: variant for variant in variants})


def _package(key: str, fact: PackageFact) -> Package:
    names = ("type", "name", "version", "architecture", "source_name", "source_version")
    return Package(
        key=key, **storable_fields(Package, purl=_purl(fact.purl), **{name: getattr(fact, name) for name in names})
    )


def _purl(purl: str) -> str:
    """Return ``purl`` as the identity of a package: of one too long for the column, its start and its SHA-256."""
    told = storable_text(purl, None)
    return (
        told
        if len(told) <= MAX_PURL_CHARACTERS
        else f"{told[: MAX_PURL_CHARACTERS - 65]}#{sha256(told.encode()).hexdigest()}"
    )

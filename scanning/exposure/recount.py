"""Where everything is: in how many images and tags each package and each vulnerability is, in all and by registry.

Variants of packages are shared by images, and images by tags, so one scan or one sync moves the figures of thousands of
rows. They are counted by a job of their own, soon after anything has changed: in one pass over what images hold, with
the images of a batch in memory and nothing but counters of all. The pause after one is
RECOUNT_PAUSE_FACTOR times as long as it took.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, connection, models, transaction
from django.db.models import Count, Max

from console.db.batches import batched
from console.jobs.broker import enqueue
from console.jobs.job_run import JobRun
from console.jobs.models import Priority, State
from inventory.models import Image, Tag
from registries.models import Registry, Removal
from scanning.models import (
    ExposureRecount,
    ImagePackage,
    Package,
    PackageExposure,
    PackageOverlap,
    PackageVariant,
    PackageVulnerability,
    RegistrySet,
    Rematch,
    VariantExposure,
    Vulnerability,
    VulnerabilityExposure,
    VulnerabilityOverlap,
)

RECOUNT_PAUSE_FACTOR = 20  # a recount that took a second is followed by another after so many
MIN_RECOUNT_PAUSE = timedelta(seconds=2)
BATCH_IMAGES = 500  # images
BATCH_ROWS = 2000  # written in one transaction
MAX_KEPT_RECOUNTS = 20  # recounts on record
MAX_FIXED_VERSIONS = 40  # fixed versions told of one vulnerability
MAX_PACKAGE_NAMES = 500  # names of packages, those in most images: one image may hold as many as it likes that have it

ExposureKey = tuple[int, int]  # ids of a package or a vulnerability, and of a registry or a set of them

EXPOSURE_COLUMNS = ("images", "tags")
PACKAGE_COLUMNS = (*EXPOSURE_COLUMNS, "findings", "highest", "varied")
VULNERABILITY_COLUMNS = (*EXPOSURE_COLUMNS, "highest", "fixable", "package_names", "package_types", "fixed_versions")


def tick() -> None:
    """Queue a recount where anything was scanned, matched, synced or removed since the last one began."""
    ended = ExposureRecount.objects.filter(state__in=State.final()).order_by("-pk")
    done = ended.filter(state=State.SUCCEEDED).first()
    changed = last_change()
    if changed is None or (done and done.started_at and changed < done.started_at):
        return
    last = ended.first()
    try:
        with transaction.atomic():
            job = ExposureRecount.objects.create(
                priority=Priority.SCHEDULE, not_before=_earliest(last) if last else None
            )
            enqueue(job)
    except IntegrityError:  # recount_one_at_a_time
        return


def counted_at() -> datetime | None:
    """Return when the figures were right last, None where nothing was ever counted."""
    done = ExposureRecount.objects.filter(state=State.SUCCEEDED).order_by("-pk").first()
    return done.started_at if done else None


def last_change() -> datetime | None:
    """Return when something last ended that can move the figures."""
    told = (
        Image.objects.aggregate(at=Max("last_scanned_at")),
        Registry.objects.aggregate(at=Max("last_sync__ended_at")),
        Rematch.objects.aggregate(at=Max("ended_at")),
        Removal.objects.aggregate(at=Max("ended_at")),
    )
    return max((one["at"] for one in told if one["at"]), default=None)


def run_recount(run: JobRun[ExposureRecount]) -> None:
    """Do the recount ``run``."""
    total = Image.objects.count()

    def step(done: int) -> None:
        run.check()
        run.progress("counting", done, max(total, done))

    images, changed = recount(step=step)

    def write() -> None:
        ExposureRecount.objects.filter(pk=run.job.pk).update(images=images, changed=changed)

    run.finish(write=write)
    kept = ExposureRecount.objects.order_by("-pk").values_list("pk", flat=True)[:MAX_KEPT_RECOUNTS]
    ExposureRecount.objects.filter(state__in=State.final()).exclude(pk__in=list(kept)).delete()


def recount(*, step: Callable[[int], None] = lambda done: None) -> tuple[int, int]:
    """Make all figures right. Returns how many images were looked at, and how many rows were not right."""
    matches: dict[int, list[int]] = defaultdict(list)
    pairs = PackageVulnerability.objects.order_by().values_list("variant_id", "vulnerability_id")
    for variant, vulnerability in pairs.iterator(chunk_size=BATCH_ROWS):
        matches[variant].append(vulnerability)
    several = set(  # packages of which an image may hold more than one variant
        PackageVariant.objects.order_by()
        .values("package_id")
        .annotate(n=Count("pk"))
        .filter(n__gt=1)
        .values_list("package_id", flat=True)
    )
    variants, varied, vulnerabilities = ExposureCounts(), ExposureCounts(), ExposureCounts()
    package_of: dict[int, int] = {}
    images = 0
    for tags, held in _image_batches():
        images += len(tags)
        for image, by_registry in tags.items():
            own = held.get(image, {})
            found: set[int] = set()
            for variant in own:
                found.update(matches.get(variant, ()))
            variants.add(own, by_registry)
            vulnerabilities.add(found, by_registry)
            package_of.update(own)
            if several and (those := several.intersection(own.values())):
                varied.add(those, by_registry)
        step(images)
    packages = variants.by({variant: package for variant, package in package_of.items() if package not in several})
    packages.take(varied)
    changed = _write(Package, PACKAGE_COLUMNS, _package_rows(packages, package_of, matches))
    changed += _write(Vulnerability, VULNERABILITY_COLUMNS, _vulnerability_rows(vulnerabilities, variants))
    registries = set(Registry.objects.values_list("pk", flat=True))
    changed += _write_by_registry(
        PackageExposure, "package_id", "registry_id", EXPOSURE_COLUMNS, _in_registries(packages.by_registry, registries)
    )
    here = {key: figures[:1] for key, figures in _in_registries(variants.by_registry, registries).items()}
    changed += _write_by_registry(VariantExposure, "variant_id", "registry_id", ("images",), here)
    told = _vulnerability_exposure(vulnerabilities, variants, registries)
    changed += _write_by_registry(VulnerabilityExposure, "vulnerability_id", "registry_id", VULNERABILITY_COLUMNS, told)
    holders = _registry_sets([*packages.shared, *vulnerabilities.shared])
    for model, counts in ((PackageOverlap, packages), (VulnerabilityOverlap, vulnerabilities)):
        shared = {(thing, holders[held]): (images,) for (thing, held), images in counts.shared.items()}
        thing = "package_id" if model is PackageOverlap else "vulnerability_id"
        changed += _write_by_registry(model, thing, "holders_id", ("images",), shared)
    RegistrySet.objects.exclude(pk__in=holders.values()).delete()
    return images, changed


@dataclass
class ExposureCounts:
    """Images and tags of each thing: in all, and by thing and registry; images by thing and all that hold them."""

    total: dict[int, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    by_registry: dict[tuple[int, int], list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    shared: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=lambda: defaultdict(int))

    def add(self, things: Iterable[int], registries: dict[int, int]) -> None:
        """Count an image that holds ``things`` and has tags in ``registries`` (registry → tags)."""
        tags = sum(registries.values())
        holders = tuple(sorted(registries)) if len(registries) > 1 else ()
        for thing in things:
            both = self.total[thing]
            both[0] += 1
            both[1] += tags
            for registry, number in registries.items():
                here = self.by_registry[thing, registry]
                here[0] += 1
                here[1] += number
            if holders:
                self.shared[thing, holders] += 1

    def by(self, names: Mapping[int, int]) -> ExposureCounts:
        """Return these counts under other names; no two things have one. What has none is left out."""
        other = ExposureCounts()
        other.total.update({names[key]: both for key, both in self.total.items() if key in names})
        other.by_registry.update(
            {(names[key], registry): both for (key, registry), both in self.by_registry.items() if key in names}
        )
        other.shared.update({(names[key], held): n for (key, held), n in self.shared.items() if key in names})
        return other

    def take(self, other: ExposureCounts) -> None:
        """Take over what ``other`` has counted of other things."""
        self.total.update(other.total)
        self.by_registry.update(other.by_registry)
        self.shared.update(other.shared)


def _earliest(last: ExposureRecount) -> datetime | None:
    if not last.ended_at or not last.started_at:
        return None
    return last.ended_at + max(MIN_RECOUNT_PAUSE, (last.ended_at - last.started_at) * RECOUNT_PAUSE_FACTOR)


def _image_batches() -> Iterator[tuple[dict[int, dict[int, int]], dict[int, dict[int, int]]]]:
    """Yield batches of tagged images: tags of each by registry, and the variants of each with their packages."""
    after = 0
    while keys := list(Image.objects.filter(pk__gt=after).order_by("pk").values_list("pk", flat=True)[:BATCH_IMAGES]):
        span = {"image__gt": after, "image__lte": keys[-1]}
        after = keys[-1]
        tags: dict[int, dict[int, int]] = defaultdict(dict)
        rows = Tag.objects.filter(**span).order_by().values_list("image_id", "registry_id")
        for image, registry, number in rows.annotate(n=Count("pk")):
            tags[image][registry] = number
        held: dict[int, dict[int, int]] = defaultdict(dict)
        rows_held = ImagePackage.objects.filter(**span).values_list("image_id", "variant_id", "package_id")
        for image, variant, package in rows_held.iterator(chunk_size=BATCH_ROWS):
            held[image][variant] = package
        yield tags, held


def _package_rows(
    counts: ExposureCounts, package_of: Mapping[int, int], matches: Mapping[int, Sequence[int]]
) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield each package with its figures, by the variants (``package_of``) that images hold."""
    rated = PackageVulnerability.objects.order_by().values_list("variant_id").annotate(worst=Max("severity"))
    worst = dict(rated.iterator(chunk_size=BATCH_ROWS))
    found: dict[int, list[int]] = defaultdict(list)
    for variant, package in package_of.items():
        found[package].append(variant)
    for package in Package.objects.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=BATCH_ROWS):
        held = found.get(package, ())
        sets = {(frozenset(matches.get(variant, ())), worst.get(variant)) for variant in held}
        all_of = frozenset[int]().union(*(each for each, _worst in sets))
        highest = max((rank for _each, rank in sets if rank), default=None)
        yield package, (*counts.total.get(package, (0, 0)), len(all_of), highest, len(sets) > 1)


def _vulnerability_rows(counts: ExposureCounts, variants: ExposureCounts) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield each vulnerability with its figures and with what the packages in use say of it."""
    keys = Vulnerability.objects.order_by("pk").values_list("pk", flat=True).iterator(chunk_size=BATCH_ROWS)
    for batch in batched(keys, BATCH_ROWS):
        found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        rows = PackageVulnerability.objects.filter(
            vulnerability__gte=batch[0], vulnerability__lte=batch[-1]
        ).values_list(
            *("vulnerability_id", "variant_id", "severity", "fixed_version", "package__name", "package__type")
        )
        for vulnerability, variant, *told in rows.iterator(chunk_size=BATCH_ROWS):
            if variant in variants.total:
                found[vulnerability].append((*told, variants.total[variant][0]))
        for key in batch:
            yield key, (*counts.total.get(key, (0, 0)), *_describe_matches(found.get(key, ())))


def _describe_matches(told: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the fields after ``tags`` of VULNERABILITY_COLUMNS from the matches that are in use.

    Each is severity, fixed version, name and type of the package, and how many images hold it.
    """
    held: dict[str, int] = defaultdict(int)
    for _severity, _fixed, name, _type, images in told:
        held[name] += images
    names = sorted(held)
    if len(names) > MAX_PACKAGE_NAMES:
        names = sorted(sorted(held, key=lambda name: (-held[name], name))[:MAX_PACKAGE_NAMES])
    types = sorted({kind for _severity, _fixed, _name, kind, _images in told})
    fixes = sorted({(-held[name], f"{name} {fixed}") for _severity, fixed, name, _type, _images in told if fixed})
    return (
        max((severity for severity, *_rest in told), default=1),
        bool(fixes),
        "\n".join(names),
        f" {' '.join(types)} "[:200] if types else "",
        "\n".join(sorted(text for _images, text in fixes[:MAX_FIXED_VERSIONS])),
    )


def _write(model: type[models.Model], names: Sequence[str], wanted: Iterator[tuple[int, tuple[Any, ...]]]) -> int:
    """Write the rows of ``model`` that read differently; return how many did."""
    quote = connection.ops.quote_name
    columns = ", ".join(f"{quote(name)} = %s" for name in names)
    statement = f"UPDATE {quote(model._meta.db_table)} SET {columns} WHERE {quote('id')} = %s"  # noqa: S608  # nosec B608
    changed = 0
    for batch in batched(wanted, BATCH_ROWS):
        span = (batch[0][0], batch[-1][0])
        rows = model._default_manager.filter(pk__range=span).values_list("pk", *names)
        present = {key: tuple(values) for key, *values in rows}
        different = [(*values, key) for key, values in batch if key in present and present[key] != values]
        if different:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.executemany(statement, different)
        changed += len(different)
    return changed


def _in_registries(
    counts: Mapping[tuple[int, int], Sequence[int]], registries: Collection[int]
) -> dict[ExposureKey, tuple[Any, ...]]:
    return {key: tuple(both) for key, both in counts.items() if key[1] in registries}


def _vulnerability_exposure(
    counts: ExposureCounts, variants: ExposureCounts, registries: Collection[int]
) -> dict[ExposureKey, tuple[Any, ...]]:
    """Return the figures of each vulnerability by registry, with what the packages in use there say of it."""
    wanted = _in_registries(counts.by_registry, registries)
    where: dict[int, list[int]] = defaultdict(list)
    for variant, registry in variants.by_registry:
        where[variant].append(registry)
    told: dict[ExposureKey, list[tuple[Any, ...]]] = defaultdict(list)
    rows = PackageVulnerability.objects.order_by("vulnerability_id").values_list(
        *("vulnerability_id", "variant_id", "severity", "fixed_version", "package__name", "package__type")
    )
    found: dict[ExposureKey, tuple[Any, ...]] = {}
    last = None
    for vulnerability, variant, *facts in rows.iterator(chunk_size=BATCH_ROWS):
        if vulnerability != last:
            found |= {key: (*wanted[key], *_describe_matches(each)) for key, each in told.items() if key in wanted}
            told.clear()
            last = vulnerability
        for registry in where.get(variant, ()):
            told[vulnerability, registry].append((*facts, variants.by_registry[variant, registry][0]))
    return found | {key: (*wanted[key], *_describe_matches(each)) for key, each in told.items() if key in wanted}


def _registry_sets(keys: Iterable[tuple[int, tuple[int, ...]]]) -> dict[tuple[int, ...], int]:
    """Return the ids of the rows for these sets of registries, made where there was none."""
    names = {",".join(map(str, held)): held for held in {held for _thing, held in keys}}
    known = dict(RegistrySet.objects.values_list("registries", "pk"))
    RegistrySet.objects.bulk_create([RegistrySet(registries=name) for name in names.keys() - known.keys()])
    return {
        names[name]: pk for name, pk in RegistrySet.objects.values_list("registries", "pk").iterator() if name in names
    }


def _write_by_registry(
    model: type[Any], thing: str, place: str, columns: Sequence[str], wanted: dict[ExposureKey, tuple[Any, ...]]
) -> int:
    """Make the rows of ``model`` equal ``wanted``, by the ids in ``thing`` and ``place``; return how many did not."""
    gone, different = [], []
    for pk, one, other, *values in model.objects.values_list("pk", thing, place, *columns).iterator(
        chunk_size=BATCH_ROWS
    ):
        right = wanted.pop((one, other), None)
        if right is None:
            gone.append(pk)
        elif right != tuple(values):
            different.append((*right, pk))
    with transaction.atomic():
        for keys_gone in batched(gone, BATCH_ROWS):
            model.objects.filter(pk__in=keys_gone).delete()
    quote = connection.ops.quote_name
    assigned = ", ".join(f"{quote(name)} = %s" for name in columns)
    statement = f"UPDATE {quote(model._meta.db_table)} SET {assigned} WHERE {quote('id')} = %s"  # noqa: S608  # nosec B608
    for changed in batched(different, BATCH_ROWS):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.executemany(statement, changed)
    new = (
        model(**{thing: one, place: other}, **dict(zip(columns, values, strict=True)))
        for (one, other), values in wanted.items()
    )
    for batch in batched(new, BATCH_ROWS):
        # What was deleted meanwhile is gone with the next recount.
        keys = set(
            model._meta.get_field(thing)
            .related_model.objects.filter(pk__in=[getattr(row, thing) for row in batch])
            .values_list("pk", flat=True)
        )
        model.objects.bulk_create([row for row in batch if getattr(row, thing) in keys], ignore_conflicts=True)
    return len(gone) + len(different) + len(wanted)

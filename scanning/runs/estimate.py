"""What a scan would take, before it is started: images, layers and bytes to pull, waits for limits, quota."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import (
    Avg,
    BooleanField,
    Count,
    Exists,
    ExpressionWrapper,
    F,
    Min,
    OuterRef,
    Q,
    QuerySet,
    Sum,
)
from django.db.models.functions import Coalesce
from django.utils import timezone

from console.db import cached_counts
from console.jobs.models import State
from inventory.models import Image, Layer, Manifest, ManifestLayer, RegistryLayer, Tag
from registries import pull_limit as limit
from registries.models import Registry
from scanning import configured_engines
from scanning.engines.base import EngineError, MalwareEngine, RiskCategory
from scanning.models import LayerResult, Scan, ScanScope
from scanning.runs import monthly_quota, recommended

HOUR = timedelta(hours=1)
FEW_IMAGES = 5000  # images
SAMPLE_SCANS = 100  # scans that the expected duration is taken from
CACHED_COUNT_NAMES = {
    ScanScope.ALL.value: "cost-all",
    ScanScope.RECOMMENDED.value: "cost-recommended",
}  # the figures of whole scopes
REGISTRY_COUNT_PREFIX = "images of registry "  # and its id: a name among figures
CATEGORIES_BY_PART = {  # of what: which risk categories want it
    "content": (RiskCategory.VULNERABILITIES.value, RiskCategory.SENSITIVE.value),
    "malware": (RiskCategory.MALWARE.value,),
}
PARTS_BY_SCAN_TYPE = {
    "content": ("content",),
    "malware": ("malware",),
    "both": ("content", "malware"),
}  # what a scan looks for


@dataclass(frozen=True)
class LimitWait:
    """A registry whose hourly limit is smaller than what is to be pulled from it."""

    registry: str
    limit: int
    left: int  # units free now
    images: int  # that have to wait
    until: datetime  # when about the last of them may start


@dataclass(frozen=True)
class ScanEstimate:
    """What a scan takes. ``ends_at`` is None where no scan has ended yet to judge by."""

    tags: int
    left_out: int  # tags whose image is being scanned or cannot be read
    images: int
    layers: int
    layers_known: int
    to_pull: int  # bytes
    waits: list[LimitWait]
    ends_at: datetime | None
    quota: monthly_quota.ScanQuota | None
    counted_at: datetime | None = None  # None: just now

    @property
    def layers_to_pull(self) -> int:
        """Layers without a stored result."""
        return self.layers - self.layers_known

    @property
    def over_quota(self) -> int:
        """Images that the quota of this month leaves out."""
        return max(0, self.images - self.quota.left) if self.quota else 0


def estimate_scan(
    tags: QuerySet[Tag], *, categories: Collection[str], cached_as: str = "", now: datetime | None = None
) -> ScanEstimate:
    """Return what a scan of ``tags`` for ``categories`` takes; a constant number of queries.

    ``cached_as`` is the name of the cached count of these tags, where they have one: of many tags the figures are those
    of a short while ago. What is left of limits and of the quota is always that of now.
    """
    now = now or timezone.now()
    scan_type = _scan_type(categories)
    figures = (
        cached_counts.read(cached_as) if cached_as else cached_counts.CountResult(count(tags, scan_types=[scan_type]))
    )
    values = figures.values
    images = {
        int(name.removeprefix(REGISTRY_COUNT_PREFIX)): n
        for name, n in values.items()
        if name.startswith(REGISTRY_COUNT_PREFIX)
    }
    waits, starts = _waits(images, now)
    return ScanEstimate(
        tags=values["tags"],
        left_out=values["left_out"],
        images=sum(images.values()),
        layers=values["layers"],
        layers_known=values[f"known_{scan_type}"],
        to_pull=values[f"to_pull_{scan_type}"],
        waits=waits,
        ends_at=_expected_end(sum(images.values()), starts, now),
        quota=monthly_quota.read_quota(now=now),
        counted_at=figures.at,
    )


def count_all() -> dict[str, int]:
    """Count what a scan of all tags takes."""
    return count(Tag.objects.all())


def count_recommended() -> dict[str, int]:
    """Count what a scan of the recommended tags takes."""
    return count(recommended.recommended())


def count(tags: QuerySet[Tag], *, scan_types: Collection[str] = tuple(PARTS_BY_SCAN_TYPE)) -> dict[str, int]:
    """Count what a scan of ``tags`` takes: tags, images by registry, and layers for each of ``scan_types``."""
    tags = tags.order_by()
    left_out = (
        Q(image=None) | Q(manifest__kind=Manifest.Kind.UNREADABLE) | Q(image__scan_state__in=Image.ScanState.active())
    )
    by_image = tags.values("image").annotate(
        first=Min("pk", filter=~left_out), meant=Count("pk", filter=~left_out), number=Count("pk")
    )
    few = list(by_image.values_list("first", "meant", "number")[: FEW_IMAGES + 1])
    if len(few) <= FEW_IMAGES:  # looked up once for all that is asked of them
        found = [first for first, _meant, _number in few if first]
        firsts = list(Tag.objects.filter(pk__in=found).values_list("registry", "manifest"))
        meant, number = (sum(row[column] for row in few) for column in (1, 2))
        by_registry = Counter(registry for registry, _manifest in firsts)
        manifests: Any = {manifest for _registry, manifest in firsts}
    else:
        scanned = tags.exclude(left_out)
        first_ones = Tag.objects.filter(
            pk__in=scanned.values("image").annotate(first=Min("pk")).values("first")
        ).order_by()
        meant, number = scanned.count(), tags.count()
        by_registry = Counter(dict(first_ones.values_list("registry").annotate(n=Count("pk"))))
        manifests = first_ones.values("manifest")
    return {
        "tags": number,
        "left_out": max(0, number - meant),
        **{f"{REGISTRY_COUNT_PREFIX}{registry}": n for registry, n in by_registry.items()},
        **_layers(Manifest.objects.filter(pk__in=manifests), scan_types),
    }


def _layers(named: QuerySet[Manifest], scan_types: Collection[str]) -> dict[str, int]:
    """Count the layers of the images of the tags ``named``, and for each of ``scan_types`` those known and the bytes
    of the others.

    One query, in which each layer is looked up once.
    """
    manifests = named.order_by().values(pulled=Coalesce("default_manifest", "pk"))
    layers = Layer.objects.filter(pk__in=ManifestLayer.objects.filter(manifest__in=manifests).values("layer"))
    parts = {
        part: _results_known(CATEGORIES_BY_PART[part])
        for scan_type in scan_types
        for part in PARTS_BY_SCAN_TYPE[scan_type]
    }
    rows: list[Any] = list(layers.order_by().values(**parts).annotate(n=Count("pk"), bytes=Sum("size")))
    figures = {"layers": sum(row["n"] for row in rows)}
    for scan_type in scan_types:
        pulled = [row for row in rows if not all(row[part] for part in PARTS_BY_SCAN_TYPE[scan_type])]
        figures[f"known_{scan_type}"] = figures["layers"] - sum(row["n"] for row in pulled)
        figures[f"to_pull_{scan_type}"] = sum(row["bytes"] for row in pulled)
    return figures


def _results_known(categories: Collection[str]) -> ExpressionWrapper[Q]:
    """Whether a layer has results for all of ``categories``, so that it is not pulled."""
    # Shown to be held by a registry that is seen: whether others have a layer is nobody's business.
    known = Q(verified=True) & Q(Exists(RegistryLayer.objects.filter(layer=OuterRef("pk"))))
    for engine, version in _engines(categories):
        results = LayerResult.objects.filter(diff_id=OuterRef("diff_id"), engine=engine)
        known &= Q(Exists(results if version is None else results.filter(engine_version=version)))
    return ExpressionWrapper(known, output_field=BooleanField())


def _scan_type(categories: Collection[str]) -> str:
    """Return which of LOOKS is that for ``categories``."""
    content, malware = (bool(set(wanted) & set(categories)) for wanted in CATEGORIES_BY_PART.values())
    return "both" if content and malware else "content" if content else "malware"


def _engines(categories: Collection[str]) -> list[tuple[str, str | None]]:
    """Return the engines that scan layers for ``categories``, each with the version whose results are valid."""
    engines: list[tuple[str, str | None]] = []
    if set(CATEGORIES_BY_PART["content"]) & set(categories):
        engines.append((configured_engines.trivy().name, None))
    if RiskCategory.MALWARE.value in categories:
        engines += [(engine.name, _version(engine)) for engine in configured_engines.malware_engines()]
    return engines


def _version(engine: MalwareEngine) -> str | None:
    try:
        return engine.version()
    except EngineError:  # the page Scanners says why
        return None


def _waits(wanted: dict[int, int], now: datetime) -> tuple[list[LimitWait], datetime]:
    """Return which registries' limits are in the way of so many images each, and when about the last may start."""
    waits = []
    for registry in Registry.objects.filter(pk__in=wanted, limit__isnull=False).annotate(**limit.usage_columns(now)):
        usage = limit.usage_of_row(registry)
        allowed = usage.limit or 1
        left = max(0, allowed - usage.used)
        waiting = wanted[registry.pk] - left
        if waiting > 0:
            hours = -(-waiting // allowed) - 1
            until = (usage.next_free or now + HOUR) + hours * HOUR
            waits.append(LimitWait(registry=registry.name, limit=allowed, left=left, images=waiting, until=until))
    waits.sort(key=lambda wait: wait.until, reverse=True)
    return waits, waits[0].until if waits else now


def _expected_end(images: int, starts: datetime, now: datetime) -> datetime | None:
    sample = (
        Scan.objects.filter(state=State.SUCCEEDED, started_at__isnull=False).order_by("-pk").values("pk")[:SAMPLE_SCANS]
    )
    took: timedelta | None = Scan.objects.filter(pk__in=list(sample.values_list("pk", flat=True))).aggregate(
        took=Avg(F("ended_at") - F("started_at"))
    )["took"]
    if took is None:
        return None
    before = Scan.objects.filter(state__in=State.active()).count()
    at_once = settings.SCAN_WORKERS * settings.SCANS_PER_WORKER
    return max(starts + took, now + took * (images + before) / at_once)

"""What a scan would take, before it is started: images, layers and bytes to pull, waits for limits, quota."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Avg, Count, Exists, F, Min, OuterRef, Q, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from console.jobs.models import State
from inventory.models import Layer, Manifest, ManifestLayer, Tag
from registries import limit
from registries.models import Registry
from scanning import installed, quota
from scanning.engines.base import EngineError, MalwareEngine, RiskCategory
from scanning.models import LayerEvidence, Scan
from scanning.models.run import ACTIVE

HOUR = timedelta(hours=1)
SAMPLE = 100  # scans that the expected duration is taken from


@dataclass(frozen=True)
class Wait:
    """A registry whose hourly limit is smaller than what is to be pulled from it."""

    registry: str
    limit: int
    left: int  # units free now
    images: int  # that have to wait
    until: datetime  # when about the last of them may start


@dataclass(frozen=True)
class Cost:
    """What a scan takes. ``ends_at`` is None where no scan has ended yet to judge by."""

    tags: int
    left_out: int  # tags whose image is being scanned or cannot be read
    images: int
    layers: int
    layers_known: int
    to_pull: int  # bytes
    waits: list[Wait]
    ends_at: datetime | None
    quota: quota.Quota | None

    @property
    def layers_to_pull(self) -> int:
        """Layers of which no evidence is known."""
        return self.layers - self.layers_known

    @property
    def over_quota(self) -> int:
        """Images that the quota of this month leaves out."""
        return max(0, self.images - self.quota.left) if self.quota else 0


def cost(tags: QuerySet[Tag], *, categories: Collection[str], now: datetime | None = None) -> Cost:
    """Return what a scan of ``tags`` for ``categories`` takes; a constant number of queries."""
    now = now or timezone.now()
    left_out = Q(image=None) | Q(manifest__kind=Manifest.Kind.UNREADABLE) | Q(image__scan_state__in=ACTIVE)
    tags = tags.order_by()
    figures = tags.aggregate(
        tags=Count("pk"),
        left_out=Count("pk", filter=left_out),
        images=Count("image", filter=~left_out, distinct=True),
    )
    firsts = Tag.objects.filter(
        pk__in=tags.exclude(left_out).values("image").annotate(first=Min("pk")).values("first")
    ).order_by()
    waits, starts = _waits(firsts, now)
    return Cost(
        **figures,
        **_layers(firsts, categories),
        waits=waits,
        ends_at=_end(figures["images"], starts, now),
        quota=quota.read(now=now),
    )


def _layers(firsts: QuerySet[Tag], categories: Collection[str]) -> dict[str, int]:
    manifests = firsts.annotate(pulled=Coalesce("manifest__default_manifest", "manifest")).values("pulled")
    known = Q(verified=True)
    for engine, version in _engines(categories):
        looked = LayerEvidence.objects.filter(diff_id=OuterRef("diff_id"), engine=engine)
        known &= Q(Exists(looked if version is None else looked.filter(engine_version=version)))
    layers = Layer.objects.filter(pk__in=ManifestLayer.objects.filter(manifest__in=manifests).values("layer"))
    return layers.aggregate(
        layers=Count("pk"),
        layers_known=Count("pk", filter=known),
        to_pull=Sum("size", filter=~known, default=0),
    )


def _engines(categories: Collection[str]) -> list[tuple[str, str | None]]:
    """Return the engines that look at layers for ``categories``, each with the version whose evidence counts."""
    engines: list[tuple[str, str | None]] = []
    if {RiskCategory.VULNERABILITIES.value, RiskCategory.SENSITIVE.value} & set(categories):
        engines.append((installed.trivy().name, None))
    if RiskCategory.MALWARE.value in categories:
        engines += [(engine.name, _version(engine)) for engine in installed.malware()]
    return engines


def _version(engine: MalwareEngine) -> str | None:
    try:
        return engine.version()
    except EngineError:  # the page Engines says why
        return None


def _waits(firsts: QuerySet[Tag], now: datetime) -> tuple[list[Wait], datetime]:
    """Return which registries' limits are in the way, and when about the last image may start."""
    wanted = dict(firsts.values_list("registry").annotate(n=Count("pk")))
    waits = []
    for registry in Registry.objects.filter(pk__in=wanted, limit__isnull=False).annotate(**limit.usage_columns(now)):
        usage = limit.usage_of_row(registry)
        allowed = usage.limit or 1
        left = max(0, allowed - usage.used)
        waiting = wanted[registry.pk] - left
        if waiting > 0:
            hours = -(-waiting // allowed) - 1
            until = (usage.next_free or now + HOUR) + hours * HOUR
            waits.append(Wait(registry=registry.name, limit=allowed, left=left, images=waiting, until=until))
    waits.sort(key=lambda wait: wait.until, reverse=True)
    return waits, waits[0].until if waits else now


def _end(images: int, starts: datetime, now: datetime) -> datetime | None:
    sample = Scan.objects.filter(state=State.SUCCEEDED, started_at__isnull=False).order_by("-pk").values("pk")[:SAMPLE]
    took: timedelta | None = Scan.objects.filter(pk__in=list(sample.values_list("pk", flat=True))).aggregate(
        took=Avg(F("ended_at") - F("started_at"))
    )["took"]
    if took is None:
        return None
    before = Scan.objects.filter(state__in=ACTIVE).count()
    at_once = settings.SCAN_WORKERS * settings.SCANS_PER_WORKER
    return max(starts + took, now + took * (images + before) / at_once)

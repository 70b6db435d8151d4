"""The figures over Repository images ("data scan"). Distinct images are counted, whatever number of tags name them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db.models import Count, Exists, Max, OuterRef, Q, Sum
from django.utils.functional import Promise

from console.db import cached_counts
from console.extension_points import ExtensionPoint, path_of
from console.jobs.models import State
from inventory.models import Image, Tag
from registries.models import Registry

COUNT_FIELDS = ("critical", "high", "medium", "low", "unknown", "fixable", "viruses", "trojans", "sensitive")


@dataclass(frozen=True)
class SeverityShare:
    """One severity in the bar: where it begins and how wide it is, in percent."""

    name: str
    label: str | Promise
    count: int
    start: float
    width: float


@dataclass(frozen=True)
class Overview:
    """What all images together hold. A sum is over the images of which it is known, None where it is of none.

    Each image is at risk, safe, partly scanned or not known. ``scanned`` is how many are not the last.
    """

    tags: int
    images: int
    scanned: int
    at_risk: int
    safe: int
    partly_scanned: int
    not_known: int
    failed: int
    vulnerabilities: int | None
    fixable: int | None
    severities: list[SeverityShare]
    malware: int | None
    images_with_malware: int
    images_read_for_malware: int
    sensitive: int | None
    images_with_sensitive: int
    images_read_for_sensitive: int
    images_matched: int  # for vulnerabilities
    last_scan: datetime | None
    last_sync: datetime | None
    registries: int
    registries_synced: int
    counted_at: datetime | None  # None: just now


def count_overview() -> dict[str, int]:
    """Count tags and images, in two queries."""
    tagged = Image.objects.filter(Exists(Tag.objects.filter(image=OuterRef("pk"))))
    return {"tags": Tag.objects.count()} | tagged.aggregate(
        images=Count("pk"),
        at_risk=Count("pk", filter=Q(security=Image.Security.AT_RISK)),
        safe=Count("pk", filter=Q(security=Image.Security.SAFE)),
        partly_scanned=Count("pk", filter=Q(security=Image.Security.PARTLY_SCANNED)),
        not_known=Count("pk", filter=Q(security=Image.Security.NOT_KNOWN)),
        failed=Count("pk", filter=Q(scan_state=Image.ScanState.FAILED)),
        images_with_malware=Count("pk", filter=Q(viruses__gt=0) | Q(trojans__gt=0)),
        images_with_sensitive=Count("pk", filter=Q(sensitive__gt=0)),
        **{f"of_{name}": Count(name) for name in ("critical", "viruses", "sensitive")},  # in which they are known
        **{f"sum_{name}": Sum(name, default=0) for name in COUNT_FIELDS},
    )


def read_overview(*, now: bool = False) -> Overview:
    """Read the figures in a constant number of queries. Those of many images are kept for a while, but ``now``."""
    counted = cached_counts.recount("overview") if now else cached_counts.read("overview")
    figures = dict(counted.values)
    sums = {name: figures.pop(f"sum_{name}") for name in COUNT_FIELDS}
    matched, malware, sensitive = (figures.pop(f"of_{name}") for name in ("critical", "viruses", "sensitive"))
    synced = Q(last_sync__state=State.SUCCEEDED)
    registries = Registry.objects.present().aggregate(
        synced_at=Max("last_sync__ended_at"), registries=Count("pk"), registries_synced=Count("pk", filter=synced)
    )
    severities = _shares({name: sums[name] for name in ("critical", "high", "medium", "low", "unknown")})
    return Overview(
        **figures,
        scanned=figures["images"] - figures["not_known"],
        counted_at=counted.at,
        last_scan=Image.objects.aggregate(at=Max("last_scanned_at"))["at"],
        last_sync=registries.pop("synced_at"),
        **registries,
        vulnerabilities=sum(share.count for share in severities) if matched else None,
        fixable=sums["fixable"] if matched else None,
        severities=severities,
        malware=sums["viruses"] + sums["trojans"] if malware else None,
        sensitive=sums["sensitive"] if sensitive else None,
        images_matched=matched,
        images_read_for_malware=malware,
        images_read_for_sensitive=sensitive,
    )


@dataclass(frozen=True)
class Alert:
    """Something that stands out about the images, with a link to where it is."""

    name: str
    level: Literal["", "fault", "wait"]
    title: str
    text: str
    href: str


SignalSource = Callable[[], Iterable[Alert]]
SIGNALS: ExtensionPoint[SignalSource] = ExtensionPoint("source of signals")


def register(source: SignalSource, *, order: int) -> None:
    """Show what ``source`` returns in the strip below the figures, behind that of a lower ``order``."""
    SIGNALS.register(path_of(source), source, order=order)


def alerts() -> list[Alert]:
    """Return what stands out, by all registered functions, in their order."""
    return [signal for source in SIGNALS.values() for signal in source()]


def _shares(counts: dict[str, int]) -> list[SeverityShare]:
    total, start, shares = sum(counts.values()), 0.0, []
    for name, count in counts.items():
        width = 100 * count / total if total else 0.0
        shares.append(SeverityShare(name, Image.Severity[name.upper()].label, count, round(start, 2), round(width, 2)))
        start += width
    return shares

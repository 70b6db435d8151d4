"""Recommended images: those whose results are missing or not what they could be, each with the reason."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Case, CharField, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from console.db import cached_counts
from console.jobs.models import State
from console.visibility import current
from inventory.models import Image, Manifest, Tag
from scanning.engines.base import RiskCategory
from scanning.models import CategoryResult, Scan
from scanning.vulndb import install as vulndb_install

OUTDATED_AFTER = timedelta(days=7)  # results that are older than the vulnerability database by more


class RecommendationReason(models.TextChoices):
    """Why an image is recommended. Where several hold the first of them is told."""

    NEVER = "never", _("Never scanned")
    FAILED = "failed", _("Last scan failed")
    OUTDATED = "outdated", _("Older than the vulnerability database")
    CHANGED = "changed", _("Newest tag, changed since its scan")


def with_reason(tags: QuerySet[Tag]) -> QuerySet[Tag]:
    """Return ``tags`` with ``recommended``: why (RecommendationReason), or None where the image is not recommended."""
    return tags.annotate(
        recommended=Case(
            When(_excluded(), then=Value(None)),
            *(When(condition, then=Value(reason.value)) for reason, condition in _conditions().items()),
            default=Value(None),
            output_field=CharField(null=True),
        )
    )


def recommended(*, also: Exists | None = None) -> QuerySet[Tag]:
    """Return the recommended tags with their reason, and with ``also`` the tags that meet this condition."""
    found = Q(recommended__isnull=False)
    return with_reason(Tag.objects.all()).filter(found | Q(also) if also is not None else found)


def counts() -> dict[RecommendationReason, int]:
    """Return how many tags are recommended for which reason; of many tags, how many were a short while ago."""
    found = cached_counts.read("recommended").values
    return {reason: found.get(reason.value, 0) for reason in RecommendationReason}


def count() -> dict[str, int]:
    """Count the recommended tags by reason, in one query."""
    rows: QuerySet[Any] = with_reason(Tag.objects.order_by())
    found = rows.values_list("recommended").annotate(n=Count("pk"))
    return {reason: number for reason, number in found if reason is not None}


def _excluded() -> Q:
    """What cannot be scanned, and what is being scanned."""
    busy = Q(image__scan_state__in=Image.ScanState.active())
    if current() is not None:  # a scan through a registry that is hidden from somebody keeps theirs from nothing
        busy &= Q(Exists(Scan.objects.filter(image=OuterRef("image"), state__in=State.active())))
    return Q(image=None) | Q(manifest__kind=Manifest.Kind.UNREADABLE) | Q(missing_since__isnull=False) | busy


def _conditions() -> dict[RecommendationReason, Q | Exists]:
    conditions: dict[RecommendationReason, Q | Exists] = {
        RecommendationReason.NEVER: Q(image__last_scanned_at=None),
        RecommendationReason.FAILED: Q(image__scan_state=Image.ScanState.FAILED),
    }
    facts = vulndb_install.current_facts()
    if facts is not None:
        results = CategoryResult.objects.filter(
            image=OuterRef("image"), category=RiskCategory.VULNERABILITIES.value, looked_at__isnull=False
        ).annotate(of=Coalesce("database_updated_at", "looked_at"))
        conditions[RecommendationReason.OUTDATED] = Exists(results.filter(of__lt=facts.built_at - OUTDATED_AFTER))
    # Not a rank over all tags: only the few that changed are compared with others of their repository.
    moment, own = (Coalesce(*(of(name) for name in ("pushed_at", "changed_at", "first_seen"))) for of in (F, OuterRef))
    later = Q(moment__gt=own) | Q(moment=own, pk__gt=OuterRef("pk"))
    newer = Tag.objects.order_by().filter(repository=OuterRef("repository")).annotate(moment=moment).filter(later)
    # The first condition must come to false, not to NULL, for the database to leave the second one alone.
    changed = Q(changed_at__isnull=False, changed_at__gt=F("image__last_scanned_at"))
    conditions[RecommendationReason.CHANGED] = changed & Q(~Exists(newer))
    return conditions

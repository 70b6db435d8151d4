"""What is known of one category of one image: "0 found" is not the same as "not looked for", "partial" or "failed"."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Exists, OuterRef, Q, Subquery
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from console.i18n.message_codes import NOTHING, Message
from console.visibility import current, sees
from inventory.models import Image
from scanning import configured_engines
from scanning.engines.base import EngineError, RiskCategory
from scanning.models import CategoryResult, ImagePackage, PackageVulnerability, Rematch
from scanning.vulndb import install as vulndb_install

COVERAGE_LABELS: dict[str, Promise] = {  # word in the address → on screen
    "done": _("Fully scanned"),
    "not-asked": _("Category not scanned"),
    "failed": _("A risk category failed"),
    "partial": _("A risk category partly scanned"),
    "unsupported": _("Unsupported operating system"),
    "outdated": _("Older scanner or database"),
    "fell": _("Findings dropped to zero"),
    "new": _("New since the database changed"),
}


@dataclass(frozen=True)
class Coverage:
    """``outcome`` is one of CategoryResult.Outcome, or "not-scanned", "not-asked" where the category has no result."""

    outcome: str
    busy: bool
    reason: Message = NOTHING
    remedy: Message = NOTHING
    engine_version: str = ""
    database_updated_at: datetime | None = None
    demo: bool = False  # matched with the small database that the project makes itself
    looked_at: datetime | None = None
    is_outdated: bool = False  # an engine or a database of today may find more
    regressed_from: int = 0  # findings of the scan before, where for no visible reason none are left

    @property
    def is_known(self) -> bool:
        """Whether a scan has ever given a result, of which an empty list is one."""
        return self.looked_at is not None

    @property
    def is_whole(self) -> bool:
        """Whether everything was looked at, so that an empty list means that nothing is there."""
        return self.is_known and self.outcome == CategoryResult.Outcome.DONE and not self.regressed_from


def coverage_of(image: Image, category: str) -> Coverage:
    """Return what the last scan says about ``category`` of ``image``."""
    busy = image.scan_state in Image.ScanState.active()
    result = CategoryResult.objects.filter(image=image, category=category).first()
    if result is None:
        return Coverage("not-asked" if image.last_scanned_at else "not-scanned", busy)
    facts = vulndb_install.current_facts() if result.database_updated_at else None
    # Why a scan failed may name the registry that it has pulled from; the other reasons tell of the content alone.
    failed = result.outcome == CategoryResult.Outcome.FAILED
    readable = not failed or current() is None or sees(result.scan.registry_id if result.scan else None)
    return Coverage(
        outcome=result.outcome,
        busy=busy,
        reason=result.reason if readable else NOTHING,
        remedy=result.remedy if readable else NOTHING,
        engine_version=result.engine_version,
        database_updated_at=result.database_updated_at,
        demo=facts is not None and facts.is_demo and facts.built_at == result.database_updated_at,
        looked_at=result.looked_at,
        is_outdated=CategoryResult.objects.filter(outdated_results(), pk=result.pk).exists(),
        regressed_from=result.regressed_from,
    )


def coverage_choices() -> list[tuple[str, Promise]]:
    """Return the words that a list of images can be narrowed by."""
    return list(COVERAGE_LABELS.items())


def coverage_condition(words: Iterable[str], *, image: str) -> Q:
    """Return where the field ``image`` names an image that any of ``words`` is true of."""
    results = CategoryResult.objects.filter(image=OuterRef(image)).order_by()
    # Of all images at once: to look at each tag's by itself takes ten times as long.
    whole = CategoryResult.objects.order_by().values("image").annotate(n=Count("pk")).filter(n=len(RiskCategory))
    scanned = Q(**{f"{image}__last_scanned_at__isnull": False})
    unlike_done = Q(regressed_from__gt=0) | ~Q(outcome=CategoryResult.Outcome.DONE) | outdated_results()
    found = Q(pk__in=[])
    for word in words:
        if word == "done":
            done = whole.annotate(unlike=Count("pk", filter=unlike_done)).filter(unlike=0)
            found |= Q(**{f"{image}__in": done.values("image")})
        elif word == "not-asked":
            found |= scanned & ~Q(**{f"{image}__in": whole.values("image")})
        elif word == "outdated":
            found |= Q(Exists(results.filter(outdated_results())))
        elif word == "fell":
            found |= Q(Exists(results.filter(regressed_from__gt=0)))
        elif word == "new":
            last = Rematch.objects.filter(Rematch.is_complete()).order_by("-pk").values("pk")[:1]
            brought = PackageVulnerability.objects.filter(rematch=Subquery(last)).order_by()
            held = ImagePackage.objects.filter(variant__in=brought.values("variant")).order_by()
            found |= Q(**{f"{image}__in": held.values("image")})
        elif word in CategoryResult.Outcome.values:
            found |= Q(Exists(results.filter(outcome=word)))
    return found


def outdated_results() -> Q:
    """Return which results an engine or a database of today may not give any more."""
    has_result = Q(looked_at__isnull=False)
    facts = vulndb_install.current_facts()
    found = Q(pk__in=[])
    if facts is not None:
        found |= has_result & Q(category=RiskCategory.VULNERABILITIES, database_updated_at__lt=facts.built_at)
    for category, version in current_versions().items():
        found |= has_result & Q(category=category) & ~Q(engine_version__startswith=version)
    return found


def current_versions() -> dict[RiskCategory, str]:
    """Return how the version begins that a result of today has, for each category whose engine works."""
    versions: dict[RiskCategory, str] = {}
    try:
        trivy = f"trivy {configured_engines.trivy().engine_version()},"
        versions |= {RiskCategory.VULNERABILITIES: trivy, RiskCategory.SENSITIVE: trivy}
        versions[RiskCategory.MALWARE] = ", ".join(engine.version() for engine in configured_engines.malware_engines())[
            :200
        ]
    except EngineError:
        pass  # the page Scanners says so
    return versions

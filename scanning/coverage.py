"""What is known of one category of one image: "0 found" is not the same as "not looked for", "partial" or "failed"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from inventory import overview
from inventory.models import Image
from scanning import database
from scanning.models import CategoryResult


@dataclass(frozen=True)
class Coverage:
    """``outcome`` is one of CategoryResult.Outcome, or "not-scanned", "not-asked" where the category has no result."""

    outcome: str
    busy: bool
    reason: str = ""
    remedy: str = ""
    engine_version: str = ""
    database_updated_at: datetime | None = None
    demo: bool = False  # matched with the small database that the project makes itself
    looked_at: datetime | None = None

    @property
    def is_known(self) -> bool:
        """Whether a scan has ever looked, so that an empty list means that nothing was found."""
        return self.looked_at is not None


def of(image: Image, category: str) -> Coverage:
    """Return what the last scan says about ``category`` of ``image``."""
    busy = image.scan_state in overview.ACTIVE
    result = CategoryResult.objects.filter(image=image, category=category).first()
    if result is None:
        return Coverage("not-asked" if image.last_scanned_at else "not-scanned", busy)
    facts = database.current() if result.database_updated_at else None
    return Coverage(
        outcome=result.outcome,
        busy=busy,
        reason=result.reason,
        remedy=result.remedy,
        engine_version=result.engine_version,
        database_updated_at=result.database_updated_at,
        demo=facts is not None and facts.is_demo and facts.built_at == result.database_updated_at,
        looked_at=result.looked_at,
    )

"""Packages that a rematch could not match: noted on them, and said of the images that hold them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.db import transaction

from console.db.batches import batched
from console.i18n.explained import NOTHING, Message, parts, sentences
from scanning.engines.base import RiskCategory
from scanning.engines.trivy.vulndb_folder import VulndbFacts
from scanning.models import CategoryResult, ImagePackage, PackageVariant, image_coverage
from scanning.rematch import messages
from scanning.rematch.match_parts import MatchFailure

BATCH_ROWS = 200  # images, or variants of which something is noted
MAX_NAMED = 3  # packages that are named of an image, and systems of a job


def mark_variants(failures: Iterable[MatchFailure], *, matched_with: str) -> None:
    """Note of variants that they could not be matched with this database."""
    for failure in failures:
        for batch in batched(failure.variants, BATCH_ROWS):
            PackageVariant.objects.filter(pk__in=batch).update(failed_with=matched_with, failure=failure.reason)


def describe_failures(failures: Sequence[MatchFailure]) -> tuple[Message, Message]:
    """Return reason and remedy of a rematch that could not match these."""
    numbers: dict[str, int] = {}
    reasons: dict[str, Message] = {}
    for failure in failures:
        numbers[failure.system] = numbers.get(failure.system, 0) + len(failure.variants)
        reasons.setdefault(failure.system, failure.reason)
    texts = [
        messages.PACKAGES_NOT_MATCHED(
            n=numbers[system], subject=system_name(system), reason=_as_sentence(reasons[system])
        )
        for system in list(numbers)[:MAX_NAMED]
    ]
    if len(numbers) > MAX_NAMED:
        texts.append(messages.MORE_SYSTEMS_FAILED(n=len(numbers) - MAX_NAMED))
    remedy = messages.OTHERS_ARE_MATCHED()
    return sentences(*texts), remedy


def _as_sentence(reason: Message) -> Message:
    """Return a reason as a sentence; what Trivy says last has no full stop."""
    return reason if reason.endswith((".", "!", "?")) else messages.CLOSED(reason=reason)


def system_name(system: str) -> str:
    """Return the system of variants for a person: "alpine 3.22.1"."""
    if not system:
        return messages.PROGRAMMING_LANGUAGES()
    described = json.loads(system).get("OS") or {}
    return (
        " ".join(str(described[part]) for part in ("Family", "Name") if described.get(part))
        or messages.UNKNOWN_SYSTEM()
    )


def mark_images(database: VulndbFacts) -> None:
    """Say of all images that hold variants which could not be matched that they do; of others no longer."""
    failed = PackageVariant.objects.exclude(failed_with="")
    results = CategoryResult.objects.filter(category=RiskCategory.VULNERABILITIES, looked_at__isnull=False)
    holders = ImagePackage.objects.filter(variant__in=failed.values("pk")).order_by().values("image")
    # Lists, here and below: a read that stays open would forbid SQLite the writes in between.
    for batch in batched(list(results.filter(image__in=holders).values_list("pk", flat=True)), BATCH_ROWS):
        rows = list(CategoryResult.objects.filter(pk__in=batch))
        texts = _failure_reasons([row.image_id for row in rows], database)
        changed = [row for row in rows if _mark_partial(row, texts.get(row.image_id, NOTHING))]
        with transaction.atomic():
            CategoryResult.objects.bulk_update(changed, ("outcome", "reason", "remedy", "before_failure"))
            image_coverage.write_coverage(row.image_id for row in changed)
    again = results.filter(before_failure__isnull=False).exclude(image__in=holders)
    for batch in batched(list(again.values_list("pk", flat=True)), BATCH_ROWS):
        with transaction.atomic():
            rows = list(CategoryResult.objects.select_for_update().filter(pk__in=batch))
            for row in rows:
                _restore(row)
            CategoryResult.objects.bulk_update(rows, ("outcome", "reason", "remedy"))
            CategoryResult.objects.filter(pk__in=batch).update(before_failure=None)  # bulk_update writes JSON's null
            image_coverage.write_coverage(row.image_id for row in rows)


def _failure_reasons(images: Sequence[int], database: VulndbFacts) -> dict[int, Message]:
    """Return by image why its vulnerabilities are not those of this database."""
    held: dict[int, list[tuple[str, Message]]] = {}
    rows = ImagePackage.objects.filter(image__in=images).exclude(variant__failed_with="").order_by("image_id", "pk")
    for image, name, version, failure in rows.values_list(
        *("image_id", "package__name", "package__version", "variant__failure")
    ):
        held.setdefault(image, []).append((f"{name} {version}", failure))
    found = {}
    for image, failed in held.items():
        names = list(dict.fromkeys(name for name, _failure in failed))
        found[image] = messages.NOT_MATCHED_WITH(
            n=len(names),
            built=f"{database.built_at:%Y-%m-%d}",
            names=", ".join(names[:MAX_NAMED]) + (", …" if len(names) > MAX_NAMED else ""),
            reason=_as_sentence(failed[0][1]),
        )
    return found


def _mark_partial(row: CategoryResult, reason: Message) -> bool:
    """Say on ``row`` that packages could not be matched; return whether that changed it. Not saved."""
    if not reason:
        return False
    before: dict[str, Any] = _result_before(row) or {
        "outcome": row.outcome,
        "reason": row.reason,
        "remedy": row.remedy,
        "ended_at": row.ended_at.isoformat(),
    }
    remedy = messages.TRIED_AGAIN()
    done = before["outcome"] == CategoryResult.Outcome.DONE
    values = {
        "outcome": CategoryResult.Outcome.PARTIAL.value if done else before["outcome"],
        "reason": parts(before["reason"], reason),
        "remedy": sentences(before["remedy"], remedy),
        "before_failure": before,
    }
    differs = any(getattr(row, name) != value for name, value in values.items())
    for name, value in values.items():
        setattr(row, name, value)
    return differs


def _result_before(row: CategoryResult) -> dict[str, Any] | None:
    """Return what ``row`` said before, unless a scan has ended since."""
    before: dict[str, Any] | None = row.before_failure
    return before if before and before["ended_at"] == row.ended_at.isoformat() else None


def _restore(row: CategoryResult) -> None:
    if before := _result_before(row):
        row.outcome = before["outcome"]
        row.reason, row.remedy = before["reason"], before["remedy"]

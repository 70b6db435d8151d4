"""Judging anew, once the vulnerability database is another, whether it has advisories for the system of images."""

from __future__ import annotations

from pathlib import Path

from django.db import transaction
from django.db.models import QuerySet

from console.i18n.message_codes import NOTHING, Message
from inventory.models import Image
from scanning.engines.base import RiskCategory
from scanning.engines.trivy.releases import is_named_listed
from scanning.models import CategoryResult, image_coverage
from scanning.vulndb import messages

BATCH_IMAGES = 500  # images


def unsupported_message(os_name: str) -> tuple[Message, Message]:
    """Return reason and remedy for an image of a system that the database has no advisories for."""
    reason = messages.SYSTEM_NOT_LISTED(system=os_name)
    remedy = messages.UPDATE_OR_REBUILD()
    return reason, remedy


def update_unsupported(folder: Path) -> None:
    """Write which images the database in ``folder`` has no advisories for, and of which it has some by now.

    Raises EngineError.
    """
    results = CategoryResult.objects.filter(category=RiskCategory.VULNERABILITIES, looked_at__isnull=False)
    names = Image.objects.exclude(os_name="").order_by().values_list("os_name", flat=True).distinct()
    for os_name in list(names):
        reason, remedy = unsupported_message(os_name)
        own, outcomes = results.filter(image__os_name=os_name), CategoryResult.Outcome
        if is_named_listed(folder, os_name):
            _change(own.filter(outcome=outcomes.UNSUPPORTED, reason=reason), outcomes.DONE, NOTHING, NOTHING)
        else:
            _change(own.filter(outcome=outcomes.DONE), outcomes.UNSUPPORTED, reason, remedy)


def _change(
    results: QuerySet[CategoryResult], outcome: CategoryResult.Outcome, reason: Message, remedy: Message
) -> None:
    while found := list(results.values_list("pk", "image_id")[:BATCH_IMAGES]):
        with transaction.atomic():
            CategoryResult.objects.filter(pk__in=[pk for pk, _image in found]).update(
                outcome=outcome, reason=reason, remedy=remedy
            )
            image_coverage.write_coverage(image_id for _pk, image_id in found)

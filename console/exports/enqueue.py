"""Asks for an export in the background."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction
from django.utils import timezone, translation

from console import visibility
from console.accounts.models import User
from console.exports.models import Export
from console.jobs.broker import enqueue
from console.jobs.models import State

MAX_UNFINISHED_EXPORTS = 5  # exports of one person that may wait or run at a time


class TooManyExports(Exception):
    """This person has MAX_UNFINISHED_EXPORTS unfinished exports."""


def request_export(
    *,
    user: User,
    listing: str,
    view: str,
    columns: Sequence[str],
    format: str = Export.Format.XLSX,
    ids: Sequence[int] = (),
    within: int | None = None,
    description: str = "",
) -> Export:
    """Queue an export and return it; the same one that is under way already is returned in its place.

    Raises TooManyExports. Times in the file are those of the current time zone, words those of the current language.
    """
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # one at a time for each person
        mine = Export.objects.filter(requested_by=user, state__in=State.active())
        parameters = {
            "listing": listing,
            "view": view,
            "within": within,
            "format": format,
            "time_zone": timezone.get_current_timezone_name(),
            "language": translation.get_language() or "en",
            "visibility_key": visibility.key(),
        }
        for one in mine.filter(**parameters, cancel_requested_at=None):
            if one.ids == list(ids) and one.columns == list(columns):
                return one
        if mine.count() >= MAX_UNFINISHED_EXPORTS:
            raise TooManyExports
        made = Export.objects.create(
            requested_by=user, ids=list(ids), columns=list(columns), description=description[:300], **parameters
        )
        enqueue(made)
        return made

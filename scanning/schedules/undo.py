"""Taking back what was done to a schedule: that it was deleted, or switched off."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from console.feedback import undo
from console.models import User
from inventory.models import Tag
from scanning.models import ScanRun, ScanSchedule, ScheduleRun
from scanning.schedules import scheduler

MAX_CHOSEN_IMAGES = 5000  # images that the button carries; a schedule of more cannot be brought back
MAX_HISTORY_ROWS = 200  # runs and past due times that are brought back, the latest


def snapshot(found: ScanSchedule) -> dict[str, Any] | None:
    """Return all that :func:`restore` needs of a schedule, as JSON; None where that is too much for a button."""
    chosen = list(found.chosen.order_by("pk").values_list("pk", flat=True)[: MAX_CHOSEN_IMAGES + 1])
    if len(chosen) > MAX_CHOSEN_IMAGES:
        return None
    occurrences = found.occurrences.values_list("due_at", "outcome", "run")[:MAX_HISTORY_ROWS]
    return {
        "name": found.name,
        "is_on": found.is_on,
        "every_days": found.every_days,
        "at": found.at.isoformat(),
        "until": found.until and found.until.isoformat(),
        "starts_on": found.starts_on.isoformat(),
        "scope": found.scope,
        "categories": found.categories,
        "timeout": found.timeout,
        "choice": found.choice,
        "chosen": chosen,
        "runs": list(found.runs.order_by("-pk").values_list("pk", flat=True)[:MAX_HISTORY_ROWS]),
        "firings": [[due_at.isoformat(), outcome, run] for due_at, outcome, run in occurrences],
    }


def restore(user: User, values: dict[str, Any]) -> None:
    """Bring back a deleted schedule with its images, its runs and what came of its due times."""
    _ask(user)
    until = values["until"]
    found = ScanSchedule(
        **{name: values[name] for name in ("name", "is_on", "every_days", "scope", "categories", "timeout")},
        choice=values.get("choice") or {},
        at=time.fromisoformat(values["at"]),
        until=time.fromisoformat(until) if until else None,
        starts_on=date.fromisoformat(values["starts_on"]),
    )
    try:
        with transaction.atomic():
            scheduler.save(found, chosen=Tag.objects.filter(pk__in=values["chosen"]))
    except IntegrityError as error:
        text = _("There is a schedule named “%(name)s” again.") % {"name": found.name}
        raise undo.UndoRefusedError(text) from error
    ScanRun.objects.filter(pk__in=values["runs"]).update(schedule=found)
    runs = set(ScanRun.objects.filter(pk__in=values["runs"]).values_list("pk", flat=True))
    ScheduleRun.objects.bulk_create(
        ScheduleRun(
            schedule=found, due_at=datetime.fromisoformat(at), outcome=outcome, run_id=run if run in runs else None
        )
        for at, outcome, run in values["firings"]
    )


def switch_on(user: User, values: dict[str, Any]) -> None:
    """Switch a schedule on again."""
    _ask(user)
    found = ScanSchedule.objects.filter(pk=values["pk"]).first()
    if found is None:
        raise undo.UndoRefusedError(_("The schedule no longer exists."))
    found.is_on = True
    scheduler.save(found)


def _ask(user: User) -> None:
    if not user.may_administer:
        raise PermissionDenied

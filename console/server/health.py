"""How the console is: facts for the foot of the sidebar, and notices that every page must show.

The apps register the functions that tell. Each takes nothing, returns facts, and is asked on every page: it must be
quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from django.db.models import Max
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _

from console.extension_points import ExtensionPoint, path_of
from console.jobs.models import HealthProbe, ScanHealthProbe, State

PROBE_MODELS = (HealthProbe, ScanHealthProbe)
PROBE_MAX_AGE_SECONDS = (
    180  # rule J7: a health probe ends every minute; none in this time means that no worker accepts jobs
)

Text = str | Promise


@dataclass(frozen=True)
class Notice:
    """A note on top of every page."""

    level: Literal["", "fault", "wait"]
    title: Text
    text: Text
    url: str = ""  # of the page where something can be done about it
    link: Text = ""


@dataclass(frozen=True)
class Fact:
    """One line in the foot of the sidebar."""

    level: Literal["ok", "fault"]
    label: Text
    value: Text
    detail: Text = ""  # on hover
    notice: Notice | None = None


HealthCheck = Callable[[], Iterable[Fact]]
HEALTH_CHECKS: ExtensionPoint[HealthCheck] = ExtensionPoint("health check")


def register(check: HealthCheck, *, order: int) -> None:
    """Show what ``check`` tells on every page, below that of a lower ``order``."""
    HEALTH_CHECKS.register(path_of(check), check, order=order)


def facts() -> list[Fact]:
    """Return the facts of all registered functions, in their order."""
    return [fact for check in HEALTH_CHECKS.values() for fact in check()]


def workers() -> Iterable[Fact]:
    """Tell whether both clusters of workers finish work, by their health probes."""
    ends = [model.objects.filter(state=State.SUCCEEDED).aggregate(at=Max("ended_at"))["at"] for model in PROBE_MODELS]
    since = timezone.now() - timedelta(seconds=PROBE_MAX_AGE_SECONDS)
    alive = sum(at is not None and at >= since for at in ends)
    if alive == len(PROBE_MODELS):
        return [Fact("ok", _("Workers"), _("running"))]
    if not any(ends):
        return [Fact("fault", _("Workers"), _("not reported yet"), _("No worker has reported so far."))]
    notice = Notice(
        "fault",
        _("No worker is running"),
        _("Syncs and scans wait in the queue until a worker runs. Start the workers, or check their log."),
    )
    return [Fact("fault", _("Workers"), _("%(n)d of 2") % {"n": alive}, notice=None if alive else notice)]

"""Template tags of registries and their syncs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils import timezone
from django.utils.translation import gettext as _

from console.jobs.models import State
from registries.models import Registry, SyncRun
from registries.pull_limit import Usage, usage_of_row
from registries.removal import unfinished_removals
from registries.sync_requests import nightly

register = template.Library()

MINUTE_SECONDS, HOUR_SECONDS = 60, 3600


@register.inclusion_tag("registries/_progress_bar.html", takes_context=True)
def moving(context: dict[str, Any], only: int | None = None) -> dict[str, Any]:
    """Show the bar of all syncs and removals in progress; the page asks for it again while there are any.

    ``only`` is the key of the registry whose page this is: the syncs of others are not told there.
    """
    runs = SyncRun.objects.filter(state__in=State.active())
    active = list(runs if only is None else runs.filter(registry=only))
    running = [run for run in active if run.state == State.RUNNING]
    total = sum(run.progress_total or 0 for run in running)
    known = bool(running) and all(run.progress_total for run in running)
    removals = unfinished_removals() if only is None else []
    return {
        "repositories": sum(run.repositories for run in running),
        "tags": sum(run.tags for run in running),
        "running": len(running),
        "queued": len(active) - len(running),
        "percent": sum(run.progress_done for run in running) * 100 // total if known and total else None,
        "left": max((seconds_left(run) or 0 for run in running), default=0) if known else 0,
        "removals": removals,
        "user": context["user"],
        "only": only,
        "poll": bool(active) or any(not removal.is_final for removal in removals),
    }


def seconds_left(run: SyncRun) -> int | None:
    """Return how many seconds a running sync still takes if it goes on as so far; None where nobody can tell."""
    if not run.started_at or not run.progress_total or not run.progress_done:
        return None
    passed = (timezone.now() - run.started_at).total_seconds()
    return round(passed * max(run.progress_total - run.progress_done, 0) / run.progress_done)


@register.filter
def left(run: SyncRun) -> str:
    """Return the remaining time of a running sync, as in "2 min left"; "" where nobody can tell."""
    seconds = seconds_left(run)
    return "" if seconds is None else span_left(seconds)


@register.filter
def span_left(seconds: int) -> str:
    """Return so many seconds as remaining time."""
    if seconds < MINUTE_SECONDS:
        return _("less than a minute remaining")
    if seconds < HOUR_SECONDS:
        return _("%(n)d min remaining") % {"n": -(-seconds // MINUTE_SECONDS)}
    return _("%(n)d h %(m)d min remaining") % {
        "n": seconds // HOUR_SECONDS,
        "m": seconds % HOUR_SECONDS // MINUTE_SECONDS,
    }


@register.filter
def usage(row: Registry) -> Usage:
    """Return how much of the limit of ``row`` is used."""
    return usage_of_row(row)


@register.filter
def next_sync(row: Registry) -> datetime:
    """Return when ``row`` syncs by itself next."""
    return nightly.next_sync(row)


@register.filter
def milliseconds(seconds: float | None) -> str:
    """Return how long a step took, as in "36 ms" or "2.4 s"; "" where it was not timed."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"

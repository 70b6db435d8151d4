"""The scan runs of a made-up inventory: scans are put into them as they are made, figures are counted in the end."""

from __future__ import annotations

import json
import random
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Max

from console.jobs.models import State
from demo.inventory.tables import TableWriter
from inventory.models import Tag
from scanning.engines.base import RiskCategory
from scanning.models import Scan, ScanRun

CATEGORY_NAMES = tuple(category.value for category in RiskCategory)
RUN_DAYS = 30
NIGHTLY_BEFORE, LATER_BEFORE = (
    timedelta(hours=10),
    timedelta(hours=2),
)  # how long before the end of each day its two runs begin
WINDOW_SECONDS = 5400.0  # seconds in which all scans of a run begin
SCAN_SECONDS = (4, 90)  # seconds of a scan, at least and below
ANY_RUN, RUN_WITH_FAILED, RUN_WITH_CANCELLED = State.SUCCEEDED, State.FAILED, State.CANCELLED


@dataclass
class _Run:
    key: int
    at: datetime
    scans: int = 0


@dataclass(frozen=True)
class PlannedScan:
    """A scan that has a place in a run: what its row says of it."""

    run: int
    state: State
    created: datetime
    started: datetime
    ended: datetime


class RunPlan:
    """Two runs on each of the last days. In some of them scans have failed, in fewer some were cancelled."""

    def __init__(self, tables: Mapping[str, TableWriter], *, images: int, rng: random.Random, now: datetime) -> None:
        self._table, self._rng, self._now = tables["run"], rng, now
        self._step = min(5.0, WINDOW_SECONDS * RUN_DAYS / max(1, images))  # twice as many as are expected find room
        runs = []
        for day in range(RUN_DAYS, -1, -1):
            for before, trigger in (
                (NIGHTLY_BEFORE, "schedule"),
                (LATER_BEFORE, "event" if day % 4 == 1 else "manual"),
            ):
                run = _Run(self._table.key(), now - timedelta(days=day) - before)
                self._add(run, trigger, "recommended")
                runs.append(run)
        self._of = {ANY_RUN: runs, RUN_WITH_FAILED: runs[::3], RUN_WITH_CANCELLED: runs[4::9]}
        self._keys = [run.key for run in runs]

    def place(self, state: State, *, after: datetime) -> PlannedScan | None:
        """Return a place for a scan that ended as ``state``, begun later than ``after``; None where there is none."""
        runs = self._of[state]
        first = bisect_left(runs, after, key=lambda run: run.at)
        if first == len(runs):
            return None
        run = runs[self._rng.randrange(first, len(runs))]
        run.scans += 1
        started = run.at + timedelta(seconds=5 + min(WINDOW_SECONDS, run.scans * self._step))
        ended = started + timedelta(seconds=self._rng.randrange(*SCAN_SECONDS))
        return PlannedScan(run.key, state, run.at + timedelta(seconds=2), started, ended)

    def waiting(self) -> int:
        """Return the key of one more run, started now, whose scans wait."""
        run = _Run(self._table.key(), self._now)
        self._add(run, "manual", "chosen")
        self._keys.append(run.key)
        return run.key

    def count(self) -> None:
        """Write what came of the runs, as their scans say, and remove those that have none. All rows are written."""
        runs = ScanRun.objects.filter(pk__in=self._keys)
        scans = Scan.objects.filter(run__in=self._keys).order_by().values_list("run")
        tags = Tag.objects.filter(image__scans__run__in=self._keys).order_by().values_list("image__scans__run")
        per_run = dict(tags.annotate(n=Count("pk")))
        last = {}
        for key, number, last[key] in scans.annotate(n=Count("pk"), last=Max("ended_at")):
            runs.filter(pk=key).update(images=number, tags=per_run.get(key, 0))
        runs.exclude(pk__in=last).delete()
        runs.close()
        for key in runs.exclude(finished_at=None).values_list("pk", flat=True):
            runs.filter(pk=key).update(finished_at=last[key])

    def _add(self, run: _Run, trigger: str, scope: str) -> None:
        times = (run.at, run.at, run.at + timedelta(seconds=1))
        self._table.add(run.key, State.SUCCEEDED.value, *times, trigger, scope, json.dumps(CATEGORY_NAMES))

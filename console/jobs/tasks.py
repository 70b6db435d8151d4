"""What django-q2 calls for the console's own work."""

from __future__ import annotations

import logging

from console.jobs import heartbeat
from console.jobs.models import Canary, ScanCanary
from console.jobs.reaper import do_ticks, reap
from console.jobs.runner import JobRun, work
from console.jobs.slots import one_of

log = logging.getLogger(__name__)


def canary(job_id: int) -> None:
    """Prove that the cluster ``quick`` takes work and ends it."""
    work(Canary, job_id, _sing)


def scan_canary(job_id: int) -> None:
    """Prove that the cluster ``scan`` takes work and ends it."""
    work(ScanCanary, job_id, _sing)


def tick() -> None:
    """Recover what was lost, then do what ``settings.JOB_TICKS`` names; carried by the one schedule row ``tick``.

    Any number of ticks may run at once, so each of those functions must be harmless when called again. One that fails
    is logged, and the others run. On this machine there is one at a time, so that ticks that last take no more than one
    process.
    """
    heartbeat.show_life()
    with one_of("tick", 1) as alone:
        if not alone:
            log.warning("The tick before is still at work")
            return
        reap()
        do_ticks()


def _sing(run: JobRun[Canary] | JobRun[ScanCanary]) -> None:
    run.check()

"""What django-q2 calls for the console's own work."""

from __future__ import annotations

import logging

from console.jobs import heartbeat
from console.jobs.job_run import JobRun
from console.jobs.models import HealthProbe, ScanHealthProbe
from console.jobs.reaper import reap
from console.jobs.runner import run_queued_jobs
from console.jobs.slots import machine_slot
from console.jobs.ticks import run_ticks

log = logging.getLogger(__name__)


def health_probe(job_id: int) -> None:
    """Prove that the cluster ``quick`` takes work and ends it."""
    run_queued_jobs(HealthProbe, job_id, _run_probe)


def scan_health_probe(job_id: int) -> None:
    """Prove that the cluster ``scan`` takes work and ends it."""
    run_queued_jobs(ScanHealthProbe, job_id, _run_probe)


def tick() -> None:
    """Recover what was lost, then call what the apps have registered; carried by the one schedule row ``tick``.

    Any number of ticks may run at once, so each of those functions must be harmless when called again. One that fails
    is logged, and the others run. On this machine there is one at a time, so that ticks that last take no more than one
    process.
    """
    heartbeat.report_alive()
    with machine_slot("tick", 1) as acquired:
        if not acquired:
            log.warning("The previous tick is still running")
            return
        reap()
        run_ticks()


def _run_probe(run: JobRun[HealthProbe] | JobRun[ScanHealthProbe]) -> None:
    run.check()

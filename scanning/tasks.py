"""What django-q2 wakes: each takes the id of a job."""

from __future__ import annotations

from console.jobs.work import JobRun, work
from scanning import database, runs, schedule
from scanning.models import DatabaseUpdate, Scan, ScanRun
from scanning.pipeline import scan_image


def scan(scan_id: int) -> None:
    """Work on the best queued scan."""
    work(Scan, scan_id, scan_image)


def run(run_id: int) -> None:
    """Queue the scans of the best queued run."""
    work(ScanRun, run_id, runs.work_off)


def fire(schedule_id: int) -> None:
    """Do what is due of a schedule; called by its django-q2 schedule row."""
    schedule.fire(schedule_id)


def update_database(update_id: int) -> None:
    """Download and install the vulnerability database."""
    work(DatabaseUpdate, update_id, _update_database)


def _update_database(run: JobRun[DatabaseUpdate]) -> None:
    run.progress("downloading")
    facts = database.download(check=run.check)

    def write() -> None:
        DatabaseUpdate.objects.filter(pk=run.job.pk).update(built_at=facts.built_at)

    run.finish(write=write)

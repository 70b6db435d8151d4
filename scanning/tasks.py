"""What django-q2 wakes: each takes the id of a job."""

from __future__ import annotations

from console import visibility
from console.audit import trail
from console.jobs.job_run import JobRun
from console.jobs.models import Priority, State
from console.jobs.runner import run_queued_jobs
from console.jobs.state import advance
from inventory.sync.webhook_events import process_event
from registries.models import PushAddress, PushEvent
from scanning.execution.pipeline import scan_image
from scanning.exposure.recount import run_recount
from scanning.models import ExposureRecount, Rematch, Scan, ScanRun, VulndbUpdate
from scanning.rematch import run as rematching
from scanning.runs import start as runs_start
from scanning.runs.start import scan_now
from scanning.schedules import scheduler
from scanning.vulndb import install as vulndb_install


def scan(scan_id: int) -> None:
    """Work on the best queued scan."""
    run_queued_jobs(Scan, scan_id, scan_image)


def run(run_id: int) -> None:
    """Queue the scans of the best queued run."""
    run_queued_jobs(ScanRun, run_id, runs_start.queue_run)


@visibility.unrestricted()
def fire(schedule_id: int) -> None:
    """Do what is due of a schedule, of whatever registries; called by its django-q2 schedule row."""
    scheduler.run_due(schedule_id)


def push_event(event_id: int) -> None:
    """Look again at what a registry has reported, and scan it where that is wanted."""
    run_queued_jobs(PushEvent, event_id, _push_event)


def _push_event(run: JobRun[PushEvent]) -> None:
    looked = process_event(run)
    changed = looked.changed
    attempts = {served.pk: served.attempt for served in looked.served}

    def write() -> None:
        PushEvent.objects.filter(pk=run.job.pk).update(images=len(changed))
        for served in PushEvent.objects.in_bulk(list(attempts)).values():  # read here, since this may be called again
            # Who cancelled one meanwhile was faster.
            if advance(served, State.RUNNING, expect=State.QUEUED, attempt=attempts[served.pk]):
                advance(served, State.SUCCEEDED)
        if changed and PushAddress.objects.filter(registry=run.job.registry, scans=True).exists():
            made = scan_now(tag_ids=[tag.pk for tag in changed], requested_by=None, priority=Priority.EVENT).run
            if made.images:
                detail = {"by": "event", "registry": run.job.registry.name, "run": made.pk}
                trail.record(None, "scan.start", made, detail)

    run.finish(write=write)


def update_database(update_id: int) -> None:
    """Download and install the vulnerability database."""
    run_queued_jobs(VulndbUpdate, update_id, _update_database)


def _update_database(run: JobRun[VulndbUpdate]) -> None:
    run.progress("downloading")
    facts = vulndb_install.download(check=run.check)

    def write() -> None:
        VulndbUpdate.objects.filter(pk=run.job.pk).update(built_at=facts.built_at)
        rematching.start_rematch()

    run.finish(write=write)


def recount(recount_id: int) -> None:
    """Count anew in how many images each package and each vulnerability is."""
    run_queued_jobs(ExposureRecount, recount_id, run_recount)


def rematch(rematch_id: int) -> None:
    """Match stored packages with the vulnerability database."""
    run_queued_jobs(Rematch, rematch_id, rematching.rematch)

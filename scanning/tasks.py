"""What django-q2 wakes: each takes the id of a job."""

from __future__ import annotations

from console.audit import trail
from console.jobs.models import Lane, State
from console.jobs.runner import JobRun, work
from console.jobs.state import advance
from inventory.sync.webhook_events import look_again
from registries.models import PushAddress, PushEvent
from scanning.execution.pipeline import scan_image
from scanning.exposure import aggregate
from scanning.models import DatabaseUpdate, Recount, Rematch, Scan, ScanRun
from scanning.rematch import run as rematching
from scanning.runs import start as runs_start
from scanning.runs.launch import launch
from scanning.schedules import service as schedules_service
from scanning.vulndb import install as vulndb_install


def scan(scan_id: int) -> None:
    """Work on the best queued scan."""
    work(Scan, scan_id, scan_image)


def run(run_id: int) -> None:
    """Queue the scans of the best queued run."""
    work(ScanRun, run_id, runs_start.work_off)


def fire(schedule_id: int) -> None:
    """Do what is due of a schedule; called by its django-q2 schedule row."""
    schedules_service.fire(schedule_id)


def push_event(event_id: int) -> None:
    """Look again at what a registry has reported, and scan it where that is wanted."""
    work(PushEvent, event_id, _push_event)


def _push_event(run: JobRun[PushEvent]) -> None:
    looked = look_again(run)
    changed = looked.changed
    attempts = {served.pk: served.attempt for served in looked.served}

    def write() -> None:
        PushEvent.objects.filter(pk=run.job.pk).update(images=len(changed))
        for served in PushEvent.objects.in_bulk(list(attempts)).values():  # read here, since this may be called again
            # Who cancelled one meanwhile was faster.
            if advance(served, State.RUNNING, expect=State.QUEUED, attempt=attempts[served.pk]):
                advance(served, State.SUCCEEDED)
        if changed and PushAddress.objects.filter(registry=run.job.registry, scans=True).exists():
            made = launch(tag_ids=[tag.pk for tag in changed], requested_by=None, lane=Lane.EVENT).run
            if made.images:
                detail = {"by": "event", "registry": run.job.registry.name, "run": made.pk}
                trail.record(None, "scan.start", made, detail)

    run.finish(write=write)


def update_database(update_id: int) -> None:
    """Download and install the vulnerability database."""
    work(DatabaseUpdate, update_id, _update_database)


def _update_database(run: JobRun[DatabaseUpdate]) -> None:
    run.progress("downloading")
    facts = vulndb_install.download(check=run.check)

    def write() -> None:
        DatabaseUpdate.objects.filter(pk=run.job.pk).update(built_at=facts.built_at)
        rematching.start()

    run.finish(write=write)


def recount(recount_id: int) -> None:
    """Count anew in how many images each package and each vulnerability is."""
    work(Recount, recount_id, aggregate.work_off)


def rematch(rematch_id: int) -> None:
    """Match stored packages with the vulnerability database."""
    work(Rematch, rematch_id, rematching.rematch)

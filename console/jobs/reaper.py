"""The reaper: finds jobs that nobody works on or wakes a worker for, and what dead workers left behind.

It runs every minute by the schedule ``tick`` and every 30 s in each ``manage.py worker``. Any number may run at once.
"""

from __future__ import annotations

import logging
import math
import shutil
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.db.models import F, Q
from django.db.models.functions import Now

from console import visibility
from console.i18n.message_codes import NOTHING
from console.jobs import broker, kinds, messages
from console.jobs.job_run import scratch_root
from console.jobs.models import HealthProbe, Job, JobEvent, ScanHealthProbe, State
from console.jobs.runner import eligible
from console.jobs.state import advance, from_now

log = logging.getLogger(__name__)

REAP_BATCH_JOBS = 500
PROBE_RETENTION = timedelta(hours=1)
JOB_EVENT_RETENTION = timedelta(days=90)


@visibility.unrestricted()
def reap() -> None:
    """Recover expired leases, hint at waiting jobs again, remove stale scratch folders and old records.

    A kind with a job that cannot be recovered keeps no other from being looked after.
    """
    database_was_down = _database_was_down()
    for model in job_models():
        try:
            if not database_was_down:
                recover_expired(model)
            resend_hints(model)
        except (OperationalError, InterfaceError):
            raise  # the database is away
        except Exception:
            log.exception("The reaper failed on the jobs of the kind %s", model.kind)
    sweep_scratch()
    prune()


def note_database_failure() -> None:
    """Note that the database did not answer this process: leases that ran out meanwhile are not lost at once."""
    global _database_failed_at
    _database_failed_at = time.monotonic()


_database_failed_at = -math.inf  # by the clock of time.monotonic()


def _database_was_down() -> bool:
    """Whether the database was not there a moment ago: then nobody could renew a lease, and no worker need be lost."""
    if time.monotonic() - _database_failed_at < settings.JOB_TIMES.lease:
        return True
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())")
        (seconds,) = cursor.fetchone()
    return float(seconds) < settings.JOB_TIMES.lease


def job_models() -> Iterator[type[Job]]:
    """Return the model of each kind of job."""
    return (kind.model for kind in kinds.kinds())


def recover_expired(model: type[Job]) -> None:
    """Take the jobs of lost workers back: to the queue, or to an end where that has happened too often.

    One that cannot be taken back keeps no other from it.
    """
    expired = Q(lease_until__lt=Now()) | Q(lease_until=None)
    for job in model._base_manager.filter(expired, state=State.RUNNING).order_by("pk")[:REAP_BATCH_JOBS]:
        try:
            _recover_job(job, expired)
        except (OperationalError, InterfaceError):
            raise  # the database is away
        except Exception:
            log.exception("%s could not be put back into the queue", job)


def _recover_job(job: Job, expired: Q) -> None:
    if job.cancel_requested_at is not None:
        to, reason, remedy = State.CANCELLED, NOTHING, NOTHING
    elif job.losses + 1 >= job.max_losses:
        to = State.FAILED
        reason = messages.WORKER_LOST_REPEATEDLY(count=job.losses + 1)
        remedy = messages.CHECK_MEMORY()
    else:
        to, reason, remedy = State.QUEUED, messages.WORKER_LOST(), NOTHING
    lost_fields = {"losses": F("losses") + 1}
    still = expired & Q(cancel_requested_at=None) if to is State.QUEUED else expired
    if advance(
        job,
        to,
        expect=State.RUNNING,
        attempt=job.attempt,
        reason=reason,
        remedy=remedy,
        fields=lost_fields,
        where=still,
    ):
        log.warning("%s: worker %s was lost at attempt %s, now %s", job, job.worker, job.attempt, to.value)


def resend_hints(model: type[Job]) -> None:
    """Wake workers for queued jobs whose hint is missing or a minute old, and for those whose pause is over.

    No more messages wait in the broker than workers can turn to, however long the queue of jobs is.
    """
    stale = Q(hinted_at=None) | Q(hinted_at__lt=from_now(-settings.JOB_TIMES.hint_again))
    jobs = list(model.claimable(eligible(model)).filter(stale)[:REAP_BATCH_JOBS])
    if not jobs:
        return
    try:
        room = REAP_BATCH_JOBS - broker.queue_size(kinds.get(model.kind).cluster)
    except Exception as error:
        log.warning("The broker does not respond: %s", type(error).__name__)
        return
    for job in jobs[: max(broker.max_hints(model.kind, default=room), 0)]:
        if not broker.hint(job):
            return


PROCESS_FOLDER_PREFIX = "process"  # first part of the name of a folder that several jobs of one process share


def sweep_scratch() -> None:
    """Remove the scratch folders on this machine whose attempt is over, and those of processes that have ended."""
    models = {model.kind: model for model in job_models()}
    for folder in sorted(scratch_root().glob("*")):
        kind, _dash, rest = folder.name.rpartition("-")[0].rpartition("-")
        attempt = folder.name.rpartition("-")[2]
        if kind not in (*models, PROCESS_FOLDER_PREFIX) or not rest.isdigit() or not attempt.isdigit():
            continue  # not ours
        if kind == PROCESS_FOLDER_PREFIX:
            alive = Path(f"/proc/{rest}").exists()
        else:
            running = models[kind]._base_manager.filter(pk=int(rest), attempt=int(attempt), state=State.RUNNING)
            alive = running.exists()
        if not alive:
            shutil.rmtree(folder, ignore_errors=True)
            log.info("Removed the scratch folder %s of a lost worker", folder.name)


def prune() -> None:
    """Delete health probes after an hour and events after 90 days."""
    probe_models: tuple[type[Job], ...] = (HealthProbe, ScanHealthProbe)
    for model in probe_models:
        model._base_manager.filter(state__in=State.final(), ended_at__lt=Now() - PROBE_RETENTION).delete()
    kinds = [model.kind for model in probe_models]
    JobEvent.objects.filter(kind__in=kinds, at__lt=Now() - PROBE_RETENTION).delete()
    JobEvent.objects.filter(at__lt=Now() - JOB_EVENT_RETENTION).delete()

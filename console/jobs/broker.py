"""The only door to django-q2. Job rows are the truth; a message here is a hint that wakes a worker, no more.

A message carries one integer. django-q2 delivers it at least once, sometimes never (quality bars, section 1): both are
harmless, since a worker claims whatever job is next by compare-and-swap and the reaper hints again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.module_loading import import_string
from django_q.brokers import get_broker
from django_q.cluster import Cluster
from django_q.conf import Conf
from django_q.models import Schedule
from django_q.tasks import async_task

from console.db.batches import batched
from console.extension_points import path_of
from console.jobs import kinds
from console.jobs.models import Job, State
from console.jobs.slots import job_capacity
from console.jobs.state import advance
from console.processes.control import die_with_parent_after_fork

log = logging.getLogger(__name__)

MAX_BULK_HINTS = 500  # so many hints of a kind wait in the broker at most when hints are sent in bulk
TICK_TASK = "console.jobs.tasks.tick"


def enqueue(job: Job) -> None:
    """Put a saved job that stands at QUEUED in line and wake a worker for it once the transaction has committed."""
    enqueue_many([job])


def enqueue_many(jobs: Sequence[Job]) -> None:
    """Put saved QUEUED jobs of one kind in line. Beyond the first hundreds the reaper sends the hints bit by bit."""
    if not jobs:
        return
    model = type(jobs[0])
    hinted = jobs[: max_hints(model.kind, default=MAX_BULK_HINTS)]
    for number, batch in enumerate(batched(jobs, MAX_BULK_HINTS)):
        model._base_manager.filter(pk__in=[job.pk for job in batch], state=State.QUEUED).update(
            queued_at=Now(), hinted_at=None if number else Now()
        )

    def send() -> None:
        for job in hinted:
            if not _send(job):
                return

    transaction.on_commit(send)


def max_hints(kind: str, *, default: int) -> int:
    """Return how many hints are sent at once for jobs of ``kind``, however many wait; ``default`` where any will do.

    In the cluster ``quick`` the hints of all kinds stand in one line, and whoever is woken takes one job after the
    other: as many hints as there are worker threads are enough, and the queue stays short.
    """
    found = kinds.get(kind)
    if found.cluster == "quick" and found.slots is not None:
        return job_capacity(kind)
    return default


def hint(job: Job) -> bool:
    """Wake a worker for a QUEUED job now; return whether the broker took the message."""
    type(job)._base_manager.filter(pk=job.pk, state=State.QUEUED).update(hinted_at=Now())
    return _send(job)


def queue_size(cluster: str) -> int:
    """Return how many messages wait in the broker for ``cluster``."""
    return int(get_broker(cluster).queue_size())


def _send(job: Job) -> bool:
    """Give the broker one message. A broker that is down costs time, never the job: the reaper hints again."""
    kind = kinds.get(job.kind)
    try:
        async_task(path_of(kind.run), int(job.pk), cluster=kind.cluster, task_name=f"{job.kind}-{job.pk}", save=False)
    except Exception as error:
        if transaction.get_connection().in_atomic_block:
            raise  # the transaction may be broken: hiding that would lose more than a hint
        log.warning("No worker could be woken for %s: %s", job, type(error).__name__)
        return False
    return True


def run_cluster(name: str) -> None:
    """Run the django-q2 cluster ``name`` until SIGTERM. Every process in it dies with its parent.

    django-q2 leaves workers behind when their parent is killed; here the kernel ends them. What its kinds of jobs
    prepare is prepared before the workers are forked: once, and in memory that they share.
    """
    die_with_parent_after_fork()
    # django-q2 has read the settings when it was imported: before any kind was registered, and for no cluster.
    Conf.CLUSTER_NAME = name
    Conf.WORKERS = kinds.worker_count(name)
    for kind in kinds.kinds():
        if kind.cluster == name and kind.prepare is not None:
            _prepare(kind.prepare)
    connection.close()  # no worker may inherit it
    cluster = Cluster()
    cluster.start()
    cluster.sentinel.join()


def _prepare(prepare: Callable[[], None]) -> None:
    try:
        prepare()
    except Exception:
        log.exception("%s failed; the workers do it when they need it", path_of(prepare))


def request_cancel(job: Job) -> None:
    """Cancel a queued job at once; ask a running one to stop, which it does within seconds. An ended one stays."""
    for _ in range(5):  # a job may be claimed or released between the two looks
        if advance(job, State.CANCELLED, expect=State.QUEUED):
            return
        running = type(job)._base_manager.filter(pk=job.pk, state=State.RUNNING)
        if running.filter(cancel_requested_at=None).update(cancel_requested_at=Now()) or running.exists():
            job.refresh_from_db()
            return
        job.refresh_from_db()
        if job.is_final:
            return


def write_schedule(*, row: int | None, name: str, task: str, argument: int, at: datetime) -> int:
    """Have ``task(argument)`` called in the cluster ``quick`` at ``at``; return the id of the schedule row for that.

    ``row`` is the id of the row of an earlier call, which is made whole again whatever became of it. One row that
    cannot be read would stop django-q2 from firing any, so nothing is written that is not checked: raises ValueError.
    """
    if timezone.is_naive(at) or isinstance(argument, bool) or not isinstance(argument, int):
        raise ValueError("A schedule needs a time with a zone and one integer.")
    if not callable(import_string(task)):
        raise ValueError(f"{task} is nothing that can be called.")
    expected = _SCHEDULE_DEFAULTS | {
        "name": name[:100],
        "func": task,
        "args": f"({argument},)",
        "schedule_type": Schedule.DAILY,  # "once" would delete the row; the next time is written after each run
        "minutes": None,
        "next_run": at,
    }
    found = Schedule.objects.filter(pk=row).first() if row is not None else None
    if found is None:
        return int(Schedule.objects.create(**expected).pk)
    if changed_fields := [field for field, value in expected.items() if getattr(found, field) != value]:
        Schedule.objects.filter(pk=found.pk).update(**expected)
        if changed_fields != ["next_run"]:
            log.warning("The schedule row %s had changed (%s) and was repaired", found.pk, ", ".join(changed_fields))
    return int(found.pk)


def remove_schedule(row: int | None) -> None:
    """Remove a row that :func:`write_schedule` has made; one that is gone is no error."""
    Schedule.objects.filter(pk=row).delete()


def remove_schedules(*, task: str, except_ids: Iterable[int | None]) -> None:
    """Remove the rows that call ``task``, except those with the ids ``except_ids``."""
    Schedule.objects.filter(func=task).exclude(pk__in=[row for row in except_ids if row is not None]).delete()


# What every schedule row of ours has in common.
_SCHEDULE_DEFAULTS: dict[str, Any] = {
    "repeats": -1,
    "kwargs": None,
    "hook": None,
    "cron": None,
    "cluster": "quick",
    "intended_date_kwarg": None,
}


def ensure_tick_schedule() -> None:
    """Have exactly one schedule row that runs the reaper every minute, whole and of our own making."""
    expected = _SCHEDULE_DEFAULTS | {"func": TICK_TASK, "schedule_type": Schedule.MINUTES, "minutes": 1, "args": None}
    with transaction.atomic():
        row = Schedule.objects.filter(name="tick").order_by("pk").first()
        if row is None:
            row = Schedule.objects.create(name="tick", next_run=timezone.now(), **expected)
        elif any(getattr(row, name) != value for name, value in expected.items()) or row.next_run is None:
            Schedule.objects.filter(pk=row.pk).update(next_run=timezone.now(), **expected)
        Schedule.objects.filter(name="tick").exclude(pk=row.pk).delete()
        Schedule.objects.filter(pk=row.pk, next_run__gt=timezone.now() + timedelta(minutes=5)).update(
            next_run=timezone.now()
        )

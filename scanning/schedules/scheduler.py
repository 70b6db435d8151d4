"""Scheduled scans. Each schedule is carried by a django-q2 schedule row of its own, which only this module writes.

django-q2 may fire twice, late or never. Each call checks the time that the schedule itself stores, and leaves one row
for each due time, so that a second one finds nothing to do; ``tick`` fires what was not fired.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import takewhile

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet

from console.audit import trail
from console.db.clock import database_now
from console.i18n.message_codes import NOTHING, Message
from console.jobs import broker
from console.jobs.models import Priority, State
from console.models import User
from console.visibility import current
from inventory import image_summary
from inventory.models import Tag
from scanning.models import Scan, ScanRun, ScanSchedule, ScanScope, ScheduleRun
from scanning.models.selection import add_tags
from scanning.runs.start import start_run
from scanning.schedules import messages, recurrence

log = logging.getLogger(__name__)

FIRE_TASK = "scanning.tasks.fire"
FIRE_GRACE = timedelta(minutes=2)  # so long django-q2 has to fire a due time before ``tick`` does
MAX_MISSED_TIMES = 100  # due times that are recorded after a long break, the latest
BATCH_ROWS = 500


def save(schedule: ScanSchedule, *, chosen: QuerySet[Tag] | None = None, now: datetime | None = None) -> None:
    """Save ``schedule`` with its images (None: as they were) and have it carried from now on, or no more where off."""
    now = now or database_now()
    with transaction.atomic():
        schedule.next_due_at = recurrence.first_due(schedule, after=now) if schedule.is_on else None
        schedule.save()
        if chosen is not None:
            schedule.chosen.clear()
            add_tags(schedule, "chosen", chosen)
        _write_queue_row(schedule)
    release_postponed(schedule)
    postpone_outside_range(now=now)


def delete(schedule: ScanSchedule) -> None:
    """Delete ``schedule``. Its runs stay, and what they have queued goes on."""
    release_postponed(schedule)
    with transaction.atomic():
        broker.remove_schedule(schedule.queue_row)
        schedule.delete()


def run_due(schedule_id: int, *, now: datetime | None = None) -> ScheduleRun | None:
    """Do what is due of a schedule: start its run, or record why not. Returns None where nothing is due.

    Of several due times that have passed only the last one starts a run, and only before its range or its day is over.
    """
    now = now or database_now()
    with transaction.atomic():
        schedule = ScanSchedule.objects.select_for_update().filter(pk=schedule_id).first()
        if schedule is None or not schedule.is_on or schedule.next_due_at is None or schedule.next_due_at > now:
            log.info("Schedule %s ran with nothing due", schedule_id)
            return None
        first = schedule.next_due_at
        passed = [first, *takewhile(lambda at: at <= now, recurrence.due_times(schedule, after=first))][
            -MAX_MISSED_TIMES:
        ]
        _store_missed(schedule, passed[:-1])
        schedule_run = _run_due_time(schedule, passed[-1], now)
        schedule.next_due_at = recurrence.first_due(schedule, after=now)
        schedule.save(update_fields=["next_due_at"])
        _write_queue_row(schedule)
    return schedule_run


def run_now(schedule: ScanSchedule, *, requested_by: User) -> tuple[ScanRun, bool]:
    """Start what ``schedule`` describes at once, whatever its time; return the run and whether it is a new one.

    While a run of it goes on, that is the one: two would only be in each other's way.
    """
    with transaction.atomic():
        ScanSchedule.objects.select_for_update().get(pk=schedule.pk)
        if unfinished := _unfinished_runs(schedule).first():
            return unfinished, False
        return _start(schedule, ScanRun.Trigger.MANUAL, requested_by), True


def tick(*, now: datetime | None = None) -> None:
    """Mend the rows of django-q2, fire what it has not fired, and hold scans back outside of their time range."""
    now = now or database_now()
    for schedule in ScanSchedule.objects.filter(is_on=True):
        try:
            if schedule.next_due_at is not None and schedule.next_due_at <= now - FIRE_GRACE:
                log.warning("The schedule %s was due at %s and did not run", schedule, schedule.next_due_at)
                run_due(schedule.pk, now=now)
            else:
                _repair(schedule.pk, now)
        except Exception:
            log.exception("The check of the schedule %s failed", schedule)
    broker.remove_schedules(
        task=FIRE_TASK, except_ids=ScanSchedule.objects.filter(is_on=True).values_list("queue_row", flat=True)
    )
    postpone_outside_range(now=now)


def postpone_outside_range(*, now: datetime | None = None) -> None:
    """Have queued scans of schedules whose time range is over wait for the next one, and say so."""
    now = now or database_now()
    unfinished = ScanRun.objects.unfinished().filter(trigger=ScanRun.Trigger.SCHEDULE)
    for schedule in ScanSchedule.objects.filter(until__isnull=False, runs__in=unfinished).distinct():
        if recurrence.is_open(schedule, now):
            continue
        opens = recurrence.next_opening(schedule, now)
        early = Q(not_before=None) | Q(not_before__lt=opens)
        scans = Scan.objects.filter(early, priority=Priority.SCHEDULE, run__in=unfinished.filter(schedule=schedule))
        _postpone(scans, until=opens, reason=messages.WAITING_FOR_TIME_RANGE(name=schedule.name))


def release_postponed(schedule: ScanSchedule) -> None:
    """Let scans that wait for the time range of ``schedule`` wait no more."""
    _postpone(Scan.objects.filter(run__schedule=schedule, not_before__isnull=False), until=None, reason=NOTHING)


def _unfinished_runs(schedule: ScanSchedule) -> QuerySet[ScanRun]:
    """Return its runs that go on. One that somebody has started who is limited scans a part of what others mean."""
    runs = schedule.runs.unfinished()
    return runs.filter(registries__isnull=True) if current() is None else runs


def _run_due_time(schedule: ScanSchedule, at: datetime, now: datetime) -> ScheduleRun | None:
    """Record what becomes of one due time, and start its run. None where somebody has done so before."""
    try:
        with transaction.atomic():
            schedule_run = ScheduleRun.objects.create(schedule=schedule, due_at=at, outcome=ScheduleRun.Outcome.STARTED)
    except IntegrityError:  # firing_once
        return None
    if now >= recurrence.closes_at(schedule, at):
        schedule_run.outcome = ScheduleRun.Outcome.MISSED
    elif _unfinished_runs(schedule).exists():
        schedule_run.outcome = ScheduleRun.Outcome.OVERLAP
    else:
        schedule_run.run = _start(schedule, ScanRun.Trigger.SCHEDULE, None)
        detail = {"by": "schedule", "schedule": schedule.name, "run": schedule_run.run.pk}
        trail.record(None, "scan.start", schedule_run.run, detail)
    schedule_run.save(update_fields=["outcome", "run"])
    return schedule_run


def _start(schedule: ScanSchedule, trigger: ScanRun.Trigger, requested_by: User | None) -> ScanRun:
    return start_run(
        scope=ScanScope(schedule.scope),
        tag_ids=schedule.chosen.all(),
        categories=schedule.categories,
        timeout=schedule.timeout,
        trigger=trigger,
        requested_by=requested_by,
        schedule=schedule,
    )


def _store_missed(schedule: ScanSchedule, times: Iterable[datetime]) -> None:
    rows = [ScheduleRun(schedule=schedule, due_at=at, outcome=ScheduleRun.Outcome.MISSED) for at in times]
    ScheduleRun.objects.bulk_create(rows, ignore_conflicts=True)


def _write_queue_row(schedule: ScanSchedule) -> None:
    """Write the django-q2 row of ``schedule``, or remove it while that is off."""
    if schedule.next_due_at is None:
        broker.remove_schedule(schedule.queue_row)
        row = None
    else:
        row = broker.write_schedule(
            row=schedule.queue_row,
            name=f"scan schedule {schedule.pk}",
            task=FIRE_TASK,
            argument=schedule.pk,
            at=schedule.next_due_at,
        )
    if row != schedule.queue_row:
        schedule.queue_row = row
        schedule.save(update_fields=["queue_row"])


def _repair(schedule_id: int, now: datetime) -> None:
    """Make the next due time and the django-q2 row what they should be, for a zone or a row may have changed."""
    with transaction.atomic():
        schedule = ScanSchedule.objects.select_for_update().filter(pk=schedule_id, is_on=True).first()
        if schedule is None or (schedule.next_due_at is not None and schedule.next_due_at <= now):
            return
        expected = recurrence.first_due(schedule, after=now)
        if schedule.next_due_at != expected:
            schedule.next_due_at = expected
            schedule.save(update_fields=["next_due_at"])
        _write_queue_row(schedule)


def _postpone(scans: QuerySet[Scan], *, until: datetime | None, reason: Message) -> None:
    last = 0
    while True:
        with transaction.atomic():
            found = scans.filter(state=State.QUEUED, pk__gt=last).order_by("pk").select_for_update(of=("self",))
            rows = list(found.values_list("pk", "image_id", "registry_id")[:BATCH_ROWS])
            if not rows:
                return
            Scan.objects.filter(pk__in=[pk for pk, *_more in rows]).update(not_before=until, reason=reason)
            image_summary.record_waiting(
                [(image, registry) for _pk, image, registry in rows], reason=reason, until=until
            )
        last = rows[-1][0]

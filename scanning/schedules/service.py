"""Scheduled scans. Each schedule is carried by a django-q2 schedule row of its own, which only this module writes.

django-q2 may fire twice, late or never. A firing looks at the time the schedule itself keeps, and leaves one row for
each due time, so that a second one finds nothing to do; ``tick`` fires what was not fired.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from itertools import takewhile

from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from console.audit import trail
from console.db.clock import database_now
from console.jobs import broker
from console.jobs.models import Lane, State
from console.models import User
from console.visibility import current
from inventory import summary
from inventory.models import Tag
from scanning.models import Firing, Scan, ScanRun, ScanSchedule, Scope
from scanning.models.selection import put_in
from scanning.runs.start import start_run
from scanning.schedules import recurrence

log = logging.getLogger(__name__)

TASK = "scanning.tasks.fire"
GRACE = timedelta(minutes=2)  # so long django-q2 has to fire a due time before ``tick`` does
MISSED_KEPT = 100  # due times that are recorded after a long break, the latest
ROWS = 500


def save(schedule: ScanSchedule, *, chosen: QuerySet[Tag] | None = None, now: datetime | None = None) -> None:
    """Save ``schedule`` with its images (None: as they were) and have it carried from now on, or no more where off."""
    now = now or database_now()
    with transaction.atomic():
        schedule.next_due_at = recurrence.first_due(schedule, after=now) if schedule.is_on else None
        schedule.save()
        if chosen is not None:
            schedule.chosen.clear()
            put_in(schedule, "chosen", chosen)
        _carry(schedule)
    release(schedule)
    hold(now=now)


def delete(schedule: ScanSchedule) -> None:
    """Delete ``schedule``. Its runs stay, and what they have queued goes on."""
    release(schedule)
    with transaction.atomic():
        broker.remove_schedule(schedule.queue_row)
        schedule.delete()


def fire(schedule_id: int, *, now: datetime | None = None) -> Firing | None:
    """Do what is due of a schedule: start its run, or record why not. Returns None where nothing is due.

    Of several due times that have passed only the last one starts a run, and only before its range or its day is over.
    """
    now = now or database_now()
    with transaction.atomic():
        schedule = ScanSchedule.objects.select_for_update().filter(pk=schedule_id).first()
        if schedule is None or not schedule.is_on or schedule.next_due_at is None or schedule.next_due_at > now:
            log.info("Schedule %s was fired with nothing due", schedule_id)
            return None
        first = schedule.next_due_at
        passed = [first, *takewhile(lambda at: at <= now, recurrence.due_times(schedule, after=first))][-MISSED_KEPT:]
        _record_missed(schedule, passed[:-1])
        firing = _fire_one(schedule, passed[-1], now)
        schedule.next_due_at = recurrence.first_due(schedule, after=now)
        schedule.save(update_fields=["next_due_at"])
        _carry(schedule)
    return firing


def run_now(schedule: ScanSchedule, *, requested_by: User) -> tuple[ScanRun, bool]:
    """Start what ``schedule`` describes at once, whatever its time; return the run and whether it is a new one.

    While a run of it goes on, that is the one: two would only be in each other's way.
    """
    with transaction.atomic():
        ScanSchedule.objects.select_for_update().get(pk=schedule.pk)
        if going_on := _going_on(schedule).first():
            return going_on, False
        return _start(schedule, ScanRun.Trigger.MANUAL, requested_by), True


def tick(*, now: datetime | None = None) -> None:
    """Mend the rows of django-q2, fire what it has not fired, and hold scans back outside of their time range."""
    now = now or database_now()
    for schedule in ScanSchedule.objects.filter(is_on=True):
        try:
            if schedule.next_due_at is not None and schedule.next_due_at <= now - GRACE:
                log.warning("The schedule %s was due at %s and not fired", schedule, schedule.next_due_at)
                fire(schedule.pk, now=now)
            else:
                _mend(schedule.pk, now)
        except Exception:
            log.exception("The schedule %s could not be looked after", schedule)
    broker.remove_schedules(task=TASK, but=ScanSchedule.objects.filter(is_on=True).values_list("queue_row", flat=True))
    hold(now=now)


def hold(*, now: datetime | None = None) -> None:
    """Have queued scans of schedules whose time range is over wait for the next one, and say so."""
    now = now or database_now()
    going_on = ScanRun.objects.going_on().filter(trigger=ScanRun.Trigger.SCHEDULE)
    for schedule in ScanSchedule.objects.filter(until__isnull=False, runs__in=going_on).distinct():
        if recurrence.is_open(schedule, now):
            continue
        opens = recurrence.next_opening(schedule, now)
        early = Q(not_before=None) | Q(not_before__lt=opens)
        scans = Scan.objects.filter(early, lane=Lane.SCHEDULE, run__in=going_on.filter(schedule=schedule))
        _wait(scans, until=opens, reason=_("Waiting for the time range of %(name)s.") % {"name": schedule.name})


def release(schedule: ScanSchedule) -> None:
    """Let scans that wait for the time range of ``schedule`` wait no more."""
    _wait(Scan.objects.filter(run__schedule=schedule, not_before__isnull=False), until=None, reason="")


def _going_on(schedule: ScanSchedule) -> QuerySet[ScanRun]:
    """Return its runs that go on. One that somebody has started who is limited scans a part of what others mean."""
    runs = schedule.runs.going_on()
    return runs.filter(registries__isnull=True) if current() is None else runs


def _fire_one(schedule: ScanSchedule, at: datetime, now: datetime) -> Firing | None:
    """Record what becomes of one due time, and start its run. None where somebody has done so before."""
    try:
        with transaction.atomic():
            firing = Firing.objects.create(schedule=schedule, due_at=at, outcome=Firing.Outcome.STARTED)
    except IntegrityError:  # firing_once
        return None
    if now >= recurrence.closes(schedule, at):
        firing.outcome = Firing.Outcome.MISSED
    elif _going_on(schedule).exists():
        firing.outcome = Firing.Outcome.OVERLAP
    else:
        firing.run = _start(schedule, ScanRun.Trigger.SCHEDULE, None)
        detail = {"by": "schedule", "schedule": schedule.name, "run": firing.run.pk}
        trail.record(None, "scan.start", firing.run, detail)
    firing.save(update_fields=["outcome", "run"])
    return firing


def _start(schedule: ScanSchedule, trigger: ScanRun.Trigger, requested_by: User | None) -> ScanRun:
    return start_run(
        scope=Scope(schedule.scope),
        tag_ids=schedule.chosen.all(),
        categories=schedule.categories,
        timeout=schedule.timeout,
        trigger=trigger,
        requested_by=requested_by,
        schedule=schedule,
    )


def _record_missed(schedule: ScanSchedule, times: Iterable[datetime]) -> None:
    rows = [Firing(schedule=schedule, due_at=at, outcome=Firing.Outcome.MISSED) for at in times]
    Firing.objects.bulk_create(rows, ignore_conflicts=True)


def _carry(schedule: ScanSchedule) -> None:
    """Write the django-q2 row of ``schedule``, or remove it while that is off."""
    if schedule.next_due_at is None:
        broker.remove_schedule(schedule.queue_row)
        row = None
    else:
        row = broker.write_schedule(
            row=schedule.queue_row,
            name=f"scan schedule {schedule.pk}",
            task=TASK,
            argument=schedule.pk,
            at=schedule.next_due_at,
        )
    if row != schedule.queue_row:
        schedule.queue_row = row
        schedule.save(update_fields=["queue_row"])


def _mend(schedule_id: int, now: datetime) -> None:
    """Make the next due time and the django-q2 row what they should be, for a zone or a row may have changed."""
    with transaction.atomic():
        schedule = ScanSchedule.objects.select_for_update().filter(pk=schedule_id, is_on=True).first()
        if schedule is None or (schedule.next_due_at is not None and schedule.next_due_at <= now):
            return
        expected = recurrence.first_due(schedule, after=now)
        if schedule.next_due_at != expected:
            schedule.next_due_at = expected
            schedule.save(update_fields=["next_due_at"])
        _carry(schedule)


def _wait(scans: QuerySet[Scan], *, until: datetime | None, reason: str) -> None:
    last = 0
    while True:
        with transaction.atomic():
            found = scans.filter(state=State.QUEUED, pk__gt=last).order_by("pk").select_for_update(of=("self",))
            rows = list(found.values_list("pk", "image_id", "registry_id")[:ROWS])
            if not rows:
                return
            Scan.objects.filter(pk__in=[pk for pk, *_more in rows]).update(not_before=until, reason=reason)
            summary.record_waiting([(image, registry) for _pk, image, registry in rows], reason=reason)
        last = rows[-1][0]

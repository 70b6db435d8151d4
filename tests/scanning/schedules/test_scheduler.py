"""Scheduled scans: fired once whatever django-q2 does, missed times, overlaps, and time ranges."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler

from console.jobs import broker
from console.jobs.models import Priority, State
from console.jobs.state import advance
from inventory.models import Image, Tag
from scanning import tasks
from scanning.models import Scan, ScanRun, ScanSchedule, ScanScope, ScheduleRun
from scanning.schedules import scheduler as schedules
from tests import factories
from tests.people import person

pytestmark = pytest.mark.django_db(transaction=True)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
ONE = NOON.replace(hour=13)


def make(name: str = "Nightly", *, now: datetime = NOON, chosen: bool = True, **values: object) -> ScanSchedule:
    """A schedule of every day at 13:00, of one image, made at noon."""
    defaults = {"at": time(13), "starts_on": date(2026, 1, 1), "scope": ScanScope.CHOSEN, "categories": ["malware"]}
    made = ScanSchedule(name=name, **defaults | values)
    tags = Tag.objects.filter(pk=factories.tag().pk) if chosen else None
    schedules.save(made, chosen=tags, now=now)
    return made


def outcomes(of: ScanSchedule) -> list[str]:
    return list(of.occurrences.order_by("due_at").values_list("outcome", flat=True))


def end(run: ScanRun) -> None:
    for scan in run.scans.filter(state=State.QUEUED):
        advance(scan, State.RUNNING)
        advance(scan, State.SUCCEEDED)


def test_a_schedule_is_carried_by_one_row_of_django_q2_that_holds_one_integer() -> None:
    made = make()
    row = Schedule.objects.get(func=schedules.FIRE_TASK)
    assert (row.pk, row.args, row.kwargs, row.cluster) == (made.queue_row, f"({made.pk},)", None, "quick")
    assert row.next_run == made.next_due_at == ONE
    made.at = time(15)
    schedules.save(made, now=NOON)
    assert Schedule.objects.get(func=schedules.FIRE_TASK).next_run == ONE.replace(hour=15)
    made.is_on = False
    schedules.save(made, now=NOON)
    assert not Schedule.objects.filter(func=schedules.FIRE_TASK).exists()
    assert made.next_due_at is None
    made.is_on = True
    schedules.save(made, now=NOON)
    schedules.delete(made)
    assert not Schedule.objects.filter(func=schedules.FIRE_TASK).exists()


def test_django_q2_calls_the_schedule_with_its_id() -> None:
    made = make(now=timezone.now() - timedelta(days=2))
    broker.ensure_tick_schedule()
    scheduler()
    calls = [message.task for message in OrmQ.objects.all() if message.task["func"] == schedules.FIRE_TASK]
    assert [(call["args"], call["kwargs"]) for call in calls] == [((made.pk,), {})]


def test_a_due_schedule_starts_its_run_and_names_its_next_time() -> None:
    made = make(timeout=600)
    assert schedules.run_due(made.pk, now=ONE - timedelta(seconds=1)) is None
    firing = schedules.run_due(made.pk, now=ONE)
    assert firing is not None
    assert (firing.outcome, firing.due_at) == (ScheduleRun.Outcome.STARTED, ONE)
    scan = Scan.objects.get()
    assert (scan.run, scan.priority, scan.timeout, scan.categories) == (firing.run, Priority.SCHEDULE, 600, ["malware"])
    made.refresh_from_db()
    assert made.next_due_at == ONE + timedelta(days=1)
    assert Schedule.objects.get(pk=made.queue_row).next_run == made.next_due_at


def test_a_second_firing_finds_nothing_to_do_even_with_an_old_time_in_the_row() -> None:
    made = make()
    schedules.run_due(made.pk, now=ONE)
    assert schedules.run_due(made.pk, now=ONE) is None
    ScanSchedule.objects.filter(pk=made.pk).update(next_due_at=ONE)
    assert schedules.run_due(made.pk, now=ONE) is None
    assert ScanRun.objects.count() == 1
    assert outcomes(made) == ["started"]


def test_three_clusters_that_fire_twenty_due_schedules_start_twenty_runs() -> None:
    made = [make(f"Schedule {number}", now=timezone.now() - timedelta(days=1)) for number in range(20)]
    ScanSchedule.objects.update(next_due_at=timezone.now() - timedelta(seconds=1))
    wrong: list[BaseException] = []
    together = threading.Barrier(3)

    def cluster() -> None:
        try:
            together.wait(timeout=30)
            for one in made:
                tasks.fire(one.pk)
        except BaseException as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=cluster) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=100)
    assert not wrong
    assert ScanRun.objects.count() == 20
    assert ScheduleRun.objects.count() == 20


def test_a_run_that_would_overlap_the_one_before_is_skipped_and_recorded() -> None:
    made = make()
    first = schedules.run_due(made.pk, now=ONE)
    assert schedules.run_due(made.pk, now=ONE + timedelta(days=1)).outcome == ScheduleRun.Outcome.OVERLAP  # type: ignore[union-attr]
    assert first is not None
    assert first.run is not None
    end(first.run)
    assert schedules.run_due(made.pk, now=ONE + timedelta(days=2)).outcome == ScheduleRun.Outcome.STARTED  # type: ignore[union-attr]
    assert outcomes(made) == ["started", "overlap", "started"]


def test_run_now_while_a_run_goes_on_leads_to_that_one(client: Client) -> None:
    client.force_login(person("operator"), backend="django.contrib.auth.backends.ModelBackend")
    made = make()
    url = reverse("scanning:schedule-run", args=[made.pk])
    client.post(url)
    first = made.runs.get()
    assert client.post(url)["Location"] == reverse("scanning:run", args=[first.pk])
    assert made.runs.count() == 1
    end(first)
    client.post(url)
    assert made.runs.count() == 2


def test_after_a_break_over_five_due_times_the_last_one_is_made_up_for_and_the_others_are_recorded() -> None:
    made = make()
    schedules.tick(now=ONE + timedelta(days=4, hours=3))
    assert outcomes(made) == ["missed"] * 4 + ["started"]
    assert ScanRun.objects.count() == 1
    made.refresh_from_db()
    assert made.next_due_at == ONE + timedelta(days=5)


def test_a_break_that_lasts_longer_than_the_range_makes_up_for_nothing() -> None:
    made = make(until=time(15))
    schedules.tick(now=ONE + timedelta(hours=2, minutes=1))
    assert outcomes(made) == ["missed"]
    assert not ScanRun.objects.exists()
    late = make("Late", until=time(15))
    schedules.tick(now=ONE + timedelta(hours=1, minutes=59))
    assert outcomes(late) == ["started"]


def test_a_break_of_a_year_is_recorded_in_bounds() -> None:
    made = make()
    schedules.tick(now=ONE + timedelta(days=400))
    assert ScheduleRun.objects.filter(schedule=made).count() == schedules.MAX_MISSED_TIMES
    assert ScanRun.objects.count() == 1


def test_the_tick_leaves_django_q2_its_time_and_then_fires_itself() -> None:
    make()
    schedules.tick(now=ONE + timedelta(minutes=1))
    assert not ScanRun.objects.exists()
    schedules.tick(now=ONE + schedules.FIRE_GRACE)
    assert ScanRun.objects.count() == 1


def test_the_tick_mends_rows_that_somebody_has_broken_and_removes_those_of_nobody() -> None:
    made, other = make(), make("Other")
    Schedule.objects.filter(pk=made.queue_row).update(args="(1,", next_run=ONE + timedelta(days=99), repeats=0)
    Schedule.objects.filter(pk=other.queue_row).delete()
    Schedule.objects.create(func=schedules.FIRE_TASK, args="(999,)", next_run=ONE)
    schedules.tick(now=NOON)
    rows = {row.args: (row.next_run, row.repeats) for row in Schedule.objects.filter(func=schedules.FIRE_TASK)}
    assert rows == {f"({made.pk},)": (ONE, -1), f"({other.pk},)": (ONE, -1)}
    assert Schedule.objects.get(args=f"({made.pk},)").pk == made.queue_row


def test_one_schedule_that_fails_does_not_keep_the_others_from_firing(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, fine = make("Broken"), make("Fine")
    ScanSchedule.objects.filter(pk=broken.pk).update(categories=[])  # refused by start_run
    schedules.tick(now=ONE + timedelta(minutes=5))
    assert outcomes(fine) == ["started"]
    assert outcomes(broken) == []


def test_a_row_of_somebody_else_that_django_q2_cannot_read_stops_no_schedule() -> None:
    made = make()
    Schedule.objects.create(func="no.such.task", args="(1,", next_run=NOON)
    Schedule.objects.update(next_run=timezone.now() - timedelta(seconds=1))
    scheduler()
    assert not [message for message in OrmQ.objects.all() if message.task["func"] == schedules.FIRE_TASK]
    schedules.tick(now=ONE + schedules.FIRE_GRACE)
    assert outcomes(made) == ["started"]


def test_a_clock_that_is_set_back_starts_nothing_twice() -> None:
    made = make()
    schedules.run_due(made.pk, now=ONE)
    schedules.tick(now=ONE - timedelta(minutes=30))  # the same due time lies ahead again
    assert schedules.run_due(made.pk, now=ONE) is None
    assert outcomes(made) == ["started"]
    made.refresh_from_db()
    assert made.next_due_at == ONE + timedelta(days=1)


@pytest.mark.parametrize(
    "first", ["2028-02-28T12:00", "2027-03-27T12:00", "2027-10-30T12:00"]
)  # a leap day, and both changes of clocks
def test_clocks_hours_apart_start_each_due_time_once_also_on_a_leap_day_and_where_clocks_change(
    settings: object, first: str
) -> None:
    settings.TIME_ZONE = "Europe/Berlin"  # type: ignore[attr-defined]
    began = datetime.fromisoformat(first).replace(tzinfo=UTC)
    made = make(now=began, at=time(2, 30))
    for hour in range(48):
        for apart in (2, -2, 0):
            now = began + timedelta(hours=hour + apart)
            schedules.tick(now=now)
            schedules.run_due(made.pk, now=now)
            for run in made.runs.filter(finished_at=None):
                end(run)
    days = [timezone.localtime(firing.due_at).date() for firing in made.occurrences.order_by("due_at")]
    assert days == [began.date() + timedelta(days=1), began.date() + timedelta(days=2)]
    assert outcomes(made) == ["started"] * 2
    assert made.runs.count() == 2


def test_another_time_zone_moves_the_next_time(settings: object) -> None:
    made = make()
    settings.TIME_ZONE = "Asia/Tokyo"  # type: ignore[attr-defined]
    schedules.tick(now=NOON)
    made.refresh_from_db()
    assert made.next_due_at == datetime(2026, 3, 11, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong", [{"argument": "1"}, {"argument": True}, {"at": datetime(2026, 1, 1)}, {"task": "scanning.tasks.__doc__"}]
)
def test_a_row_that_django_q2_could_not_read_is_not_written(wrong: dict[str, object]) -> None:
    values = {"row": None, "name": "x", "task": schedules.FIRE_TASK, "argument": 1, "at": NOON} | wrong
    with pytest.raises(ValueError):
        broker.write_schedule(**values)  # type: ignore[arg-type]
    assert not Schedule.objects.exists()


# --- time ranges -----------------------------------------------------------------------------------------------------


def test_what_is_queued_at_the_end_of_the_range_waits_for_the_next_day_and_says_so() -> None:
    made = make(until=time(15))
    firing = schedules.run_due(made.pk, now=ONE)
    by_hand, _is_new = schedules.run_now(make("Other", until=time(15), now=ONE), requested_by=None)  # type: ignore[arg-type]
    assert firing is not None
    scan = Scan.objects.get(run=firing.run)
    schedules.postpone_outside_range(now=ONE + timedelta(hours=1))
    scan.refresh_from_db()
    assert scan.not_before is None
    schedules.postpone_outside_range(now=ONE + timedelta(hours=2))
    scan.refresh_from_db()
    assert scan.not_before == ONE + timedelta(days=1)
    assert Image.objects.get(pk=scan.image_id).scan_reason == "Waiting for the time range of Nightly."
    assert by_hand.scans.get().not_before is None, "what is started by hand waits for no range"
    Scan.objects.filter(pk=scan.pk).update(not_before=ONE + timedelta(hours=3))  # a limit that is over before
    schedules.postpone_outside_range(now=ONE + timedelta(hours=2, minutes=1))
    scan.refresh_from_db()
    assert scan.not_before == ONE + timedelta(days=1)
    assert schedules.run_due(made.pk, now=ONE + timedelta(days=1)).outcome == ScheduleRun.Outcome.OVERLAP  # type: ignore[union-attr]


def test_another_range_lets_go_of_what_waits_for_the_old_one() -> None:
    made = make(until=time(15))
    schedules.run_due(made.pk, now=ONE)
    schedules.postpone_outside_range(now=ONE + timedelta(hours=3))
    made.refresh_from_db()
    made.until = time(16)
    schedules.save(made, now=ONE + timedelta(hours=3))  # still over
    assert Scan.objects.get().not_before == ONE + timedelta(days=1)
    made.until = None
    schedules.save(made, now=ONE + timedelta(hours=3))
    scan = Scan.objects.get()
    assert scan.not_before is None
    assert Image.objects.get(pk=scan.image_id).scan_reason == ""


def test_all_images_are_queued_by_the_job() -> None:
    made = make(scope=ScanScope.ALL)
    firing = schedules.run_due(made.pk, now=ONE)
    assert firing is not None
    assert firing.run is not None
    assert firing.run.state == State.QUEUED
    tasks.run(firing.run.pk)
    assert Scan.objects.get().run == firing.run

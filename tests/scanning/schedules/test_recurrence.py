"""When schedules are due: frequencies, time ranges, and days on which clocks are changed."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanning.models import ScanSchedule
from scanning.schedules import recurrence

BERLIN = "Europe/Berlin"  # forward on 29 March 2026 at 2:00, back on 25 October 2026 at 3:00


@pytest.fixture(autouse=True)
def berlin(settings: object) -> None:
    settings.TIME_ZONE = BERLIN  # type: ignore[attr-defined]


def schedule(at: str = "01:00", until: str = "", every: int = 1, starts_on: date = date(2026, 1, 1)) -> ScanSchedule:
    return ScanSchedule(
        at=time.fromisoformat(at),
        until=time.fromisoformat(until) if until else None,
        every_days=every,
        starts_on=starts_on,
    )


def local(text: str, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(BERLIN), fold=fold)


def upcoming(of: ScanSchedule, after: datetime, number: int = 3) -> list[str]:
    found = islice(recurrence.due_times(of, after=after), number)
    return [f"{at.astimezone(ZoneInfo(BERLIN)):%Y-%m-%d %H:%M %z}" for at in found]


def test_every_day_and_every_few_days_from_the_first_day_on() -> None:
    assert upcoming(schedule("14:30"), local("2026-01-05 14:30")) == [
        "2026-01-06 14:30 +0100",
        "2026-01-07 14:30 +0100",
        "2026-01-08 14:30 +0100",
    ]
    assert upcoming(schedule(every=15, starts_on=date(2026, 1, 3)), local("2026-01-20 00:00"), 2) == [
        "2026-02-02 01:00 +0100",
        "2026-02-17 01:00 +0100",
    ]
    assert upcoming(schedule(every=7, starts_on=date(2026, 6, 1)), local("2026-01-20 00:00"), 1) == [
        "2026-06-01 01:00 +0200"
    ]


def test_a_time_that_a_day_does_not_have_is_moved_to_the_next_minute_that_there_is() -> None:
    assert upcoming(schedule("02:30"), local("2026-03-28 00:00")) == [
        "2026-03-28 02:30 +0100",
        "2026-03-29 03:00 +0200",
        "2026-03-30 02:30 +0200",
    ]


def test_a_time_that_a_day_has_twice_is_due_once_the_first_time() -> None:
    assert upcoming(schedule("02:30"), local("2026-10-24 12:00"), 2) == [
        "2026-10-25 02:30 +0200",
        "2026-10-26 02:30 +0100",
    ]
    between = local("2026-10-25 02:45", fold=0)
    assert upcoming(schedule("02:30"), between, 1) == ["2026-10-26 02:30 +0100"]


def test_a_day_that_a_country_leaves_out_is_not_due_twice(settings: object) -> None:
    settings.TIME_ZONE = "Pacific/Apia"  # type: ignore[attr-defined]
    after = datetime(2011, 12, 29, 0, 0, tzinfo=ZoneInfo("Pacific/Apia"))  # 30 December 2011 did not happen there
    found = list(islice(recurrence.due_times(schedule("00:00", starts_on=date(2011, 1, 1)), after=after), 2))
    assert [at.astimezone(ZoneInfo("Pacific/Apia")).date() for at in found] == [date(2011, 12, 31), date(2012, 1, 1)]


def test_a_time_range_is_open_from_its_begin_to_before_its_end() -> None:
    night = schedule("22:00", "05:00")
    assert not recurrence.is_open(night, local("2026-01-05 21:59"))
    assert recurrence.is_open(night, local("2026-01-05 22:00"))
    assert recurrence.is_open(night, local("2026-01-06 04:59"))
    assert not recurrence.is_open(night, local("2026-01-06 05:00"))
    assert recurrence.is_open(schedule("22:00"), local("2026-01-06 05:00")), "without a range it always is"
    assert recurrence.next_opening(night, local("2026-01-06 05:00")) == local("2026-01-06 22:00")
    assert recurrence.next_opening(schedule("01:00", "05:00", every=7), local("2026-01-06 05:00")) == local(
        "2026-01-07 01:00"
    )


def test_a_run_may_be_started_late_until_its_range_or_its_day_is_over() -> None:
    assert recurrence.closes_at(schedule("22:00", "05:00"), local("2026-01-05 22:00")) == local("2026-01-06 05:00")
    assert recurrence.closes_at(schedule("14:00"), local("2026-01-05 14:00")) == local("2026-01-06 00:00")
    assert recurrence.closes_at(schedule("23:50"), local("2026-01-05 23:50")) == local("2026-01-06 00:50")


@given(
    at=st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    every=st.sampled_from([1, 7, 15, 30]),
    zone=st.sampled_from([BERLIN, "America/St_Johns", "Australia/Lord_Howe", "Africa/Casablanca", "UTC"]),
    after=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)),
)
def test_due_times_are_in_order_on_the_days_of_the_schedule_and_no_day_is_left_out(
    at: time, every: int, zone: str, after: datetime
) -> None:
    from django.test import override_settings

    with override_settings(TIME_ZONE=zone):
        start = after.replace(tzinfo=ZoneInfo(zone))
        of = schedule(every=every, starts_on=date(2019, 5, 5))
        of.at = at
        found = list(islice(recurrence.due_times(of, after=start), 4))
        assert all(one > start for one in found)
        days = [one.astimezone(ZoneInfo(zone)).date() for one in found]
        assert all(late - early == timedelta(days=every) for early, late in pairwise(days))
        assert (days[0] - of.starts_on).days % every == 0
        assert found[0] - start <= timedelta(days=every, hours=2)

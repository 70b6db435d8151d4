"""The nightly syncs: each registry once a night, spread, whatever the clocks, the workers and the machine do."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connection

from console import visibility
from console.jobs import tasks
from console.jobs.models import State
from console.jobs.ticks import JOB_TICKS
from registries.models import Registry, SyncRun
from registries.sync_requests import nightly
from tests import factories

pytestmark = pytest.mark.django_db

VIENNA = ZoneInfo("Europe/Vienna")


@pytest.fixture(autouse=True)
def _zone(settings: object) -> None:
    settings.TIME_ZONE = "Europe/Vienna"  # type: ignore[attr-defined]


def at(text: str) -> datetime:
    """A time of the clock in Vienna."""
    return datetime.fromisoformat(text).replace(tzinfo=VIENNA)


def run_until(start: datetime, end: datetime, *, step: timedelta = timedelta(minutes=1)) -> dict[int, list[datetime]]:
    """Tick from ``start`` to ``end``; return when each registry was asked to sync. Syncs end at once."""
    asked: dict[int, list[datetime]] = {}
    now = start.astimezone(UTC)
    while now < end.astimezone(UTC):
        nightly.enqueue_due_syncs(now=now)
        for run in SyncRun.objects.filter(state=State.QUEUED):
            asked.setdefault(run.registry_id, []).append(now)
        SyncRun.objects.update(state=State.SUCCEEDED)
        now += step
    return asked


def test_every_registry_syncs_once_in_the_window_and_not_all_at_once() -> None:
    registries = [factories.registry() for _ in range(12)]
    asked = run_until(at("2026-11-23T20:00"), at("2026-11-24T12:00"))
    assert {key: len(times) for key, times in asked.items()} == {registry.pk: 1 for registry in registries}
    times = sorted(time for (time,) in asked.values())
    assert at("2026-11-24T00:00") <= times[0]
    assert times[-1] < at("2026-11-24T03:00")
    gaps = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert min(gaps) >= timedelta(minutes=5)  # twelve in 180 minutes
    assert {run.trigger for run in SyncRun.objects.all()} == {"nightly"}
    assert {run.priority for run in SyncRun.objects.all()} == {30}


def test_the_time_of_a_registry_is_the_same_each_night() -> None:
    registry = factories.registry()
    nights = run_until(at("2026-11-23T20:00"), at("2026-11-26T12:00"), step=timedelta(minutes=5))[registry.pk]
    assert len(nights) == 3
    assert len({(night.hour, night.minute) for night in nights}) == 1


@pytest.mark.parametrize(
    ("evening", "noon", "hours"),
    [("2026-03-28T20:00", "2026-03-29T12:00", 2), ("2026-10-24T20:00", "2026-10-25T12:00", 4)],
)
def test_the_clocks_are_changed_in_the_window_and_each_still_syncs_once(evening: str, noon: str, hours: int) -> None:
    registries = [factories.registry() for _ in range(8)]
    asked = run_until(at(evening), at(noon))
    assert {key: len(times) for key, times in asked.items()} == {registry.pk: 1 for registry in registries}
    opens = at(noon.replace("12:00", "00:00")).astimezone(UTC)
    for (time,) in asked.values():
        assert opens <= time < opens + timedelta(hours=hours)
        assert time.astimezone(VIENNA).hour < 3


def test_a_console_that_was_down_catches_up_within_the_window() -> None:
    registries = [factories.registry() for _ in range(4)]
    asked = run_until(at("2026-11-24T02:58"), at("2026-11-24T12:00"))
    assert {key: len(times) for key, times in asked.items()} == {registry.pk: 1 for registry in registries}


def test_after_the_window_it_waits_for_the_next_night() -> None:
    registry = factories.registry()
    asked = run_until(at("2026-11-24T03:00"), at("2026-11-25T12:00"), step=timedelta(minutes=5))
    assert [time.astimezone(VIENNA).date() for time in asked[registry.pk]] == [date(2026, 11, 25)]


def test_a_registry_that_is_being_removed_is_left_alone() -> None:
    factories.registry(deleting_at=at("2026-11-23T20:00"))
    assert not run_until(at("2026-11-24T00:00"), at("2026-11-24T04:00"), step=timedelta(minutes=5))


def test_one_that_syncs_already_counts_as_synced() -> None:
    registry = factories.registry()
    SyncRun.objects.create(registry=registry)
    nightly.enqueue_due_syncs(now=at("2026-11-24T02:59"))
    assert SyncRun.objects.count() == 1
    registry.refresh_from_db()
    assert registry.nightly_on == date(2026, 11, 24)


def test_the_next_sync_is_told() -> None:
    registry = factories.registry()
    tonight, tomorrow = (nightly.sync_time(registry.pk, date(2026, 11, day)) for day in (24, 25))
    assert nightly.next_sync(registry, now=at("2026-11-23T20:00")) == tonight
    assert nightly.next_sync(registry, now=tonight + timedelta(seconds=1)) == tonight + timedelta(seconds=1)  # late
    registry.nightly_on = date(2026, 11, 24)
    assert nightly.next_sync(registry, now=tonight + timedelta(seconds=1)) == tomorrow
    registry.nightly_on = None
    assert nightly.next_sync(registry, now=at("2026-11-24T03:00")) == tomorrow


def test_neighbours_are_spread_over_the_window() -> None:
    for count in (3, 10, 100):
        places = sorted(nightly.offset_seconds(key) for key in range(1, count + 1))
        gaps = [later - sooner for sooner, later in itertools.pairwise(places)]
        assert max(gaps) <= 3 * nightly.WINDOW_SECONDS / count
        assert len(set(places)) == count


@pytest.mark.django_db(transaction=True)
def test_any_number_of_workers_may_tick_at_once() -> None:
    registries = [factories.registry() for _ in range(3)]
    now = at("2026-11-24T02:59")
    start = threading.Barrier(4)

    def tick() -> None:
        try:
            start.wait(10)
            for _ in range(3):
                nightly.enqueue_due_syncs(now=now)
        finally:
            connection.close()

    threads = [threading.Thread(target=visibility.carried(tick)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert SyncRun.objects.count() == len(registries)


def test_a_crash_between_claim_and_queue_loses_no_night(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = factories.registry()

    def explode(**options: object) -> None:
        raise OSError

    with monkeypatch.context() as broken:
        broken.setattr("registries.sync_requests.nightly.start_sync", explode)
        with pytest.raises(OSError):
            nightly.enqueue_due_syncs(now=at("2026-11-24T02:59"))
    registry.refresh_from_db()
    assert registry.nightly_on is None
    nightly.enqueue_due_syncs(now=at("2026-11-24T02:59"))
    assert SyncRun.objects.get().registry == registry


def test_the_tick_runs_it_and_goes_on_where_another_of_its_functions_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert nightly.enqueue_due_syncs in JOB_TICKS.values()
    done: list[int] = []

    def fail() -> None:
        raise OSError("the disk is gone")

    with JOB_TICKS.overridden({"one that fails": fail, "the next": lambda: done.append(1)}):
        tasks.tick()
    assert done == [1]
    assert "one that fails failed" in caplog.text


def test_a_registry_has_its_own_time_whatever_the_others_do() -> None:
    registry = factories.registry()
    before = nightly.next_sync(registry, now=at("2026-11-23T20:00"))
    for _ in range(5):
        factories.registry()
    Registry.objects.exclude(pk=registry.pk).first().delete()  # type: ignore[union-attr]
    assert nightly.next_sync(registry, now=at("2026-11-23T20:00")) == before

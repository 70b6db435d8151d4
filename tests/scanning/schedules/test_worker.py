"""A real worker with the real scheduler of django-q2: schedules fire once, and broken rows are mended."""

from __future__ import annotations

import pytest

from tests.console.jobs.conftest import RealWorker, real_worker, wait_for
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.scanning.execution.test_pipeline import DEBIAN
from tests.scanning.execution.test_worker_killed import SYNC

__all__ = ["real_worker"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCHEDULE = """
from datetime import date, timedelta
from django.utils import timezone
from scanning.schedules import scheduler as schedule
from scanning.models import ScanSchedule
at = timezone.now() + timedelta(seconds={seconds})
one = ScanSchedule(name="{name}", at=at.time(), starts_on=date(2026, 1, 1), scope="all", categories=["malware"])
schedule.save(one)
print(one.queue_row)
"""
TAMPER = """
from django.utils import timezone
from django_q.models import Schedule
Schedule.objects.filter(pk={broken}).update(args="(1,", func="no.such", repeats=0)
Schedule.objects.filter(func="scanning.tasks.fire").delete()
Schedule.objects.create(func="scanning.tasks.fire", args="(99,)", next_run=timezone.now())
"""
FIRINGS = "SELECT outcome, run_id FROM scanning_schedulerun"
ROWS = "SELECT id, func, args, next_run FROM django_q_schedule WHERE func = 'scanning.tasks.fire'"


def test_a_schedule_is_fired_once_by_django_q2_and_its_images_are_scanned(real_worker: RealWorker) -> None:
    with FakeRegistry() as fake:
        images.image(DEBIAN).put(fake, "team/app", "1.0")
        real_worker.shell(SYNC.format(url=fake.url))
        row = int(real_worker.shell(SCHEDULE.format(name="Now", seconds=1)))
        real_worker.start()
        wait_for(lambda: real_worker.rows(FIRINGS), what="the firing")
        over = "SELECT images, succeeded FROM scanning_scanrun WHERE finished_at IS NOT NULL"
        wait_for(lambda: real_worker.rows(over), what="the end of the run")
        assert real_worker.rows(over) == [(1, 1)]
        ((outcome, _run),) = real_worker.rows(FIRINGS)
        assert outcome == "started"
        assert "and did not run" not in real_worker.log(), "it was django-q2 that fired it"
        # The row stays and carries the next time, which is tomorrow.
        ((kept, _func, _args, next_run),) = real_worker.rows(ROWS)
        ((due,),) = real_worker.rows("SELECT next_due_at FROM scanning_scanschedule")
        assert (kept, next_run) == (row, due)
        assert real_worker.stop() == 0


def test_rows_that_somebody_has_deleted_or_broken_are_made_whole_and_schedules_fire(real_worker: RealWorker) -> None:
    real_worker.shell(SCHEDULE.format(name="Deleted", seconds=3600))
    broken = int(real_worker.shell(SCHEDULE.format(name="Broken", seconds=3600)))
    before = sorted(row[1:] for row in real_worker.rows(ROWS))
    real_worker.shell(TAMPER.format(broken=broken))
    real_worker.start()
    wait_for(lambda: sorted(row[1:] for row in real_worker.rows(ROWS)) == before, what="the mended rows")
    assert "and was repaired" in real_worker.log()
    assert real_worker.rows(FIRINGS) == []
    assert real_worker.stop() == 0

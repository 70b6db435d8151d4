"""``manage.py worker`` as a whole, with real clusters of django-q2: what is killed, and what becomes of the jobs."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from pathlib import Path

import pytest
from django.conf import settings

from tests.console.jobs.conftest import RealWorker, processes_of_folder, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_jobs_are_done_and_sigterm_ends_everything(real_worker: RealWorker) -> None:
    first, second = real_worker.add("finish", "finish")
    real_worker.start()
    real_worker.wait(first, "succeeded")
    real_worker.wait(second, "succeeded", attempt=1, losses=0)
    wait_for(lambda: real_worker.rows("SELECT 1 FROM console_healthprobe WHERE state = 'succeeded'"), what="a canary")
    assert real_worker.rows("SELECT name, minutes, func FROM django_q_schedule") == [
        ("tick", 1, "console.jobs.tasks.tick")
    ]
    assert real_worker.stop() == 0
    assert processes_of_folder(real_worker.folder) == {}
    assert list((real_worker.folder / "run").iterdir()) == []


def test_sigterm_returns_running_jobs_to_the_queue_and_ends_their_engines(real_worker: RealWorker) -> None:
    # As many as there are processes, of which one more than places; the last finds none that is free.
    engine, *waiters, last = real_worker.add("engine", *["wait"] * settings.SCAN_WORKERS, "finish")
    real_worker.start()
    real_worker.wait(engine, "running", stage="engine")
    for waiter in waiters:
        real_worker.wait(waiter, "running", stage="wait")
    wait_for(
        lambda: [line for line in processes_of_folder(real_worker.folder).values() if "86399" in line],
        what="the engine",
    )
    assert real_worker.stop() == 0
    assert processes_of_folder(real_worker.folder) == {}
    for job in (engine, *waiters):
        assert real_worker.job(job)["state"] == "queued"
        assert real_worker.job(job)["losses"] == 0
    assert real_worker.job(last)["state"] == "queued"
    assert list((real_worker.folder / "scratch").iterdir()) == []


def test_a_worker_lets_go_of_its_jobs_and_ends_when_the_database_is_upgraded(real_worker: RealWorker) -> None:
    (job,) = real_worker.add("engine")
    real_worker.start()
    real_worker.wait(job, "running", stage="engine")
    with contextlib.closing(sqlite3.connect(real_worker.folder / "tallyman.sqlite3", timeout=20)) as database:
        newer = (
            "INSERT INTO django_migrations (app, name, applied) VALUES ('scanning', '0002_of_tomorrow', '2027-01-01')"
        )
        database.execute(newer)
        database.commit()
    assert real_worker.process is not None
    assert real_worker.process.wait(60) == 1
    assert processes_of_folder(real_worker.folder) == {}
    assert (real_worker.job(job)["state"], real_worker.job(job)["losses"]) == ("queued", 0)
    assert "newer version of Tallyman (scanning.0002_of_tomorrow)" in real_worker.log()
    real_worker.start()
    assert real_worker.process.wait(60) == 1, "it does not begin either"
    assert real_worker.job(job)["attempt"] == 1


def test_a_worker_killed_in_the_middle_costs_one_attempt_and_leaves_no_engine(real_worker: RealWorker) -> None:
    job, once = real_worker.add("engine", "die once")
    real_worker.start()
    real_worker.wait(once, "succeeded", attempt=2, losses=1)
    running = real_worker.wait(job, "running", stage="engine")
    engines = wait_for(lambda: [p for p, line in processes_of_folder(real_worker.folder).items() if "86399" in line])
    os.kill(int(running["worker"].rpartition(":")[2]), signal.SIGKILL)
    wait_for(lambda: not set(engines) & set(processes_of_folder(real_worker.folder)), what="the end of the engine")
    real_worker.wait(job, "running", attempt=2, losses=1)
    wait_for(lambda: len(list((real_worker.folder / "scratch").iterdir())) == 1, what="an empty scratch folder")
    real_worker.shell(f"request_cancel(Job.objects.get(pk={job}))")
    real_worker.wait(job, "cancelled")


def test_a_job_that_kills_its_worker_fails_at_the_second_loss(real_worker: RealWorker) -> None:
    deadly, harmless = real_worker.add("die", "finish")
    real_worker.start()
    lost = real_worker.wait(deadly, "failed", attempt=2, losses=2)
    assert "lost 2 times" in lost["reason"]
    assert "memory" in lost["remedy"]
    real_worker.wait(harmless, "succeeded")


def test_killing_the_worker_outright_leaves_no_process_and_loses_no_job(real_worker: RealWorker) -> None:
    jobs = real_worker.add("engine", *["finish"] * 20)
    real_worker.start()
    real_worker.wait(jobs[0], "running", stage="engine")
    assert real_worker.stop(signal.SIGKILL) == -signal.SIGKILL
    wait_for(lambda: not processes_of_folder(real_worker.folder), what="the end of all processes")
    real_worker.start()
    for job in jobs[1:]:
        real_worker.wait(job, "succeeded")
    real_worker.wait(jobs[0], "running", attempt=2, losses=1)
    assert len(list((real_worker.folder / "run").iterdir())) == 1, "the folder of the dead worker is gone"


def test_sigterm_to_every_process_at_once_costs_an_attempt_and_no_more(real_worker: RealWorker) -> None:
    (job,) = real_worker.add("engine")  # as systemd does it without KillMode=mixed
    real_worker.start()
    real_worker.wait(job, "running", stage="engine")
    for pid in sorted(processes_of_folder(real_worker.folder)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    assert real_worker.process is not None
    assert real_worker.process.wait(timeout=45) == 0
    assert processes_of_folder(real_worker.folder) == {}
    real_worker.start()
    real_worker.wait(job, "running", stage="engine", attempt=2)


def test_cancelling_ends_a_running_engine(real_worker: RealWorker) -> None:
    (job,) = real_worker.add("engine")
    real_worker.start()
    real_worker.wait(job, "running", stage="engine")
    real_worker.shell(f"request_cancel(Job.objects.get(pk={job}))")
    real_worker.wait(job, "cancelled", attempt=1)
    wait_for(lambda: not [line for line in processes_of_folder(real_worker.folder).values() if "86399" in line])


def test_a_cluster_that_no_longer_takes_work_is_started_anew(real_worker: RealWorker) -> None:
    real_worker.start()
    wait_for(lambda: real_worker.rows("SELECT 1 FROM console_scanhealthprobe WHERE state = 'succeeded'"))
    before = real_worker.pids("scan")
    for pid in before[1:]:
        os.kill(pid, signal.SIGSTOP)  # stands for workers that wait for a lock which a killed one holds
    (job,) = real_worker.add("finish")
    real_worker.wait(job, "succeeded")
    assert "cluster scan has completed no health probe" in real_worker.log()
    assert not set(before) & set(processes_of_folder(real_worker.folder))


def test_killing_idle_workers_never_stops_the_work_for_good(real_worker: RealWorker) -> None:
    real_worker.start()
    wait_for(lambda: real_worker.rows("SELECT 1 FROM console_scanhealthprobe WHERE state = 'succeeded'"))
    for pid in real_worker.pids("scan")[2:4]:  # the pool; the first in line holds the read lock of the queue
        os.kill(pid, signal.SIGKILL)
    (job,) = real_worker.add("finish")
    real_worker.wait(job, "succeeded")


def test_a_reaper_that_is_killed_is_started_again(real_worker: RealWorker) -> None:
    real_worker.start()
    (killed,) = wait_for(lambda: real_worker.pids("reaper"), what="the reaper")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: set(real_worker.pids("reaper")) - {killed}, what="another reaper")
    assert "The reaper has ended with code -9" in real_worker.log()


def test_a_worker_whose_cluster_never_lives_gives_up_with_an_error(real_worker: RealWorker, tmp_path: Path) -> None:
    real_worker.environment["TALLYMAN_TEST_BROKEN_CLUSTER"] = "1"
    real_worker.start()
    assert real_worker.process is not None
    assert real_worker.process.wait(timeout=90) == 1
    assert "does not start" in real_worker.log()

"""The worker with PostgreSQL and with Redis, and what happens when these die."""

from __future__ import annotations

import signal

import pytest
import redis

from tests.console.jobs.conftest import RealWorker, RestartableServer, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_a_result_survives_a_restart_of_postgresql(real_worker: RealWorker, postgres_server: RestartableServer) -> None:
    real_worker.environment["TALLYMAN_TEST_LEASE"] = "30"
    (job,) = real_worker.add("gate")
    real_worker.start()
    real_worker.wait(job, "running", stage="gate")
    postgres_server.stop(signal.SIGQUIT)  # an immediate shutdown
    (real_worker.folder / "gate").touch()
    wait_for(lambda: "writing its result is tried again" in real_worker.log(), what="a result that waits")
    postgres_server.start()
    real_worker.wait(job, "succeeded", attempt=1, losses=0)
    (later,) = real_worker.add("finish")
    real_worker.wait(later, "succeeded")


def test_a_lost_worker_is_noticed_with_postgresql_too(
    real_worker: RealWorker, postgres_server: RestartableServer
) -> None:
    (job,) = real_worker.add("die once")
    real_worker.start()
    real_worker.wait(job, "succeeded", attempt=2, losses=1)


def test_jobs_whose_hints_redis_has_forgotten_are_done_all_the_same(
    real_worker: RealWorker, redis_server: RestartableServer
) -> None:
    jobs = real_worker.add(*["finish"] * 6)
    redis.from_url(redis_server.url).flushall()
    real_worker.start()
    for job in jobs:
        real_worker.wait(job, "succeeded", attempt=1)
    assert real_worker.rows("SELECT COUNT(*) FROM django_q_ormq") == [(0,)], "hints did not go through Redis"


def test_a_restart_of_redis_delays_jobs_and_loses_none(
    real_worker: RealWorker, redis_server: RestartableServer
) -> None:
    real_worker.start()
    wait_for(lambda: real_worker.rows("SELECT 1 FROM console_scanhealthprobe WHERE state = 'succeeded'"))
    redis_server.stop(signal.SIGKILL)
    jobs = real_worker.add("finish", "die once")
    redis_server.start()
    for job in jobs:
        real_worker.wait(job, "succeeded")

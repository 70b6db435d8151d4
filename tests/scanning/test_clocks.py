"""Workers whose clocks are hours apart from the database's, while that crosses a change of clocks."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.console.jobs.conftest import RealWorker, RestartableServer, postgres_server, real_worker, wait_for

__all__ = ["postgres_server", "real_worker"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AHEAD = 20  # seconds of the database's clock before the schedule is due: the workers are up by then
BERLIN = "Europe/Berlin"
AT, DUE = "02:30", datetime(2027, 3, 28, 1, 0, tzinfo=UTC)  # that day has no 02:30; 03:00 in summer is the next minute
SCHEDULE = """
from datetime import date, time
from django.utils import timezone
from console.machines import keys
from scanning.schedules import scheduler as schedule
from scanning.models import ScanSchedule
from console.db.clock import to_database_time as by_database, database_now
assert abs((database_now() - timezone.now()).total_seconds()) > 3600, "its clock is not another one"
assert abs((database_now() - by_database(timezone.now())).total_seconds()) < 10
one = ScanSchedule(name="Nightly", at=time.fromisoformat("{at}"), starts_on=date(2026, 1, 1), scope="all")
one.categories = ["malware"]
schedule.save(one)
enqueue(Job.objects.create(source="wait"))
keys.check_values()  # makes them
assert one.next_due_at.isoformat()[:19] == "{due}", one.next_due_at
"""
# The library refuses clock_nanosleep(), by which Python sleeps; select() waits as long.
SLEEP = "import select, time\ntime.sleep = lambda seconds: select.select([], [], [], seconds) and None\n"


def faked(offset: float) -> dict[str, str]:
    """Return what gives a process a clock that is ``offset`` seconds ahead; how long things take stays as it is."""
    libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not libraries:
        pytest.skip("libfaketime is not installed")
    flags = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}
    return {"LD_PRELOAD": str(libraries[0]), "FAKETIME": f"{offset:+.0f}", **flags}


@pytest.fixture
def _clean() -> Iterator[None]:
    """What processes that are killed leave of the library goes."""
    yield
    for path in Path("/dev/shm").glob("*faketime*"):
        if not Path(f"/proc/{path.name.rpartition('_')[2]}").exists():
            path.unlink(missing_ok=True)


@pytest.mark.usefixtures("_clean")
def test_due_times_run_once_and_leases_hold_whatever_the_clocks_of_the_workers_show(
    postgres_server: RestartableServer, real_worker: RealWorker, tmp_path: Path
) -> None:
    shift = DUE.timestamp() - time.time() - AHEAD
    postgres_server.stop(signal.SIGINT)
    postgres_server.start("env", *(f"{name}={value}" for name, value in faked(shift).items()))
    (tmp_path / "sitecustomize.py").write_text(SLEEP)
    workers = []
    for name, hours in (("early", 2), ("late", -2)):
        folder = tmp_path / name
        folder.mkdir()
        own = {"TALLYMAN_DATA": str(folder), "TALLYMAN_TIME_ZONE": BERLIN, "PYTHONPATH": str(tmp_path)}
        workers.append(RealWorker(folder, real_worker.environment | own | faked(shift + hours * 3600)))
    early, late = workers
    early.shell(SCHEDULE.format(at=AT, due=DUE.isoformat()[:19]))
    shutil.copytree(early.folder / "keys", late.folder / "keys")  # as an operator does
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.wait_until_up()
        early.wait(1, "running")
        firings = "SELECT due_at, outcome FROM scanning_schedulerun"
        wait_for(lambda: early.rows(firings), what="the firing")
        time.sleep(5)  # longer than a lease, many ticks of both
        assert early.rows(firings) == [(DUE, "started")]
        ((queued,),) = early.rows("SELECT queued_at FROM scanning_scanrun")
        assert DUE <= queued < DUE + timedelta(hours=1), "by the clock of the database"
        assert early.rows("SELECT state, attempt, losses FROM scanning_vulndbupdate") == [("running", 1, 0)]
    finally:
        for worker in workers:
            assert worker.process is not None
            worker.process.terminate()
        codes = [worker.process.wait(60) for worker in workers if worker.process]
    assert codes == [0, 0]
    assert early.job(1)["state"] == "queued", "who holds a job lets go of it at the end"

"""A real ``manage.py worker`` with a data folder of its own."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


def eventually(condition: Callable[[], Any], *, seconds: float = 60, what: str = "it") -> Any:
    """Return the first true value of ``condition()``; fail after ``seconds``, which is a bound and no measure."""
    ends = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > ends:
            pytest.fail(f"{what} did not come about")
        time.sleep(0.1)
    return value


def tree(folder: Path) -> dict[int, str]:
    """Return the processes (pid → command line) that know ``folder`` as their data folder or work below it."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if str(folder).encode() in environment and state != "Z":
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
    return found


class RealWorker:
    """Starts ``manage.py worker`` and looks at its database from outside, with no Django in between."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def manage(self, *words: str, text: str | None = None) -> str:
        """Run one management command to its end."""
        command = [sys.executable, str(ROOT / "manage.py"), *words]
        done = subprocess.run(
            command, env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=100, input=text
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def shell(self, script: str) -> str:
        """Run Python with Django and all models."""
        preamble = (
            "from console.jobs.queue import enqueue, request_cancel, hint\n"
            "from console.jobs.models import State\n"
            "from scanning.models import DatabaseUpdate as Job\n"
            "from console.models import Canary, ScanCanary, JobEvent\n"
        )
        lines = self.manage("shell", "--no-imports", "--command", preamble + script).splitlines()
        return "\n".join(line for line in lines if "objects imported" not in line)

    def add(self, *orders: str) -> list[int]:
        """Enqueue a steered job for each order; return their ids."""
        script = f"for o in {list(orders)!r}:\n job = Job.objects.create(source=o); enqueue(job); print(job.pk)"
        return [int(line) for line in self.shell(script).split()]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the SQLite database."""
        connection = sqlite3.connect(f"file:{self.folder / 'tallyman.sqlite3'}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def job(self, job_id: int) -> dict[str, Any]:
        """Return the columns of one steered job that tests look at."""
        columns = ["state", "attempt", "losses", "worker", "stage", "reason", "remedy"]
        row = self.rows(f"SELECT {', '.join(columns)} FROM scanning_databaseupdate WHERE id = {job_id}")[0]
        return dict(zip(columns, row, strict=True))

    def wait(self, job_id: int, state: str, **more: Any) -> dict[str, Any]:
        """Wait until the job stands at ``state`` and return it."""

        def there() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] == state and more.items() <= job.items() else None

        found: dict[str, Any] = eventually(
            there, what=f"job {job_id} at {state} {more or ''}, it is {self.job(job_id)}"
        )
        return found

    def start(self) -> None:
        """Start the worker; what it says goes to worker.log."""
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "worker"],
                env=self.environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        """Return what the worker has said."""
        return (self.folder / "worker.log").read_text(errors="replace")

    def pids(self, cluster: str) -> list[int]:
        """Return the processes of one cluster, its main process first."""
        mark = f"Q_CLUSTER_NAME={cluster}".encode()
        return sorted(
            pid
            for pid, line in tree(self.folder).items()
            if " cluster " in line and mark in Path(f"/proc/{pid}/environ").read_bytes()
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the worker a signal and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


@pytest.fixture
def real_worker(tmp_path: Path) -> Iterator[RealWorker]:
    """A worker that is not started yet, on a migrated SQLite database. Fails where it leaves a process behind."""
    environment = os.environ | {
        "TALLYMAN_DATA": str(tmp_path),
        "DJANGO_SETTINGS_MODULE": "tests.console.jobs.cluster_settings",
        "DATABASE_URL": "",
        "REDIS_URL": "",
    }
    worker = RealWorker(tmp_path, environment)
    worker.manage("migrate", "--verbosity", "0")
    try:
        yield worker
    finally:
        if worker.process is not None and worker.process.poll() is None:
            worker.stop()
        left = tree(tmp_path)
        ends = time.monotonic() + 10
        while left and time.monotonic() < ends:
            time.sleep(0.1)
            left = tree(tmp_path)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left

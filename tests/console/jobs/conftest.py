"""A real ``manage.py worker`` with a data folder of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from console.processes.file_lock import lock
from tests.console.jobs.django_shell import DjangoShell

ROOT = Path(__file__).resolve().parents[3]
DATABASE = "tallyman.sqlite3"
WORKER_ENVIRONMENT = {
    "DJANGO_SETTINGS_MODULE": "tests.console.jobs.cluster_settings",
    "REDIS_URL": "",
    "TALLYMAN_SCANS_PER_WORKER": "1",
}
POSTGRES_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))


def wait_for(condition: Callable[[], Any], *, seconds: float = 100, what: str = "it") -> Any:
    """Return the first true value of ``condition()``; fail after ``seconds``, which is a bound and no measure."""
    ends = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > ends:
            pytest.fail(f"{what} did not come about")
        time.sleep(0.1)
    return value


def processes_of_folder(folder: Path) -> dict[int, str]:
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


def process_name(pid: int) -> str:
    """Return what ps calls the process; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


class RealWorker:
    """Starts ``manage.py worker`` and looks at its database from outside, with no Django in between."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self.root = ROOT
        self.process: subprocess.Popen[bytes] | None = None
        self._shell = DjangoShell()

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
            "from console.jobs.broker import enqueue, request_cancel, hint\n"
            "from console.jobs.models import State\n"
            "from scanning.models import VulndbUpdate as Job\n"
            "from console.models import HealthProbe as Canary, ScanHealthProbe as ScanCanary, JobEvent\n"
        )
        return self._shell.run(preamble + script, self.environment, checkout=self.root).rstrip("\n")

    def close_shell(self) -> None:
        """End the process that runs the scripts."""
        self._shell.close()

    def add(self, *orders: str) -> list[int]:
        """Enqueue a steered job for each order; return their ids."""
        script = f"for o in {list(orders)!r}:\n job = Job.objects.create(source=o); enqueue(job); print(job.pk)"
        return [int(line) for line in self.shell(script).split()]

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the database."""
        if url := self.environment["DATABASE_URL"]:
            with psycopg.connect(url) as postgres:
                return postgres.execute(sql.encode()).fetchall()
        connection = sqlite3.connect(f"file:{self.folder / DATABASE}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def job(self, job_id: int) -> dict[str, Any]:
        """Return the columns of one steered job that tests look at."""
        columns = ["state", "attempt", "losses", "worker", "stage", "reason", "remedy"]
        row = self.rows(f"SELECT {', '.join(columns)} FROM scanning_vulndbupdate WHERE id = {job_id}")[0]
        return dict(zip(columns, row, strict=True))

    def wait(self, job_id: int, state: str, **more: Any) -> dict[str, Any]:
        """Wait until the job stands at ``state`` and return it."""

        def there() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if job["state"] == state and more.items() <= job.items() else None

        found: dict[str, Any] = wait_for(there, what=f"job {job_id} at {state} {more or ''}, it is {self.job(job_id)}")
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

    def wait_until_up(self) -> None:
        """Wait until the worker has started its clusters; fail with what it has said where it ends."""

        def is_up() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            return "The worker has started" in self.log()

        wait_for(is_up, what="the worker")

    def log(self) -> str:
        """Return what the worker has said."""
        return (self.folder / "worker.log").read_text(errors="replace")

    def pids(self, cluster: str) -> list[int]:
        """Return the processes of one cluster, its main process first."""
        return sorted(pid for pid in processes_of_folder(self.folder) if process_name(pid) == f"tallyman-{cluster}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the worker a signal and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)


class RestartableServer:
    """A database or broker that tests may kill and start again."""

    def __init__(self, command: list[str], url: str, answers: Callable[[], bool], account: Sequence[str] = ()) -> None:
        self.url = url
        self._command, self._answers, self._account = command, answers, account
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *prefix: str) -> None:
        """Start it, by the command ``prefix`` where there is one, and wait until it answers."""
        command = [*self._account, *prefix, *self._command]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self._answers, what=self._command[0])

    def stop(self, number: int) -> None:
        """End it by a signal."""
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(timeout=30)


@pytest.fixture
def redis_server() -> Iterator[RestartableServer]:
    """An own Redis on a socket file."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    with run_redis() as server:
        yield server


@contextlib.contextmanager
def run_redis() -> Iterator[RestartableServer]:
    """Run a Redis on a socket file. It keeps nothing on disk."""
    program = shutil.which("redis-server") or "redis-server"
    with tempfile.TemporaryDirectory(prefix="tallyman-redis-") as folder:
        socket = f"{folder}/redis.sock"
        command = [program, "--port", "0", "--unixsocket", socket, "--save", "", "--dir", folder]

        def answers() -> bool:
            try:
                return bool(redis.Redis(unix_socket_path=socket).ping())
            except redis.ConnectionError:
                return False

        server = RestartableServer(command, f"unix://{socket}", answers)
        server.start()
        yield server
        server.stop(signal.SIGKILL)


@pytest.fixture
def postgres_server() -> Iterator[RestartableServer]:
    """An own PostgreSQL on a socket file, with a migrated database."""
    if not POSTGRES_PROGRAMS:
        pytest.skip("PostgreSQL is not installed")
    with run_postgres(migrated=True) as server:
        yield server


@contextlib.contextmanager
def run_postgres(*, migrated: bool = False) -> Iterator[RestartableServer]:
    """Run a PostgreSQL on a socket file, with an empty database, or with one that ``manage.py migrate`` has made."""
    # It refuses to run as root.
    account = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="tallyman-pg-") as folder:
        data = Path(folder) / "data"
        if migrated:
            shutil.copytree(_made_once("migrated-postgresql", _make_migrated_data), data)
        else:
            initdb = [str(POSTGRES_PROGRAMS[-1].with_name("initdb")), "-U", "tallyman", "-A", "trust", "--no-sync"]
            if account:
                shutil.chown(folder, "nobody", "nogroup")
            subprocess.run([*account, *initdb, "-D", str(data)], check=True, capture_output=True, cwd=folder)
        if account:
            subprocess.run(["chown", "-R", "nobody:nogroup", folder], check=True)
        url = f"postgresql://tallyman@/postgres?host={folder}"
        options = ["-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"]  # it may be killed, the machine not
        command = [str(POSTGRES_PROGRAMS[-1]), "-D", str(data), *options]

        def answers() -> bool:
            try:
                psycopg.connect(url).close()
            except psycopg.OperationalError:
                return False
            return True

        server = RestartableServer(command, url, answers, account)
        server.start()
        try:
            yield server
        finally:
            server.stop(signal.SIGQUIT)


def _made_once(name: str, make: Callable[[Path], None]) -> Path:
    """Return the file or folder ``name``, which the first of all processes of the run makes."""
    made = Path(os.environ["TALLYMAN_TEST_DATA"]) / name
    with lock(made.with_suffix(".lock")):
        if not made.exists():
            with tempfile.TemporaryDirectory(dir=made.parent) as folder:
                make(Path(folder) / name)
                (Path(folder) / name).rename(made)
    return made


def _make_migrated_data(data: Path) -> None:
    with run_postgres() as server, tempfile.TemporaryDirectory() as folder:
        _migrate(Path(folder), server.url)
        server.stop(signal.SIGINT)  # a clean shutdown
        shutil.copytree(Path(server.url.rpartition("=")[2]) / "data", data)


def _make_migrated_sqlite(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        _migrate(Path(folder), "")
        with (
            contextlib.closing(sqlite3.connect(Path(folder) / DATABASE)) as source,
            contextlib.closing(sqlite3.connect(file)) as target,
        ):
            source.backup(target)


def _migrate(folder: Path, url: str) -> None:
    environment = os.environ | {"TALLYMAN_TEST_CHILD": "1", "TALLYMAN_DATA": str(folder), "DATABASE_URL": url}
    RealWorker(folder, environment | WORKER_ENVIRONMENT).manage("migrate", "--verbosity", "0")


@pytest.fixture
def real_worker(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RealWorker]:
    """A worker that is not started yet, on a migrated database. Fails where it leaves a process behind.

    SQLite and the ORM broker, unless the test asks for one of the servers too; one scan at a time in each process.
    """
    environment = os.environ | {
        "TALLYMAN_TEST_CHILD": "1",
        "TALLYMAN_DATA": str(tmp_path),
        "DATABASE_URL": "",
        **WORKER_ENVIRONMENT,
    }
    for fixture, variable in (("postgres_server", "DATABASE_URL"), ("redis_server", "REDIS_URL")):
        if fixture in request.fixturenames:
            environment[variable] = request.getfixturevalue(fixture).url
    worker = RealWorker(tmp_path, environment)
    if not environment["DATABASE_URL"]:
        shutil.copy(_made_once("migrated.sqlite3", _make_migrated_sqlite), tmp_path / DATABASE)
    try:
        yield worker
    finally:
        worker.close_shell()
        if worker.process is not None and worker.process.poll() is None:
            worker.stop()
        left = processes_of_folder(tmp_path)
        ends = time.monotonic() + 10
        while left and time.monotonic() < ends:
            time.sleep(0.1)
            left = processes_of_folder(tmp_path)
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        assert not left

"""What becomes of queued scans while parts of a console go away: the database is away or locked, processes are killed.

    python -m tests.benchmarks.outages [--scans 50] [--rounds 32] [--seed 1]

``manage.py serve`` with a PostgreSQL and a Redis of its own, and a registry on loopback. First the database is shut
down at once and is away for 14 s in the middle of ``--scans`` scans, then its tables are locked for 40 s in the middle
of as many others. Then ``--rounds`` rounds: some scans are queued, and at a seeded moment one process is killed by
SIGKILL: the worker, a cluster, one of its processes, the web server, Trivy, PostgreSQL or Redis, in turn. Whatever ends
is started again. Leases are shortened as in the tests. Prints how the scans ended.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg

from demo.registry_server import RegistryServer
from tests.benchmarks.console import ROOT, Console, descendants, is_of_cluster
from tests.console.jobs.conftest import RestartableServer, process_name, run_postgres, run_redis
from tests.fakes import images

TIMEOUT_SECONDS = 240.0
AWAY_SECONDS = 14.0
LOCK_SECONDS = 40.0
ROUND_SCANS = 8
TRIVY_WAIT_SECONDS = 3.0  # for a run of it, which lasts a moment
PARTS = ("worker", "cluster", "process", "web", "trivy", "postgresql", "redis")


class Serve:
    """``manage.py serve`` that is started again when it has ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.starts = 0
        self.start()

    def start(self) -> None:
        self.starts += 1
        with (self._folder / "serve.log").open("ab") as log:
            command = [sys.executable, str(ROOT / "manage.py"), "serve"]
            self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def ensure(self) -> None:
        if self.process.poll() is not None:
            self.start()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=90)

    def pids(self, is_wanted: Callable[[int], bool]) -> list[int]:
        """Return those of its processes that ``is_wanted``."""
        found = []
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                if is_wanted(pid):
                    found.append(pid)
        return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scans", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tallyman-outages-") as name,
        RegistryServer() as registry,
        run_postgres() as postgres,
        run_redis() as broker,
    ):
        Console(
            Path(name),
            DJANGO_SETTINGS_MODULE="tests.console.jobs.cluster_settings",
            TALLYMAN_TEST_CHILD="1",
            TALLYMAN_SCAN_WORKERS="2",
            TALLYMAN_LISTEN=f"unix:{name}/web.sock",
            DATABASE_URL=postgres.url,
            REDIS_URL=broker.url,
        )
        _prepare(registry)
        serve = Serve(Path(name))
        try:
            _Outages(registry, postgres, broker, serve, options.seed).run(options.scans, options.rounds)
        finally:
            serve.stop()


def _prepare(registry: RegistryServer) -> None:
    from demo.vulndb import install_demo_vulndb
    from registries.models import Registry

    install_demo_vulndb()
    Registry.objects.create(name="outages", address=registry.url)


class _Outages:
    def __init__(
        self, registry: RegistryServer, postgres: RestartableServer, broker: RestartableServer, serve: Serve, seed: int
    ) -> None:
        self.registry, self.postgres, self.broker, self.serve = registry, postgres, broker, serve
        self.random = random.Random(seed)
        self.base = images.layer({"etc/os-release": b"ID=debian\nVERSION_ID=12\n", "blob": os.urandom(2_000_000)})
        self.made = 0

    def run(self, scans: int, rounds: int) -> None:
        self._report("the database is away for 14 s", self._queue(scans), self._restart_postgres)
        self._report("its tables are locked for 40 s", self._queue(scans), self._lock)
        total: Counter[str] = Counter()
        for number in range(rounds):
            part = PARTS[number % len(PARTS)]
            moment = self.random.uniform(0.2, 2.5)
            ids = self._queue(ROUND_SCANS)
            time.sleep(moment)
            killed = self._kill(part)
            ended = self._wait(ids)
            total += ended
            what = f"{part} {'killed' if killed else 'was not there'} after {moment:.1f} s"
            print(f"round {number + 1}: {what}: {dict(ended)}", flush=True)
        if rounds:
            print(f"{rounds} rounds: {dict(total)}; the console was started {self.serve.starts} times")

    def _queue(self, count: int) -> list[int]:
        """Push ``count`` new images, list and queue them; return the ids of their scans."""
        from inventory import tasks
        from inventory.models import Tag
        from registries.models import Registry
        from registries.sync_requests.start import start_sync
        from scanning.models import Scan
        from scanning.runs.start import scan_now

        names = []
        for _image in range(count):
            self.made += 1
            names.append(str(self.made))
            own = {"number": b"%d" % self.made, "own": os.urandom(300_000)}
            images.image(self.base, own).put(self.registry, "team/app", names[-1])
        (run,) = start_sync(registries=[Registry.objects.get()]).runs
        ends = time.monotonic() + TIMEOUT_SECONDS
        tasks.sync(run.pk)
        while Tag.objects.filter(name__in=names).count() < count and time.monotonic() < ends:
            time.sleep(0.2)  # the worker may have been faster
        scan_now(tag_ids=Tag.objects.filter(name__in=names), requested_by=None)
        while (found := Scan.objects.filter(tag__name__in=names)).count() < count and time.monotonic() < ends:
            time.sleep(0.2)
        return list(found.values_list("pk", flat=True))

    def _report(self, title: str, ids: list[int], outage: Callable[[], None]) -> None:
        time.sleep(1.5)
        began = time.monotonic()
        outage()
        ended = self._wait(ids)
        print(f"{len(ids)} scans while {title}: {dict(ended)}, {time.monotonic() - began:.0f} s")

    def _wait(self, ids: list[int]) -> Counter[str]:
        """Wait until all have ended; return how. What failed is named by its reason."""
        from django.db import OperationalError, connection

        from console.jobs.models import State
        from scanning.models import Scan

        ends = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < ends:
            self.serve.ensure()
            with contextlib.suppress(OperationalError):
                rows = Scan.objects.filter(pk__in=ids)
                if not rows.exclude(state__in=State.final()).exists():
                    return Counter(
                        row.state if row.state != State.FAILED else f"failed: {row.reason[:60]}" for row in rows
                    )
            connection.close()
            time.sleep(0.5)
        return Counter(Scan.objects.filter(pk__in=ids).values_list("state", flat=True))

    def _restart_postgres(self) -> None:
        self.postgres.stop(signal.SIGQUIT)
        time.sleep(AWAY_SECONDS)
        self.postgres.start()

    def _lock(self) -> None:
        with psycopg.connect(self.postgres.url) as other:
            other.execute("LOCK TABLE scanning_scan, inventory_image, scanning_categoryresult IN ACCESS EXCLUSIVE MODE")
            time.sleep(LOCK_SECONDS)

    def _kill(self, part: str) -> bool:
        """Kill one process of this part; start again what nothing else starts. Return whether there was one."""
        if part == "postgresql":
            self.postgres.stop(signal.SIGKILL)
            time.sleep(1)
            self.postgres.start()
            return True
        if part == "redis":
            self.broker.stop(signal.SIGKILL)
            time.sleep(1)
            self.broker.start()
            return True
        pids = self._pids(part)
        ends = time.monotonic() + TRIVY_WAIT_SECONDS
        while part == "trivy" and not pids and time.monotonic() < ends:
            pids = self._pids(part)
        if part == "process":
            pids = [pid for pid in pids if len(descendants(pid)) == 0] or pids
        if not pids:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pids[0] if part in ("worker", "cluster") else self.random.choice(pids), signal.SIGKILL)
        return True

    def _pids(self, part: str) -> list[int]:
        clusters = self.serve.pids(is_of_cluster)
        if part in ("cluster", "process"):
            return clusters
        word = {"worker": "tallyman-worker", "web": "tallyman-web", "trivy": "trivy"}[part]
        return self.serve.pids(lambda pid: process_name(pid).startswith(word))


if __name__ == "__main__":
    main()

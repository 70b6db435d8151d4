"""What a console that nobody uses takes: memory, processor, and transactions of its database.

    python -m tests.benchmarks.idle [--seconds 60] [--redis] [--machines 1]

``manage.py serve`` with a PostgreSQL of its own, and with a Redis where asked; each machine beyond the first is a
``manage.py worker``. Nothing is synced, scanned or opened. Memory is the proportional set size: a page that several
processes share counts once.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import psycopg

from tests.benchmarks.console import ROOT, descendants, processor
from tests.console.jobs.conftest import run_postgres, run_redis

START_SECONDS = 45.0  # until the first rounds of everything are over
GOAL_MIB = 300
GOAL_TRANSACTIONS = {True: 2, False: 5}  # a second and machine, with Redis and without


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--redis", action="store_true")
    parser.add_argument("--machines", type=int, default=1)
    options = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tallyman-idle-")))
        postgres = stack.enter_context(run_postgres(migrated=False))
        os.environ |= {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": stack.enter_context(run_redis()).url if options.redis else "",
            "TALLYMAN_TRIVY_DATABASE_AT": "off",
            "TALLYMAN_LOG_LEVEL": "WARNING",
            "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        started = [_start(folder / "1", "serve", "--listen", f"127.0.0.1:{_free_port()}")]
        stack.callback(_stop, started)
        time.sleep(START_SECONDS)
        for number in range(2, options.machines + 1):
            shutil.copytree(folder / "1" / "keys", folder / str(number) / "keys")
            started.append(_start(folder / str(number), "worker"))
        if options.machines > 1:
            time.sleep(START_SECONDS)
        before, used = _transactions(postgres.url), [processor(process.pid) for process in started]
        time.sleep(options.seconds)
        after = _transactions(postgres.url)
        print(f"transactions a second {(after - before) / options.seconds:6.1f} of {options.machines} machines", end="")
        print(f" (goal {GOAL_TRANSACTIONS[options.redis]} each)")
        for process, at_first in zip(started, used, strict=True):
            pids = [process.pid, *descendants(process.pid)]
            memory = sum(map(_proportional_mib, pids))
            share = (processor(process.pid) - at_first) / options.seconds
            print(f"{process.args[2]:<7} {len(pids):3} processes {memory:5.0f} MiB (goal {GOAL_MIB})", end="")
            print(f"  {100 * share:4.1f} % of a processor")


def _start(folder: Path, *command: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), *command],
            cwd=ROOT,
            env=os.environ | {"TALLYMAN_DATA": str(folder)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _stop(started: list[subprocess.Popen[bytes]]) -> None:
    for process in started:
        process.terminate()
    for process in started:
        process.wait(timeout=90)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _transactions(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT sum(xact_commit + xact_rollback) FROM pg_stat_database").fetchone()
    assert row is not None
    return int(row[0])


def _proportional_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    main()

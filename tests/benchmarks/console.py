"""A console of a benchmark's own: data folder, SQLite, ``manage.py worker`` as real processes, watched from outside."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_until_exit = contextlib.ExitStack()


def set_up_django() -> None:
    """Configure this process for Django. It sees everything from then on, as a command does."""
    import django

    django.setup()
    from console import visibility

    _until_exit.enter_context(visibility.unrestricted())


class Console:
    """A migrated console in ``folder``; its own process is configured for Django too."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        os.environ |= {
            "TALLYMAN_DATA": str(folder),
            "TALLYMAN_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TALLYMAN_PLAIN_HTTP_HOSTS": "127.0.0.1",
            "TALLYMAN_LOG_LEVEL": "WARNING",
            "TALLYMAN_TRIVY_DATABASE_AT": "off",
            "DJANGO_SETTINGS_MODULE": "console.settings",
            **environment,
        }
        set_up_django()
        from django.core.management import call_command

        call_command("migrate", verbosity=0)

    def worker(self) -> Worker:
        """Start one ``manage.py worker`` and return when its clusters are up."""
        return Worker(self.folder)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the database."""
        with contextlib.closing(sqlite3.connect(self.folder / "tallyman.sqlite3", timeout=60)) as connection:
            return connection.execute(sql).fetchall()


class Worker:
    """A ``manage.py worker`` with all that it starts."""

    def __init__(self, folder: Path) -> None:
        self._log = (folder / "worker.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "worker"],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    def kill(self) -> None:
        """Kill the worker and its clusters at once, as a machine that goes down does."""
        for pid in [self.process.pid, *descendants(self.process.pid)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self._log.close()

    def stop(self) -> int:
        """Let it drain; return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(timeout=60)
        finally:
            self._log.close()


def descendants(pid: int) -> list[int]:
    """Return all processes below ``pid``."""
    found: list[int] = []
    todo = [pid]
    while todo:
        parent = todo.pop()
        for task in Path(f"/proc/{parent}/task").glob("*"):
            with contextlib.suppress(OSError):
                children = [int(child) for child in (task / "children").read_text().split()]
                found += children
                todo += children
    return found


def is_of_cluster(pid: int) -> bool:
    """Whether the process is one of django-q2's below a worker. Raises OSError where it is gone."""
    return Path(f"/proc/{pid}/comm").read_text().strip() in {"tallyman-quick", "tallyman-scan"}


def processor(pid: int) -> float:
    """Return the seconds of processor that ``pid`` and all below it have used, those that have ended too."""
    ticks = 0
    for each in [pid, *descendants(pid)]:
        with contextlib.suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


class MemoryWatch:
    """Looks at the processes below ``pid`` several times a second, until ``stop``: the most memory that each took.

    ``python`` is the largest Python process; ``together`` the largest sum of a Python process with what it has started.
    In MiB of resident memory without pages of mapped files.
    """

    def __init__(self, pid: int) -> None:
        self.python = self.together = 0
        self._pid, self._end = pid, threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop looking."""
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._end.wait(0.5):
            for pid in descendants(self._pid):
                with contextlib.suppress(OSError, IndexError):
                    if is_of_cluster(pid):
                        own = _private(pid)
                        engines = [each for each in descendants(pid) if not is_of_cluster(each)]
                        self.python = max(self.python, own)
                        self.together = max(self.together, own + sum(_private(each) for each in engines))


def _private(pid: int) -> int:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return sum(int(fields.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem")) // 1024


@contextlib.contextmanager
def clock() -> Iterator[list[float]]:
    """Give a list that holds wall time and processor time of ended children, in seconds, after the block."""
    taken: list[float] = []
    began, before = time.monotonic(), os.times()
    yield taken
    after = os.times()
    used = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    taken += [time.monotonic() - began, used]

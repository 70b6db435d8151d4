"""How long each page of the console takes at the server, with how many queries, and how large it is.

    python -m tests.benchmarks.pages [--tags 10000] [--requests 20] [--only images] [--missed]

Asks every address, every list in each of its orders and filters, with searches, and for its last page; and the lists of
Django admin. Without DATABASE_URL the database is SQLite in a temporary folder; with it, that database is used, and
filled where it is empty. Times are those of whole requests through all middleware in this process, without the network,
after two that are not counted, and after what a web server does at its start (console.server.preload). "CPU" is
processor time: of the console, and of the process of the database that served it where that runs on this machine; other
work on the machine makes the time longer and leaves this as it is. An address whose first FEW requests are all well
below the goal is asked no more; others are asked as often as ``--requests`` says.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.console import Console

GOAL_MS, GOAL_BYTES = 150, 300_000
FEW_REQUESTS, WELL_BELOW_RATIO = 5, 0.7  # requests, of the goal
SKIPPED_URL_NAMES = {"console:sign-out", "console:end-sessions"}


class QueryCounter:
    """Counts queries, and the seconds that they take."""

    def __init__(self) -> None:
        self.queries, self.seconds = 0, 0.0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.queries, self.seconds = self.queries + 1, self.seconds + time.perf_counter() - began


@dataclass
class ProcessorClock:
    """Processor time in seconds: of this thread, and of the process of the database."""

    served_by: int | None

    def console(self) -> float:
        return time.thread_time()

    def database(self) -> float:
        """Return 0 where the database is in this process, or not on this machine."""
        if self.served_by is None:
            return 0.0
        return int(Path(f"/proc/{self.served_by}/schedstat").read_text().split()[0]) / 1e9


@dataclass
class PageTimings:
    """What the requests of one address took, in milliseconds."""

    wall: list[float]
    console: float
    database: float
    queries: int
    in_queries: float
    size: int

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.wall, n=20, method="inclusive")[-1]

    @property
    def cpu(self) -> float:
        return self.console + self.database

    @property
    def missed(self) -> str:
        wrong = [name for name, bad in (("CPU", self.cpu > GOAL_MS), ("SIZE", self.size > GOAL_BYTES)) if bad]
        return " ".join([*wrong, *(["TIME"] if self.p95 > GOAL_MS else [])])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tags", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--scans", type=int, default=0, help="of the largest run (as many as there are tags)")
    parser.add_argument("--only", default="", help="part of a URL name with its query")
    parser.add_argument("--missed", action="store_true", help="print those alone that are beyond a goal")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-pages-") as name:
        Console(Path(os.environ.get("TALLYMAN_DATA") or name), TALLYMAN_LOG_LEVEL="CRITICAL")
        measure(options)


def measure(options: argparse.Namespace) -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from console.models import AuditEvent, User
    from console.server.preload import load_views_and_templates
    from demo.inventory.command import Command
    from inventory.models import Tag
    from scanning.models import Scan
    from tests.benchmarks import page_rows
    from tests.benchmarks.page_ways import page_queries

    settings.ALLOWED_HOSTS = ["testserver"]
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    if not Tag.objects.exists():
        call_command(Command(), tags=options.tags)
    user, _made = User.objects.get_or_create(
        username="benchmark", defaults={"role": "administrator", "is_staff": True, "is_superuser": True}
    )
    tags = Tag.objects.count()
    page_rows.fill(user, scans=options.scans or tags, events=min(100_000, max(10_000, tags)))
    load_views_and_templates()
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    clock = ProcessorClock(_served_by(connection))
    print(
        f"{connection.vendor}, {tags:,} tags, load {os.getloadavg()[0]:.1f}; goals: {GOAL_MS} ms, {GOAL_BYTES:,} bytes"
    )
    print(
        f"{'page':<66} {'p50 ms':>7} {'p95 ms':>7} {'CPU ms':>7} {'of DB':>6} {'queries':>7} {'in ms':>6} {'bytes':>8}"
    )
    found: list[PageTimings] = []
    lengths = {
        "images": tags,
        "audit": AuditEvent.objects.count(),
        "scans": Scan.objects.filter(run=_last_run()).count(),
    }
    for name, path in page_queries(last=lengths):
        if options.only not in name or name.split("?")[0] in SKIPPED_URL_NAMES:
            continue
        if (taken := ask(client, connection, clock, path, options.requests)) is None:
            continue
        if isinstance(taken, int):
            print(f"{name:<66} answers {taken}")
            continue
        found.append(taken)
        if taken.missed or not options.missed:
            print(
                f"{name:<66} {statistics.median(taken.wall):7.0f} {taken.p95:7.0f} {taken.cpu:7.0f}"
                f" {taken.database:6.0f} {taken.queries:7} {taken.in_queries:6.0f} {taken.size:8,}  {taken.missed}",
                flush=True,
            )
    every = sorted(one.cpu for one in found)
    beyond = {
        "by p95": sum(one.p95 > GOAL_MS for one in found),
        "by processor time": sum(one.cpu > GOAL_MS for one in found),
        "by size": sum(one.size > GOAL_BYTES for one in found),
    }
    print(f"{len(found)} pages; beyond a goal: {', '.join(f'{number} {what}' for what, number in beyond.items())}.")
    print(f"Processor time: median {statistics.median(every):.0f} ms, most {every[-1]:.0f} ms.", end=" ")
    print(f"Load {os.getloadavg()[0]:.1f}.")


def ask(client: Any, connection: Any, clock: ProcessorClock, path: str, requests: int) -> PageTimings | int | None:
    """Return what ``path`` takes; its status where that is not 200, None where it is no page."""
    first = client.get(path)
    if first.status_code in {302, 405}:
        return None
    if first.status_code != 200:
        return int(first.status_code)
    asked = QueryCounter()
    with connection.execute_wrapper(asked):
        client.get(path)
    wall, console, database = [], [], []
    while len(wall) < FEW_REQUESTS or (len(wall) < requests and max(wall) > WELL_BELOW_RATIO * GOAL_MS):
        began, own, other = time.perf_counter(), clock.console(), clock.database()
        client.get(path)
        wall.append((time.perf_counter() - began) * 1000)
        console.append((clock.console() - own) * 1000)
        database.append((clock.database() - other) * 1000)
    size = len(first.content) if not first.streaming else 0
    return PageTimings(
        wall, statistics.median(console), statistics.median(database), asked.queries, asked.seconds * 1000, size
    )


def _served_by(connection: Any) -> int | None:
    """Return the process of the database that serves ``connection``; it is told to do its work alone."""
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SET max_parallel_workers_per_gather = 0")
        cursor.execute("SELECT pg_backend_pid()")
        pid = int(cursor.fetchone()[0])
    return pid if Path(f"/proc/{pid}/schedstat").exists() else None


def _last_run() -> int:
    from scanning.models import ScanRun

    return ScanRun.objects.order_by("-pk").values_list("pk", flat=True)[0]


if __name__ == "__main__":
    main()

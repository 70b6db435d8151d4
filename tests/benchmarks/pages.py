"""How long each page of the console takes at the server, with how many queries, and how large it is.

    python -m tests.benchmarks.pages [--tags 10000] [--requests 20]

Walks the table of addresses, and asks the large lists in other ways as well. Without DATABASE_URL the database is
SQLite in a temporary folder; with it, that database is used, and filled where it is empty. Times are those of whole
requests through all middleware in this process, without the network, after one that is not counted; "CPU" is the
processor time of the console itself, which tells how much of that other work on the machine has taken.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.console import Console

GOAL_MS, GOAL_BYTES = 150, 300_000
OTHER_WAYS = {
    "inventory:image-list": (
        "?q=ledger",
        "?q=sha256:ab12cd",
        "?sort=-risks&security=at-risk",
        "?sort=status&size=100",
        "?sort=-last_scanned&type=harbor&severity=critical",
        "?page=100&size=100",
    ),
    "scanning:vulnerability-list": (
        "?q=CVE-2021-44228",
        "?q=log4j",
        "?q=openssl&fixable=yes",
        "?sort=-images",
        "?sort=-tags",
        "?sort=-cvss",
        "?sort=-first_seen&seen=30",
        "?registry=1&severity=critical&type=npm",
        "?size=100&page=20",
    ),
    "scanning:package-list": (
        "?q=log4j",
        "?q=openssl",
        "?sort=name",
        "?sort=-findings&risk=yes&type=maven",
        "?registry=2&severity=critical",
        "?size=100&page=20",
    ),
    "scanning:vulnerability": ("?q=payments&status=scanned", "?sort=-last_scanned"),
    "scanning:vulnerabilities": ("?q=CVE-2023", "?severity=critical&fixable=yes"),
}


class Asked:
    """Counts queries, and the seconds that they take."""

    def __init__(self) -> None:
        self.queries, self.seconds = 0, 0.0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        began = time.perf_counter()
        try:
            return execute(sql, params, many, context)
        finally:
            self.queries, self.seconds = self.queries + 1, self.seconds + time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tags", type=int, default=10_000)
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--only", default="", help="part of a URL name")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-pages-") as name:
        Console(Path(os.environ.get("TALLYMAN_DATA") or name))
        measure(options.tags, options.requests, options.only)


def measure(tags: int, requests: int, only: str) -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client

    from console.models import User
    from inventory.models import Tag
    from scanning.models import ScanSchedule
    from tests.pages import addresses

    settings.ALLOWED_HOSTS = ["testserver"]
    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    if not Tag.objects.exists():
        call_command("make_inventory", tags=tags)
    if not ScanSchedule.objects.exists():
        ScanSchedule.objects.create(name="Every night", at="01:00", starts_on="2026-01-01", categories=["malware"])
    user, _made = User.objects.get_or_create(username="benchmark", defaults={"role": "administrator", "is_staff": True})
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    print(f"{connection.vendor}, {Tag.objects.count():,} tags; goals: p95 {GOAL_MS} ms, {GOAL_BYTES:,} bytes")
    print(f"{'page':<62} {'p50 ms':>7} {'p95 ms':>7} {'CPU ms':>7} {'queries':>7} {'in ms':>6} {'bytes':>8}")
    missed = pages = 0
    for name, path in addresses():
        if only not in name or name.startswith(("console:sign-", "console:sso")):
            continue
        for query in ("", *OTHER_WAYS.get(name, ())):
            first = client.get(path + query)
            if first.status_code != 200:
                if first.status_code not in {302, 405}:
                    print(f"{name + query:<62} answers {first.status_code}")
                break
            asked = Asked()
            with connection.execute_wrapper(asked):
                client.get(path + query)
            taken, own = [], []
            for _n in range(max(requests, 2)):
                began, used = time.perf_counter(), time.thread_time()
                client.get(path + query)
                taken.append((time.perf_counter() - began) * 1000)
                own.append((time.thread_time() - used) * 1000)
            p95 = statistics.quantiles(taken, n=20)[-1]
            size = len(first.content) if not first.streaming else 0
            bad = p95 > GOAL_MS or size > GOAL_BYTES
            pages, missed = pages + 1, missed + bad
            print(
                f"{name + query:<62} {statistics.median(taken):7.0f} {p95:7.0f} {statistics.median(own):7.0f}"
                f" {asked.queries:7} {asked.seconds * 1000:6.0f} {size:8,}"
                f"{'  MISSED' if bad else ''}",
                flush=True,
            )
    print(f"{pages} pages, {missed} beyond the goals")


if __name__ == "__main__":
    main()

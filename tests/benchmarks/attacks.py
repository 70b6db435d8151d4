"""What attackers would measure: whether the sign-in tells who has an account, and what the worst searches cost.

    python -m tests.benchmarks.attacks [--sign-ins 40] [--tags 5000]

Sign-ins of a known and of an unknown name take turns within one run, with Argon2 as in real use; what counts is the
ratio of the medians. Searches are those of tests/test_attacks.py, each asked of each list, the longest shown. The
database is SQLite in a temporary folder, filled with sample data; DATABASE_URL names another one.
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

MAX_RATIO, MAX_SEARCH_MS = 0.10, 500


def sign_ins(number: int) -> None:
    """Show what a wrong password takes for a name that exists, and for one that does not."""
    from django.contrib.auth import get_user_model
    from django.test import Client

    get_user_model().objects.create_user("known", password="a-long-password-for-tests")
    times: dict[str, list[float]] = {"known": [], "unknown": []}
    for turn in range(number + 2):
        for name, found in times.items():
            client = Client()
            began = time.perf_counter()
            answer = client.post("/sign-in/", {"username": name, "password": f"wrong {turn}"})
            took = time.perf_counter() - began
            assert answer.status_code == 200, answer.status_code
            if turn > 1:
                found.append(took * 1000)
    known, unknown = (statistics.median(found) for found in times.values())
    apart = abs(known - unknown) / max(known, unknown)
    verdict = "meets" if apart < MAX_RATIO else "MISSES"
    print(
        f"sign-in, {number} of each: known {known:.1f} ms, unknown {unknown:.1f} ms, {apart:.1%} apart; {verdict} 10 %"
    )


def searches(tags: int) -> None:
    """Show the searches that took longest."""
    from django.core.management import call_command
    from django.test import Client
    from django.urls import reverse

    from console.models import User
    from demo.inventory.command import Command
    from tests.test_attacks import LISTS, SEARCHES

    call_command(Command(), tags=tags)
    client = Client()
    client.force_login(User.objects.create_user("root", role="administrator"))
    took: list[tuple[float, str, str]] = []
    for name in LISTS:
        client.get(reverse(name))
        for label, text in SEARCHES.items():
            began = time.perf_counter()
            assert client.get(reverse(name), {"q": text}).status_code == 200
            took.append(((time.perf_counter() - began) * 1000, name, label))
    worst = sorted(took, reverse=True)
    verdict = "meets" if worst[0][0] <= MAX_SEARCH_MS else "MISSES"
    print(
        f"{len(took)} searches of {len(LISTS)} lists: median {statistics.median(ms for ms, *_ in took):.0f} ms, "
        f"longest {worst[0][0]:.0f} ms ({worst[0][1]}, {worst[0][2]}); {verdict} {MAX_SEARCH_MS} ms"
    )
    for ms, name, label in worst[:5]:
        print(f"  {ms:6.0f} ms  {name}  {label}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sign-ins", type=int, default=40)
    parser.add_argument("--tags", type=int, default=5000)
    given: Any = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Console(Path(folder))
        from django.conf import settings

        settings.ALLOWED_HOSTS = ["testserver"]
        settings.AXES_ENABLED = False  # five would be all
        settings.STORAGES["staticfiles"]["BACKEND"] = "django.contrib.staticfiles.storage.StaticFilesStorage"
        sign_ins(given.sign_ins)
        searches(given.tags)
    os._exit(0)


if __name__ == "__main__":
    main()

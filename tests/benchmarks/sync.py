"""How long a sync takes: 2,000 repositories with 20,000 tags on a server that takes 5 ms for each answer.

    python -m tests.benchmarks.sync [--repositories 2000] [--tags 10] [--delay 0.005]

Prints time, calls, and peak memory of the syncing process for the first sync, an unchanged second one, and a third with
some tags changed and gone. The server runs in a process of its own; the database is SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from demo.registry_server import RegistryServer, ServerRequest, ServerResponse
from tests.benchmarks.console import set_up_django
from tests.fakes import images


class SlowServer(RegistryServer):
    """Takes its time for each answer and counts what it was asked."""

    def __init__(self, delay: float) -> None:
        super().__init__()
        self.delay = delay
        self.calls: Counter[str] = Counter()

    def answer(self, request: ServerRequest) -> ServerResponse:
        time.sleep(self.delay)
        kinds = (("/manifests/", f"{request.method} manifest"), ("/blobs/", "config"), ("/tags/list", "tag list"))
        self.calls[next((name for part, name in kinds if part in request.path), "catalog and root")] += 1
        return super().answer(request)


def serve(channel: Connection, repositories: int, tags: int, delay: float) -> None:
    """Fill a server and do what the benchmark says: hand out the counts, or change some tags first."""
    with SlowServer(delay) as server:
        bases = [images.layer({"base": b"%d" % number}) for number in range(20)]

        def push(repository: int, tag: int, edition: int = 1) -> None:
            labels = {"edition": f"{repository} {tag} {edition}"}
            made = images.image(bases[repository % 20], bases[tag % 20], labels=labels)
            made.put(server, f"project{repository % 200}/team/app{repository}", f"1.{tag}")

        for repository in range(repositories):
            for tag in range(tags):
                push(repository, tag)
        channel.send(server.url)
        while (command := channel.recv()) != "end":
            if command == "change":
                for repository in range(100):
                    push(repository, 1, edition=2)
                for repository in range(50):
                    server.store.remove_tag(f"project{repository % 200}/team/app{repository}", "1.2")
            channel.send(dict(server.calls))
            server.calls.clear()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--repositories", type=int, default=2000)
    parser.add_argument("--tags", type=int, default=10)
    parser.add_argument("--delay", type=float, default=0.005)
    options = parser.parse_args()
    channel, far_end = multiprocessing.Pipe()
    arguments = (far_end, options.repositories, options.tags, options.delay)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=arguments, daemon=True)
    server.start()
    with tempfile.TemporaryDirectory(prefix="tallyman-benchmark-") as folder:
        os.environ |= {
            "TALLYMAN_DATA": str(Path(folder)),
            "TALLYMAN_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TALLYMAN_PLAIN_HTTP_HOSTS": "127.0.0.1",
            "DJANGO_SETTINGS_MODULE": "console.settings",
        }
        measure(channel, channel.recv())
    channel.send("end")
    server.join(timeout=10)


def measure(channel: Connection, url: str) -> None:
    set_up_django()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from inventory import tasks
    from inventory.models import Image, Tag
    from registries.models import Registry
    from registries.sync_requests.start import start_sync

    registry = Registry.objects.create(name="benchmark", address=url)
    for title in ("first", "second, unchanged", "third, 100 tags changed and 50 gone"):
        channel.send("change" if title.startswith("third") else "count")
        channel.recv()
        begun = time.monotonic()
        (run,) = start_sync(registries=[registry]).runs
        tasks.sync(run.pk)
        seconds = time.monotonic() - begun
        run.refresh_from_db()
        channel.send("count")
        calls: dict[str, Any] = channel.recv()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        rows = f"{Tag.objects.count()} tags, {Image.objects.count()} images"
        print(f"{title}: {seconds:.1f} s, peak {memory} MiB, {sum(calls.values())} calls {calls}")
        print(
            f"  {run.state}, complete {run.complete}: {run.tags} tags, {run.tags_new} new, {run.tags_changed} changed,"
        )
        print(f"  {run.tags_gone} gone, {run.errors} errors; rows: {rows}")


if __name__ == "__main__":
    main()

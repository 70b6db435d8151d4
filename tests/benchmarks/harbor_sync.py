"""How long a sync of a large Harbor takes: 200 projects, 2,000 repositories, 20,000 tags, 5 ms for each answer.

    python -m tests.benchmarks.harbor_sync [--projects 200] [--repositories 10] [--tags 10] [--delay 0.005]

Prints time, calls and peak memory of the syncing process, and whether the rows are right: for the first sync, an
unchanged second one, a third with 100 tags changed and 50 gone, and a fourth during which Harbor fails halfway, with
the one that goes on after it. The server runs in a process of its own; the database is SQLite in a temporary folder.

Each repository has five builds over bases that many share, ten tags on them (latest, 1, stable …), a build without a
tag, and in every tenth one a signature; every fifth repository holds what its neighbour holds, as after a promotion.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from multiprocessing.connection import Connection
from typing import Any

from demo.registry_server import ServerRequest, ServerResponse, error_response
from tests.benchmarks.console import set_up_django
from tests.fakes import images
from tests.fakes.harbor import FakeHarbor, robot

PASSWORD = "benchmark"
BUILDS_PER_REPOSITORY = 5
CHANGED_TAGS, GONE_TAGS = 100, 50
CALL_KINDS = (
    ("/artifacts", "artifact list"),
    ("/repositories", "repository list"),
    ("/projects", "project list"),
    ("/service/token", "token"),
    ("/manifests/", "manifest"),
    ("/blobs/", "config"),
)


class SlowHarbor(FakeHarbor):
    """Takes its time for each answer, counts what it was asked, and fails from a given list of artifacts on."""

    def __init__(self, delay: float) -> None:
        super().__init__(accounts={"robot$tallyman": robot(PASSWORD)})
        self.delay = delay
        self.calls: Counter[str] = Counter()
        self.lists_left: int | None = None

    def answer(self, request: ServerRequest) -> ServerResponse:
        time.sleep(self.delay)
        self.calls[next((name for part, name in CALL_KINDS if part in request.path), "version and sign-in")] += 1
        if self.lists_left is not None and request.path.endswith("/artifacts"):
            self.lists_left -= 1
            if self.lists_left < 0:
                return error_response(500, "UNKNOWN", "the database is gone")
        answer = super().answer(request)
        self.seen.clear()
        return answer


class Content:
    """What lies in the Harbor of the benchmark."""

    def __init__(self, server: SlowHarbor, projects: int, repositories: int, tags: int) -> None:
        self.server, self.tags = server, tags
        self.names = [
            f"project{project:03}/" + (f"team/app{number}" if number % 4 == 0 else f"app{number}")
            for project in range(projects)
            for number in range(repositories)
        ]
        self.bases = [images.layer({"base": b"%d" % number}) for number in range(20)]
        self.runtimes = [images.layer({"runtime": b"%d" % number}) for number in range(50)]

    def build(self, repository: int, build: int, edition: int = 1) -> images.Image:
        """One build; every fifth repository has those of the one before it."""
        held = repository - 1 if repository % 5 == 4 and edition == 1 else repository
        own = images.layer({"app": f"{held} {build} {edition}".encode()})
        return images.image(self.bases[held % 20], self.runtimes[held % 50], own)

    def fill(self) -> None:
        for number, name in enumerate(self.names):
            self.build(number, BUILDS_PER_REPOSITORY).put(self.server, name)  # without a tag
            for build in range(BUILDS_PER_REPOSITORY):
                made = self.build(number, build)
                for tag in range(build, self.tags, BUILDS_PER_REPOSITORY):
                    made.put(self.server, name, f"1.{tag}")
            if number % 10 == 0:
                tag_name, signature = images.cosign_signature(made.digest)
                signature.put(self.server, name, tag_name)

    def change(self) -> None:
        """New builds for some tags, others taken off."""
        step = max(1, len(self.names) // CHANGED_TAGS)
        for number in range(0, CHANGED_TAGS * step, step):
            self.build(number % len(self.names), 0, edition=2).put(
                self.server, self.names[number % len(self.names)], "1.0"
            )
        for number in range(1, GONE_TAGS * step, step):
            self.server.remove_tag(self.names[number % len(self.names)], "1.1")


def serve(channel: Connection, projects: int, repositories: int, tags: int, delay: float) -> None:
    """Fill a server and do what the benchmark says, each time handing out the calls counted so far."""
    with SlowHarbor(delay) as server:
        content = Content(server, projects, repositories, tags)
        content.fill()
        channel.send(server.url)
        while (command := channel.recv()) != "end":
            match command:
                case "change":
                    content.change()
                case "fail":
                    server.lists_left = len(content.names) // 2
                case "heal":
                    server.lists_left = None
            channel.send((dict(server.calls), len(server.pulled)))
            server.calls.clear()
            server.pulled.clear()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--projects", type=int, default=200)
    parser.add_argument("--repositories", type=int, default=10, help="of each project")
    parser.add_argument("--tags", type=int, default=10, help="of each repository")
    parser.add_argument("--delay", type=float, default=0.005, help="seconds that the server takes for an answer")
    options = parser.parse_args()
    channel, far_end = multiprocessing.Pipe()
    arguments = (far_end, options.projects, options.repositories, options.tags, options.delay)
    server = multiprocessing.get_context("spawn").Process(target=serve, args=arguments, daemon=True)
    server.start()
    try:
        with tempfile.TemporaryDirectory(prefix="tallyman-benchmark-") as folder:
            os.environ |= {
                "TALLYMAN_DATA": folder,
                "TALLYMAN_ALLOWED_NETWORKS": "127.0.0.0/8",
                "TALLYMAN_PLAIN_HTTP_HOSTS": "127.0.0.1",
                "DJANGO_SETTINGS_MODULE": "console.settings",
            }
            right = measure(channel, channel.recv(), options.projects * options.repositories, options.tags)
        channel.send("end")
        server.join(timeout=10)
    finally:
        server.terminate()
    sys.exit(not right)


def measure(channel: Connection, url: str, repositories: int, tags: int) -> bool:
    """Sync five times; print what that took, and return whether all rows are right."""
    set_up_django()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from inventory import tasks
    from inventory.models import Image, Tag
    from registries.models import Registry, SyncRun
    from registries.sync_requests.start import start_sync

    registry = Registry(name="harbor", type="harbor", version="v2", address=url, username="robot$tallyman")
    registry.set_password(PASSWORD)
    registry.save()
    total = repositories * tags
    changed, gone = min(CHANGED_TAGS, repositories), min(GONE_TAGS, repositories)
    print(f"{repositories} repositories, {total} tags; memory before the first sync: {_peak()} MiB", flush=True)
    right = True
    run: SyncRun | None = None
    for title, command, expected in (
        ("first", "count", (total, total, 0, 0)),
        ("second, nothing changed", "count", (total, 0, 0, 0)),
        (f"third, {changed} tags changed and {gone} gone", "change", (total - gone, 0, changed, gone)),
        ("fourth, Harbor fails halfway", "fail", (total - gone, 0, 0, 0)),
        ("fourth, going on where it stopped", "heal", (total - gone, 0, 0, 0)),
    ):
        channel.send(command)
        channel.recv()
        begun = time.monotonic()
        if command == "heal" and run is not None:
            SyncRun.objects.filter(pk=run.pk).update(not_before=None)  # its pause is over
        else:
            (run,) = start_sync(registries=[registry]).runs
        tasks.sync(run.pk)
        seconds = time.monotonic() - begun
        run.refresh_from_db()
        channel.send("count")
        calls, pulled = channel.recv()
        found = (Tag.objects.count(), run.tags_new, run.tags_changed, run.tags_gone)
        fine = found == expected and (run.state == "succeeded") == (command != "fail")
        right = right and fine
        _show(title, seconds, calls, pulled, run, found, fine)
    print(f"{Image.objects.count()} images; rows {'right' if right else 'WRONG'}")
    return right


def _show(
    title: str, seconds: float, calls: dict[str, int], pulled: int, run: Any, found: tuple[int, ...], fine: bool
) -> None:
    print(f"{title}: {seconds:.1f} s, peak {_peak()} MiB, {sum(calls.values())} calls {calls}")
    print(f"  {run.state}, complete {run.complete}, errors {run.errors}; pull times moved: {pulled}")
    names = ("tags", "new", "changed", "gone")
    print(f"  {dict(zip(names, found, strict=True))} {'as expected' if fine else 'NOT as expected'}", flush=True)


def _peak() -> int:
    """The largest resident set so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()

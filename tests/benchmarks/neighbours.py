"""What one registry's neighbours feel of it: tag lists without end, thousands of push events, ten million names.

    python -m tests.benchmarks.neighbours [--console FOLDER] [--only endless events push memory]

Each part runs a console of its own (``manage.py serve``, SQLite, a temporary folder) from the checkout at FOLDER, this
one by default, so that two versions can be compared. Bounded: about ten minutes in all where everything has to wait.

- endless: two registries whose tag lists never end are synced by hand. Then an export, the sync of another registry by
  schedule and one by hand, and how late the tick comes (django-q2 calls it once a minute).
- events: one registry with 100 ms for each answer reports 10,000 pushes. Then a sync by hand of another one, an export,
  a push to another one, the tick.
- push: from the report of the registry until its row is there, of 4 pushes one after the other and of 30 at once.
- memory: a registry lists 10 million tags, none of which is asked for; the most memory that a process of the worker
  takes.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from demo.registry_server import ServerRequest, ServerResponse, json_response
from tests.benchmarks.console import ROOT, MemoryWatch
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, RealAnswer, anything, manifests, tags

TIMEOUT_SECONDS = 150.0  # seconds that anything is waited for
PAGE_SECONDS = 0.5  # of a registry without end
EVENT_SECONDS = 0.1  # of the registry that reports very much
NAME_COUNT = 10_000_000
WARMUP_PUSHES, PUSH_COUNT, EVENT_COUNT, EVENTS_PER_REPORT = 4, 30, 10_000, 200

# Runs within the console that is measured: Python by JSON lines, one answer each.
DRIVER = """
import json, sys, django
django.setup()
from console.jobs.models import Priority, State
from console.models import Export, User
from console.exports.enqueue import request_export as ask
from django_q.models import Task
from django.db import connection
from inventory.models import Tag
from registries.models import PushAddress, PushEvent, Registry, SyncRun
from registries.sync_requests.start import start_sync
try:
    from console.visibility import unrestricted
except ImportError:  # an older checkout
    from contextlib import nullcontext as unrestricted
names = dict(globals())
for line in sys.stdin:
    try:
        names["out"] = None
        with unrestricted():
            exec(json.loads(line), names)
        print(json.dumps(names["out"]), flush=True)
    except Exception as error:
        print(json.dumps({"error": repr(error)}), flush=True)
    connection.close()
"""


class RunningConsole:
    """A console from the checkout ``root``, its web server and worker, and a process that drives it from within."""

    def __init__(self, root: Path, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = os.environ | {
            "TALLYMAN_DATA": str(folder),
            "TALLYMAN_STATIC": str(folder / "static"),
            "TALLYMAN_URL": self.url,
            "TALLYMAN_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TALLYMAN_PLAIN_HTTP_HOSTS": "127.0.0.1",
            "TALLYMAN_TRIVY_DATABASE_AT": "off",
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "DATABASE_URL": "",
            "REDIS_URL": "",
        }
        self._log = (folder / "serve.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, str(root / "manage.py"), "serve", "--listen", f"127.0.0.1:{port}"],
            env=environment,
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )
        self._until(lambda: b"Serving on" in (folder / "serve.log").read_bytes(), "the console")
        self._driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER],
            env=environment,
            cwd=root,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._until(lambda: self.do("out = Task.objects.filter(func__endswith='tasks.tick').count()"), "the first tick")

    def do(self, code: str) -> Any:
        """Run ``code`` within, and return what it has put into ``out``."""
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(json.dumps(code) + "\n")
        self._driver.stdin.flush()
        out = json.loads(self._driver.stdout.readline())
        if isinstance(out, dict) and "error" in out:
            raise RuntimeError(out["error"])
        return out

    def registry(self, name: str, url: str) -> int:
        """Make a registry; return its key."""
        return cast(int, self.do(f"out = Registry.objects.create(name={name!r}, address={url!r}).pk"))

    def sync(self, registry: int, trigger: str = "manual") -> int:
        """Start a sync; return the key of its run."""
        code = f"start_sync(registries=[Registry.objects.get(pk={registry})], trigger=SyncRun.Trigger({trigger!r}))"
        return cast(int, self.do(f"out = {code}.runs[0].pk"))

    def export(self) -> int:
        """Ask for an export of all images; return its key."""
        user = "User.objects.get_or_create(username='b', defaults={'role': 'administrator', 'is_superuser': True})[0]"
        code = f"ask(user={user}, listing='images', view='', columns=['address'], format='csv')"
        return cast(int, self.do(f"out = {code}.pk"))

    def ended(self, model: str, key: int) -> bool:
        """Whether a job has succeeded."""
        return bool(self.do(f"out = {model}.objects.filter(pk={key}, state='succeeded').exists()"))

    def push_address(self, registry: int) -> str:
        """Make the address that a registry reports pushes to."""
        code = (
            f"from django.urls import reverse\na = PushAddress(registry_id={registry})\ns = a.new_secret()\na.save()\n"
            "out = reverse('registries:receive-event-with-secret', args=[a.key, s])"
        )
        return self.url + cast(str, self.do(code))

    def ticks(self) -> list[float]:
        """When ticks were begun, in seconds since the epoch."""
        code = "Task.objects.filter(func='console.jobs.tasks.tick').order_by('started')"
        return cast(list[float], self.do(f"out = [t.started.timestamp() for t in {code}]"))

    def lateness(self, since: float) -> str:
        """How late the worst tick since ``since`` was: they are called once a minute, looked for twice a minute."""
        moments = [since, *(each for each in self.ticks() if each >= since), time.time()]
        gaps = [after - before for before, after in itertools.pairwise(moments)]
        return f"longest time without a tick {max(gaps):.0f} s"

    @staticmethod
    def _until(done: Any, what: str, seconds: float = 120) -> None:
        ends = time.monotonic() + seconds
        while not done():
            if time.monotonic() > ends:
                raise SystemExit(f"{what} did not come about")
            time.sleep(0.2)

    def stop(self) -> None:
        """End it all."""
        self._driver.kill()
        self._driver.wait()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._log.close()


@contextlib.contextmanager
def running(root: Path) -> Iterator[RunningConsole]:
    folder = Path(tempfile.mkdtemp(prefix="tallyman-neighbours-"))
    try:
        console = RunningConsole(root, folder)
        try:
            yield console
        finally:
            console.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class EndlessTagList:
    """A tag list that goes on for ``names`` names, 1,000 a page, each page after ``pause`` seconds.

    ``signatures``: the tags are those of signatures, which nobody asks for. So a list is read as fast as it comes.
    """

    def __init__(self, *, pause: float, names: int | None = None, signatures: bool = False) -> None:
        self._pause, self._names = pause, names
        self._name = "sha256-{:064x}.sig" if signatures else "t{}"

    def __call__(self, request: ServerRequest, real: RealAnswer) -> ServerResponse:
        time.sleep(self._pause)
        first = int(request.first("last") or 0)
        last = min(first + 1000, self._names or first + 1000)
        answer = json_response(
            {"name": "team/app", "tags": [self._name.format(number) for number in range(first, last)]}
        )
        if self._names is None or last < self._names:
            answer.headers["Link"] = f'</v2/team/app/tags/list?{urlencode({"n": 1000, "last": last})}>; rel="next"'
        return answer


def one_for_all(registry: FakeRegistry) -> None:
    """Let all tags of ``registry`` be the same image."""
    stored = registry.store.manifest("team/app", "1.0")
    assert stored is not None
    head = {"Content-Type": stored.media_type, "Docker-Content-Digest": stored.digest}
    registry.fail(manifests, lambda request, real: ServerResponse(200, dict(head), stored.content))


def slowly(seconds: float) -> Any:
    def fault(request: ServerRequest, real: RealAnswer) -> ServerResponse:
        time.sleep(seconds)
        return real()

    return fault


def waited(console: RunningConsole, waits: dict[str, tuple[str, int]], *, began: float) -> None:
    """Print how long each of the jobs ``waits`` took, those that did not end within PATIENCE too."""
    left = dict(waits)
    while left and time.monotonic() - began < TIMEOUT_SECONDS:
        for what, (model, key) in list(left.items()):
            if console.ended(model, key):
                del left[what]
                print(f"  {what}: {time.monotonic() - began:.1f} s", flush=True)
        time.sleep(0.1)
    for what in left:
        print(f"  {what}: over {TIMEOUT_SECONDS:.0f} s", flush=True)


@contextlib.contextmanager
def registries(count: int) -> Iterator[list[FakeRegistry]]:
    """Registries of one image each."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(FakeRegistry()) for _ in range(count)]
        for number, registry in enumerate(found):
            images.image({"etc/os-release": b"ID=debian\n", "n": b"%d" % number}).put(registry, "team/app", "1.0")
        yield found


def endless(root: Path) -> None:
    print("two registries whose tag lists never end:", flush=True)
    with registries(4) as (first, second, third, fourth), running(root) as console:
        for each in (first, second):
            each.fail(tags, EndlessTagList(pause=PAGE_SECONDS))
            one_for_all(each)
        keys = [console.registry(f"r{number}", each.url) for number, each in enumerate((first, second, third, fourth))]
        for key in keys[:2]:
            console.sync(key)
        time.sleep(15)
        since, began = time.time(), time.monotonic()
        waits = {
            "export": ("Export", console.export()),
            "sync of another registry, by schedule": ("SyncRun", console.sync(keys[2], "nightly")),
            "sync of another registry, by hand": ("SyncRun", console.sync(keys[3])),
        }
        waited(console, waits, began=began)
        time.sleep(max(0.0, 125 - (time.monotonic() - began)))
        print(f"  {console.lateness(since)}", flush=True)


def report(address: str, names: list[tuple[str, str]]) -> None:
    events = [{"action": "push", "target": {"repository": name, "tag": tag}} for name, tag in names]
    body = json.dumps({"events": events}).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # our own
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def events(root: Path) -> None:
    print(f"{EVENT_COUNT:,} push events of one registry:", flush=True)
    with registries(3) as (noisy, other, third), running(root) as console:
        noisy.fail(anything, slowly(EVENT_SECONDS))
        one_for_all(noisy)
        keys = [console.registry(f"r{number}", each.url) for number, each in enumerate((noisy, other, third))]
        address, quiet = console.push_address(keys[0]), console.push_address(keys[2])
        began = time.monotonic()
        for start in range(0, EVENT_COUNT, EVENTS_PER_REPORT):
            report(address, [(f"team/r{n % 100}", f"t{n}") for n in range(start, start + EVENTS_PER_REPORT)])
        waiting = console.do("out = PushEvent.objects.filter(state='queued').count()")
        print(f"  reported in {time.monotonic() - began:.0f} s, rows that wait: {waiting:,}", flush=True)
        since, began = time.time(), time.monotonic()
        report(quiet, [("team/app", "1.0")])
        code = f"out = PushEvent.objects.get(registry={keys[2]}).pk"
        waits = {
            "sync of another registry, by hand": ("SyncRun", console.sync(keys[1])),
            "export": ("Export", console.export()),
            "push of another registry": ("PushEvent", console.do(code)),
        }
        waited(console, waits, began=began)
        time.sleep(max(0.0, 125 - (time.monotonic() - began)))
        print(f"  {console.lateness(since)}", flush=True)


def push(root: Path) -> None:
    print("pushes, from the report to the row:", flush=True)
    with registries(1) as (registry,), running(root) as console:
        address = console.push_address(console.registry("r", registry.url))

        def took(names: list[str]) -> list[float]:
            for tag in names:
                made = images.image({"etc/os-release": b"ID=debian\n", "p": tag.encode()})
                made.put(registry, "team/app", tag)
            reported = {}
            for tag in names:
                report(address, [("team/app", tag)])
                reported[tag] = time.monotonic()
            rows: dict[str, float] = {}
            while len(rows) < len(names) and time.monotonic() - reported[names[0]] < TIMEOUT_SECONDS:
                found = set(console.do("out = list(Tag.objects.values_list('name', flat=True))"))
                for tag in found.intersection(names):
                    rows.setdefault(tag, time.monotonic() - reported[tag])
                time.sleep(0.1)
            return sorted(rows.values())

        alone = sorted(each for number in range(WARMUP_PUSHES) for each in took([f"a{number}"]))
        print(f"  {len(alone)} one after the other: p50 {statistics.median(alone or [0]):.1f} s, {worst(alone)}")
        together = took([f"b{number}" for number in range(PUSH_COUNT)])
        print(f"  {len(together)} at once: p50 {statistics.median(together or [0]):.1f} s, {worst(together)}")
        time.sleep(5)


def worst(seconds: list[float]) -> str:
    return f"p95 {seconds[min(len(seconds) - 1, int(len(seconds) * 0.95))]:.1f} s" if seconds else "none came"


def memory(root: Path) -> None:
    print(f"a list of {NAME_COUNT:,} names:", flush=True)
    with registries(1) as (registry,), running(root) as console:
        key = console.registry("r", registry.url)
        watch = MemoryWatch(console.process.pid)
        time.sleep(2)
        before = watch.python
        registry.fail(tags, EndlessTagList(pause=0, names=NAME_COUNT, signatures=True))
        began, run = time.monotonic(), console.sync(key)
        state = f"out = list(SyncRun.objects.filter(pk={run}).values_list('state', 'reason', 'progress_done')[0])"
        while time.monotonic() - began < TIMEOUT_SECONDS and console.do(state)[0] not in ("succeeded", "failed"):
            time.sleep(1)
        watch.stop()
        asked = len(registry.requests(tags))
        print(f"  after {time.monotonic() - began:.0f} s and {asked:,} pages: {console.do(state)}", flush=True)
        print(f"  largest process of the worker: {before} MiB before, {watch.python} MiB at most", flush=True)


PARTS = {"endless": endless, "events": events, "push": push, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--console", type=Path, default=ROOT, help="the checkout whose console is measured")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    for name in options.only:
        PARTS[name](options.console.resolve())


if __name__ == "__main__":
    main()

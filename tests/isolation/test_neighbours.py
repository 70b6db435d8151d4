"""A real worker, and registries that do their best to have it for themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlencode

import pytest

from demo.registry_server import ServerRequest, ServerResponse, json_response
from tests.console.jobs.conftest import RealWorker, real_worker, wait_for
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, RealAnswer, anything, silence, tags

__all__ = ["real_worker"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

REGISTRIES = """
from registries.models import Registry
for name, url in {addresses!r}:
    print(Registry.objects.create(name=name, address=url).pk)
"""
SYNC = """
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync
for key, trigger in {syncs!r}:
    found = start_sync(registries=[Registry.objects.get(pk=key)], trigger=SyncRun.Trigger(trigger))
    print(found.runs[0].pk)
"""
EXPORT = """
from console.exports.enqueue import request_export as ask
from console.models import User
user = User.objects.get_or_create(username="somebody", defaults={{"role": "administrator", "is_superuser": True}})[0]
print(ask(user=user, listing="images", view="", columns=["address"], format="csv").pk)
"""
PUSHES = """
from registries.webhooks.payloads import Change
from registries.models import Registry
from registries.webhooks.ingest import ingest_changes as take_up
registry = Registry.objects.get(pk={registry})
for start in range({first}, {last}, 100):
    found = [Change((name.format(n % 50),), tag.format(n)) for n in range(start, min(start + 100, {last}))
             for name, tag in [{change!r}]]
    take_up(registry=registry, found=found)
"""
TICKS = "SELECT count(*) FROM django_q_task WHERE func = 'console.jobs.tasks.tick'"


def endless(request: ServerRequest, real: RealAnswer) -> ServerResponse:
    """A list of tags that goes on for ever, a thousand names each half second."""
    time.sleep(0.5)
    first = int((request.first("last") or "t0")[1:]) + 1
    answer = json_response({"name": "team/app", "tags": [f"t{number}" for number in range(first, first + 1000)]})
    following = urlencode({"n": 1000, "last": f"t{first + 999}"})
    answer.headers["Link"] = f'</v2/team/app/tags/list?{following}>; rel="next"'
    return answer


@pytest.fixture
def servers() -> Iterator[list[FakeRegistry]]:
    """Four registries of one image each."""
    with ExitStack() as stack:
        found = [stack.enter_context(FakeRegistry()) for _ in range(4)]
        for number, server in enumerate(found):
            images.image({"etc/os-release": b"ID=debian\n", "n": b"%d" % number}).put(server, "team/app", "1.0")
        yield found


def add(worker: RealWorker, servers: list[FakeRegistry]) -> list[int]:
    addresses = [(f"r{number}", server.url) for number, server in enumerate(servers)]
    return [int(line) for line in worker.shell(REGISTRIES.format(addresses=addresses)).split()]


def begin(worker: RealWorker, *syncs: tuple[int, str]) -> list[int]:
    return [int(line) for line in worker.shell(SYNC.format(syncs=syncs)).split()]


def report(worker: RealWorker, registry: int, change: tuple[str, str], count: int = 1, first: int = 0) -> None:
    worker.shell(PUSHES.format(registry=registry, change=change, first=first, last=first + count))


def state(worker: RealWorker, table: str, key: Any) -> str:
    ((found,),) = worker.rows(f"SELECT state FROM {table} WHERE id = {key}")
    return str(found)


def test_registries_whose_lists_never_end_keep_nobody_waiting(
    real_worker: RealWorker, servers: list[FakeRegistry]
) -> None:
    for server in servers[:2]:
        server.fail(tags, endless)
    keys = add(real_worker, servers)
    real_worker.start()
    begun = begin(real_worker, (keys[0], "manual"), (keys[1], "manual"))
    for run in begun:
        wait_for(lambda run=run: state(real_worker, "registries_syncrun", run) == "running", what="an endless sync")
    export = int(real_worker.shell(EXPORT.format()))
    nightly, by_hand = begin(real_worker, (keys[2], "nightly"), (keys[3], "manual"))
    ((ticks,),) = real_worker.rows(TICKS)
    wait_for(lambda: state(real_worker, "console_export", export) == "succeeded", what="the export")
    wait_for(lambda: state(real_worker, "registries_syncrun", by_hand) == "succeeded", what="the sync by hand")
    wait_for(lambda: state(real_worker, "registries_syncrun", nightly) == "succeeded", what="the nightly sync")
    wait_for(lambda: real_worker.rows(TICKS)[0][0] > ticks, seconds=150, what="the tick")
    assert {state(real_worker, "registries_syncrun", run) for run in begun} <= {"running", "queued"}, "in their places"
    assert real_worker.stop() == 0


def test_more_long_syncs_than_there_are_places_leave_one_to_who_waits(
    real_worker: RealWorker, servers: list[FakeRegistry]
) -> None:
    real_worker.environment["TALLYMAN_QUICK_WORKERS"] = "1"  # three syncs at a time
    for server in servers[:3]:
        server.fail(tags, endless)
    keys = add(real_worker, servers)
    real_worker.start()
    begun = begin(real_worker, *((key, "nightly") for key in keys[:3]))
    for run in begun:
        wait_for(lambda run=run: state(real_worker, "registries_syncrun", run) == "running", what="an endless sync")
    (by_hand,) = begin(real_worker, (keys[3], "manual"))
    wait_for(lambda: state(real_worker, "registries_syncrun", by_hand) == "succeeded", what="the sync by hand")
    states = sorted(state(real_worker, "registries_syncrun", run) for run in begun)
    assert states.count("running") >= 1, states
    assert "go first" in str(real_worker.rows("SELECT reason FROM registries_syncrun ORDER BY id"))


def test_a_push_is_in_the_inventory_though_no_reaper_helps(
    real_worker: RealWorker, servers: list[FakeRegistry]
) -> None:
    real_worker.environment["DJANGO_SETTINGS_MODULE"] = "tests.isolation.worker_settings"
    (key,) = add(real_worker, servers[:1])
    real_worker.start()
    wait_for(lambda: real_worker.rows("SELECT 1 FROM console_healthprobe WHERE state = 'succeeded'"), what="the worker")
    for count in (1, 2):  # one alone, then one more, long after the worker has done the first
        report(real_worker, key, ("team/app", "1.0" if count == 1 else "2.0"))
        wait_for(lambda count=count: len(real_worker.rows("SELECT 1 FROM inventory_tag")) == count, what="the row")
        images.image({"etc/os-release": b"ID=debian\n", "n": b"2"}).put(servers[0], "team/app", "2.0")
    events = "SELECT state, attempt FROM registries_pushevent"
    wait_for(lambda: real_worker.rows(events) == [("succeeded", 1)] * 2, what="the end of both, at once")


def test_thousands_of_events_of_one_registry_are_bounded_and_keep_nobody_waiting(
    real_worker: RealWorker, servers: list[FakeRegistry]
) -> None:
    noisy, quiet, other = servers[:3]
    keys = add(real_worker, [noisy, quiet, other])
    noisy.fail(anything, silence)
    real_worker.start()
    report(real_worker, keys[0], ("team/r{}", "t{}"), count=5000)
    ((waiting,),) = real_worker.rows(f"SELECT count(*) FROM registries_pushevent WHERE registry_id = {keys[0]}")
    assert waiting <= 102
    report(real_worker, keys[1], ("team/app", "1.0"))
    (by_hand,) = begin(real_worker, (keys[2], "manual"))
    export = int(real_worker.shell(EXPORT.format()))
    pushed = f"SELECT state FROM registries_pushevent WHERE registry_id = {keys[1]}"
    wait_for(lambda: state(real_worker, "registries_syncrun", by_hand) == "succeeded", what="the sync by hand")
    wait_for(lambda: real_worker.rows(pushed) == [("succeeded",)], what="the push of the other registry")
    wait_for(lambda: state(real_worker, "console_export", export) == "succeeded", what="the export")
    left = f"SELECT 1 FROM registries_pushevent WHERE registry_id = {keys[0]} AND state IN ('queued', 'running')"
    assert real_worker.rows(left), "those of the registry that says nothing wait still"

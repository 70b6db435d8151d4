"""Registries beside each other with real workers: one that is silent or over its limit holds up no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from console.i18n.message_codes import Message
from tests.console.jobs.conftest import RealWorker, real_worker, wait_for
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, blob, silence
from tests.scanning.execution.test_pipeline import DEBIAN
from tests.scanning.test_life import CANCEL

__all__ = ["real_worker"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

IMAGES = 4
ADD = """
from inventory import tasks
from inventory.models import Tag
from registries.models import Registry
from registries.sync_requests.start import start_sync
from demo.vulndb import install_demo_vulndb as install_demo_database
from scanning.runs.start import scan_now
install_demo_database()
for name, url, limit in {registries!r}:
    registry = Registry.objects.create(name=name, address=url, limit=limit)
    (run,) = start_sync(registries=[registry]).runs
    tasks.sync(run.pk)
"""
QUEUE = """
from inventory.models import Tag
from scanning.runs.start import scan_now
for name in {names!r}:
    tags = Tag.objects.filter(repository__registry__name=name).values_list("pk", flat=True)
    scan_now(tag_ids=tags, requested_by=None, priority=30, categories=["malware"])
"""
OF = (
    "SELECT scanning_scan.{} FROM scanning_scan JOIN registries_registry ON registry_id = registries_registry.id"
    " WHERE name = '{}'"
)
GIVES_WAY = "silent does not respond. Scans of other registries go first."


@pytest.fixture
def silent() -> Iterator[FakeRegistry]:
    """A registry that answers everything but the top layers of its images, whose base others have too."""
    with FakeRegistry() as server:
        for image in put(server, "silent"):
            server.fail(blob(image.layers[1].digest), silence)
        yield server


@pytest.fixture
def quick() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        put(server, "quick")
        yield server


def put(server: FakeRegistry, name: str) -> list[images.Image]:
    made = [images.image(DEBIAN, {"of": f"{name} {number}".encode()}) for number in range(IMAGES)]
    for number, image in enumerate(made):
        image.put(server, "team/app", str(number))
    return made


def states(worker: RealWorker, registry: str) -> list[str]:
    return [str(row[0]) for row in worker.rows(OF.format("state", registry))]


def reasons(worker: RealWorker, registry: str) -> set[str]:
    """Why the queued scans of ``registry`` wait, where a reason is given."""
    rows = worker.rows(OF.format("reason", registry) + " AND scanning_scan.state = 'queued'")
    return {str(Message.from_stored(str(row[0]))) for row in rows if row[0]}


def all_done(worker: RealWorker, registry: str) -> bool:
    return states(worker, registry) == ["succeeded"] * IMAGES


def cancelled(worker: RealWorker) -> None:
    worker.shell(CANCEL)
    wait_for(lambda: not {"queued", "running"} & set(states(worker, "silent")), what="the cancel")


def test_a_registry_that_is_silent_or_over_its_limit_holds_up_no_other(
    real_worker: RealWorker, silent: FakeRegistry, quick: FakeRegistry
) -> None:
    with FakeRegistry() as limited:
        put(limited, "limited")
        registries = [("silent", silent.url, None), ("limited", limited.url, 1), ("quick", quick.url, None)]
        names = [name for name, _url, _limit in registries]
        real_worker.shell(ADD.format(registries=registries) + QUEUE.format(names=names))
        real_worker.start()
        wait_for(lambda: all_done(real_worker, "quick"), what="the quick registry's scans")
        # Their base was claimed by a scan of the silent one, which let it go before it timed out.
        assert real_worker.rows(OF.format("retried", "silent") + " AND retried") == []
        wait_for(lambda: states(real_worker, "limited").count("succeeded") == 1, what="the one that may")
        assert reasons(real_worker, "limited") == {"Waiting for the hourly limit of limited."}
        cancelled(real_worker)


def test_a_registry_that_is_silent_and_had_all_places_gives_them_back_to_others(
    real_worker: RealWorker, silent: FakeRegistry, quick: FakeRegistry
) -> None:
    registries = [("silent", silent.url, None), ("quick", quick.url, None)]
    real_worker.shell(ADD.format(registries=registries) + QUEUE.format(names=["silent"]))
    real_worker.start()
    wait_for(lambda: states(real_worker, "silent").count("running") == 2, what="a silent scan in each place")
    real_worker.shell(QUEUE.format(names=["quick"]))
    wait_for(lambda: all_done(real_worker, "quick"), what="the quick registry's scans")
    assert reasons(real_worker, "silent") == {GIVES_WAY}  # and none has timed out
    assert states(real_worker, "silent").count("running") <= 1
    cancelled(real_worker)

"""A scan for whose layers there is no room: it waits in the queue, says so, and is done when there is room."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError

from console.jobs.models import State
from inventory.models import Image, Tag
from registries.models import Registry
from scanning import configured_engines
from scanning.execution import pipeline
from scanning.execution.context import ScanContext
from scanning.execution.steps.store_results import store_results
from scanning.layers import LayerStore, space
from scanning.models import CategoryResult
from tests.fakes.registry import FakeRegistry
from tests.scanning.conftest import layer_files, run_until_final, scan, sync
from tests.scanning.execution.test_pipeline import DEBIAN, put

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> LayerStore:
    """A store of 100 MiB, in which nobody waits for long."""
    monkeypatch.setattr(space, "EMPTY_ROOM_WAIT_SECONDS", 0.1)
    store = LayerStore(Path(settings.DATA_DIR) / "layers", max_bytes=100 << 20, min_free_ratio=0)
    monkeypatch.setattr(configured_engines, "layer_store", lambda: store)
    return store


def test_a_scan_waits_in_the_queue_while_others_hold_the_room(
    fake: FakeRegistry, registry: Registry, store: LayerStore
) -> None:
    put(fake, DEBIAN)
    sync(registry)
    with store.lease("scan-0-1", source="other") as other:
        file = other._folder / ("sha256-" + "0" * 64)
        file.touch()
        layer = store.layers / file.name
        layer.mkdir(parents=True)
        with (layer / file.name).open("wb") as held:
            held.truncate(100 << 20)
        waiting = scan(Tag.objects.get())
        assert (waiting.state, waiting.reason) == (State.QUEUED, "Waiting for space in the layer store.")
        assert not waiting.retried
        image = Image.objects.get()
        assert (image.scan_state, image.scan_reason) == ("queued", "Waiting for space in the layer store.")
    assert run_until_final(waiting).state == State.SUCCEEDED
    assert layer_files() == []


def test_a_scan_whose_results_the_database_does_not_take_is_done_again(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fake, DEBIAN)
    sync(registry)
    calls: list[int] = []

    def store_fails(context: ScanContext) -> None:
        if not calls:
            calls.append(1)
            raise OperationalError("the database system is shutting down")
        store_results(context)

    steps = [store_fails if step is store_results else step for step in pipeline.STEPS]
    monkeypatch.setattr(pipeline, "STEPS", tuple(steps))
    first = scan(Tag.objects.get())
    assert (first.state, first.reason) == (State.QUEUED, "The database did not respond; the job starts again.")
    assert run_until_final(first).state == State.SUCCEEDED
    assert CategoryResult.objects.filter(outcome="done").count() == 3

"""A pull that stands still keeps nobody from the layer: neither from looking at it nor from pulling it elsewhere."""

from __future__ import annotations

import gzip
import io
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from django.utils import timezone

from console.jobs.errors import Postponed
from console.jobs.job_run import JobRun
from console.jobs.models import Priority
from registries.models import Registry
from scanning.execution.preemption import PreemptionCheck
from scanning.layers import LayerStore, StoredLayerFile
from scanning.models import Scan, ScanStage
from tests import factories
from tests.scanning.layers.test_layer_store import CONTENT, Blob, get, left
from tests.scanning.test_lanes import HERE, queued

STILL = 0.2  # seconds


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LayerStore]:
    store = LayerStore(tmp_path / "store", max_bytes=1 << 30, min_free_ratio=0.0)
    yield store
    assert left(store) == []


class Standing:
    """A pull that has come to nothing until it is told to go on."""

    def __init__(self, blob: Blob) -> None:
        self.blob, self.asked, self.go_on = blob, threading.Event(), threading.Event()

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        self.asked.set()
        assert self.go_on.wait(60)
        self.blob.pulls += 1
        yield io.BytesIO(self.blob.content)


def pull(store: LayerStore, pulled: Standing) -> StoredLayerFile:
    with store.lease("scan-1-1", source="silent") as lease:
        return get(lease, pulled.blob, opened=pulled.open)


def test_a_pull_holds_up_nobody_who_pulls_the_layer_from_another_registry(store: LayerStore) -> None:
    standing, blob = Standing(Blob(gzip.compress(CONTENT))), Blob(gzip.compress(CONTENT))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(pull, store, standing)
        assert standing.asked.wait(60)
        try:
            with store.lease("scan-2-1", source="quick") as lease:
                file = get(lease, blob)
                assert file.path.read_bytes() == CONTENT
                assert get(lease, blob) == file
                with store.lease("scan-3-1", source="quick") as another:
                    assert get(another, blob) == file  # what one has pulled is good for all of its registry
            assert blob.pulls == 1
        finally:
            standing.go_on.set()
        assert first.result(60).diff_id == file.diff_id


def test_who_looks_at_a_layer_of_one_registry_keeps_nobody_from_that_of_another(store: LayerStore) -> None:
    with store.claims(["sha256:a"], source="1") as mine, store.claims(["sha256:a"], source="2") as theirs:
        assert mine.held == theirs.held == {"sha256:a"}
        with store.claims(["sha256:a"], source="1") as third:
            assert not third.held


def test_the_same_registry_is_not_asked_for_it_twice(store: LayerStore) -> None:
    standing, blob = Standing(Blob(gzip.compress(CONTENT))), Blob(gzip.compress(CONTENT))
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 5 * STILL:
            standing.go_on.set()

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(pull, store, standing)
        assert standing.asked.wait(60)
        with store.lease("scan-2-1", source="silent") as lease:
            get(lease, blob, check=check)
        first.result(60)
    assert standing.go_on.is_set()  # it was waited for
    assert blob.pulls + standing.blob.pulls <= 2


def test_claims_that_are_let_go_can_be_had_by_others_at_once(store: LayerStore) -> None:
    with store.claims(["sha256:a", "sha256:b"]) as mine:
        with store.claims(["sha256:a"]) as theirs:
            assert "sha256:a" not in theirs
        mine.release_claims()
        with store.claims(["sha256:a"]) as theirs:
            assert "sha256:a" in theirs
            mine.release_claims()
            with store.claims(["sha256:a"]) as third:
                assert "sha256:a" not in third


@pytest.fixture
def run(settings: Any) -> JobRun[Scan]:
    """A scan at work on this machine beside another one of its registry."""
    settings.SCAN_STALL_SECONDS = 0.05
    scan = queued(factories.registry(), **HERE)
    queued(scan.registry, **HERE)  # type: ignore[arg-type]
    return JobRun(scan)


def wait_for_nothing(check: PreemptionCheck) -> None:
    """Wait for a connection, as long as a stall takes."""
    ends = time.monotonic() + 0.3
    while time.monotonic() < ends:
        check.on_network()
        time.sleep(0.01)


@pytest.mark.django_db
def test_a_scan_whose_pull_stands_still_lets_go_what_it_has_claimed_and_goes_on(run: JobRun[Scan]) -> None:
    check, gone = PreemptionCheck(run), list[bool]()
    check.release_claims = lambda: gone.append(True)
    wait_for_nothing(check)
    assert gone
    assert Registry.objects.get().slow_until > timezone.now()  # type: ignore[operator]


@pytest.mark.django_db
def test_it_goes_back_into_the_queue_where_others_wait_for_its_place(run: JobRun[Scan]) -> None:
    queued(factories.registry())
    with pytest.raises(Postponed, match="Scans of other registries go first"):
        wait_for_nothing(PreemptionCheck(run))


@pytest.mark.django_db
def test_a_pull_that_flows_and_work_without_the_network_are_no_stall(run: JobRun[Scan]) -> None:
    queued(factories.registry())
    check = PreemptionCheck(run)
    ends = time.monotonic() + 0.3
    while time.monotonic() < ends:
        check.on_network()
        check.note_progress()
        check()
    time.sleep(0.1)
    check()
    assert Registry.objects.filter(slow_until=None).count() == 2


@pytest.mark.django_db
def test_a_pull_that_takes_long_leaves_its_place_to_a_registry_that_has_none(run: JobRun[Scan], settings: Any) -> None:
    settings.SCAN_STALL_SECONDS, settings.SCAN_SHARE_SECONDS = 60, 0.1
    Scan.objects.filter(registry=run.job.registry).update(stage=ScanStage.PULLING)
    Scan.objects.exclude(pk=run.job.pk).update(priority=Priority.MANUAL)  # not that one
    check = PreemptionCheck(run)
    wait_for_nothing(check)  # nobody waits
    queued(factories.registry())
    wait_for_nothing(check)  # it has looked a moment ago
    run.has_successor = lambda: False  # the worker takes no more scans
    wait_for_nothing(PreemptionCheck(run))
    run.has_successor = lambda: True
    with pytest.raises(Postponed, match="take long"):
        wait_for_nothing(PreemptionCheck(run))
    assert not Registry.objects.exclude(slow_until=None).exists()  # that is another thing

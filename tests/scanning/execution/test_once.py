"""One scan for each image ID, whoever holds it; one look at each layer, by whichever worker."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from console.jobs import broker, job_run
from console.jobs.models import State
from inventory.content import layer_proof
from inventory.models import Image, Tag
from registries.models import Registry
from scanning import configured_engines, tasks
from scanning.engines.base import LayerReport, StopCheck
from scanning.engines.yara.engine import Yara
from scanning.models import LayerResult, MalwareFinding, Scan
from scanning.runs import monthly_quota
from scanning.runs.start import scan_now
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, SlowBody, blob
from tests.scanning.conftest import layer_files, scan, sync
from tests.scanning.execution.test_pipeline import DEBIAN, EICAR, put

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The layers that the malware engine has read."""
    paths: list[Path] = []
    engine = configured_engines.yara()

    def scan_layer(path: Path, *, check: StopCheck) -> LayerReport:
        paths.append(path)
        return Yara.scan_layer(engine, path, check=check)

    monkeypatch.setattr(engine, "scan_layer", scan_layer)
    return paths


@pytest.fixture
def other(fake: FakeRegistry, registry: Registry) -> Iterator[tuple[FakeRegistry, Registry]]:
    """A second registry."""
    with FakeRegistry() as server:
        yield server, Registry.objects.create(name="other", type=Registry.Type.OCI, address=server.url)


def test_a_scan_that_waits_for_the_malware_engine_alone_says_so(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    said = threading.Event()
    engine, changed = configured_engines.yara(), Scan.progress_changed

    def scan_layer(path: Path, *, check: StopCheck) -> LayerReport:
        assert said.wait(120)
        return Yara.scan_layer(engine, path, check=check)

    def progress_changed(scan: Scan) -> None:
        changed(scan)
        shown.append(Image.objects.get().scan_stage)
        if scan.stage == "reading":
            said.set()

    monkeypatch.setattr(engine, "scan_layer", scan_layer)
    monkeypatch.setattr(Scan, "progress_changed", progress_changed)
    monkeypatch.setattr(job_run, "STAGE_INTERVAL_SECONDS", 0)
    put(fake, DEBIAN)
    sync(registry)
    assert scan(Tag.objects.get()).state == State.SUCCEEDED
    assert shown[-1] == "scanning for viruses and trojans"
    assert "analysing" in shown


def test_two_tags_of_one_image_share_one_scan(fake: FakeRegistry, registry: Registry) -> None:
    image = put(fake, DEBIAN, tag="1.0")
    image.put(fake, "team/app", "latest")
    sync(registry)
    result = scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None)
    assert (len(result.queued), result.tags, result.skipped) == (1, 2, [])
    again = scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None)
    assert [skipped.why for skipped in again.skipped] == ["Already scanning"] * 2


def test_tags_manifests_and_registries_that_hold_one_image_take_one_unit_of_quota_and_come_to_share_it(
    fake: FakeRegistry, registry: Registry, other: tuple[FakeRegistry, Registry]
) -> None:
    files = DEBIAN, {"srv/eicar.com": EICAR}
    image = put(fake, *files, tag="1.0")
    image.put(fake, "team/copy", "latest")
    for number in range(46):
        image.put(fake, "team/app", f"also-{number}")
    repacked = images.image(*(images.layer(each, "zstd") for each in files))
    assert repacked.image_id == image.image_id
    assert repacked.digest != image.digest
    repacked.put(fake, "team/app", "repacked")
    image.put(other[0], "mirror/app", "1.0")
    sync(registry)
    sync(other[1])
    monthly_quota.set_limit(1)
    result = scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None)
    assert (len(result.queued), result.tags, result.skipped) == (3, 50, [])  # by manifest and registry
    for queued in result.queued:
        tasks.scan(queued.pk)
    assert set(Scan.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
    left = monthly_quota.read_quota()
    assert left is not None
    assert (left.used, left.left) == (1, 0)
    (shared,) = Image.objects.filter(tags__isnull=False).distinct()
    assert (shared.is_shared, shared.image_id, shared.tags.count()) == (True, image.image_id, 50)
    assert (shared.scan_state, shared.malware) == (Image.ScanState.SCANNED, 1)
    assert set(Scan.objects.values_list("image", flat=True)) == {shared.pk}
    monthly_quota.set_limit(None)
    again = scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None)
    assert (len(again.queued), again.tags) == (1, 50)
    tasks.scan(again.queued[0].pk)
    assert MalwareFinding.objects.filter(image=shared).count() == 1


def test_a_base_that_two_images_share_is_pulled_once(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, DEBIAN, {"a": b"a"}, tag="a")
    put(fake, DEBIAN, {"b": b"b"}, tag="b")
    sync(registry)
    first, second = (scan(tag) for tag in Tag.objects.order_by("name"))
    assert (first.layers_pulled, second.layers_pulled, second.layers_known) == (2, 1, 1)
    assert LayerResult.objects.filter(engine="yara").count() == 3
    assert LayerResult.objects.filter(engine="trivy").count() == 3


def test_a_layer_that_one_registry_has_given_is_read_once_and_another_shows_that_it_holds_it(
    fake: FakeRegistry, registry: Registry, other: tuple[FakeRegistry, Registry], read: list[Path]
) -> None:
    large = {**DEBIAN, "large": random.Random(1).randbytes(500_000)}
    base = put(fake, large, {"a": b"a"}, tag="a").layers[0]
    put(other[0], large, {"b": b"b"}, tag="b")
    put(other[0], large, {"c": b"c"}, tag="c")
    sync(registry)
    sync(other[1])
    first, second, third = (scan(tag) for tag in Tag.objects.order_by("name"))
    assert (first.layers_pulled, second.layers_pulled, second.layers_known) == (2, 1, 1)
    asked = other[0].requests(blob(base.digest), method="GET")
    assert len(asked) == layer_proof.SAMPLE_COUNT
    assert all("range" in request.headers for request in asked)
    assert (third.layers_pulled, third.layers_known, len(read)) == (1, 1, 4)


def test_other_rules_have_every_layer_read_again_once(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch, read: list[Path]
) -> None:
    put(fake, DEBIAN, {"a": b"a"})
    sync(registry)
    tag = Tag.objects.get()
    scan(tag)
    monkeypatch.setattr(configured_engines.yara(), "version", lambda: "of another day")
    again, third = scan(tag), scan(tag)
    assert (again.layers_pulled, third.layers_pulled) == (2, 0)
    assert len(read) == 4


def test_a_shared_layer_is_let_go_while_a_layer_above_it_is_still_on_its_way(
    fake: FakeRegistry, registry: Registry, read: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scanning.execution.steps.pull_layers.PULL_WAIT_SECONDS", 0.1)
    slow = put(fake, DEBIAN, {"slow": b"slow" * 1000}, tag="slow").layers[1]
    sync(registry)
    fake.fail(blob(slow.digest), SlowBody(pause=60.0), times=1)
    first = scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None).queued[0]
    stuck = threading.Thread(target=lambda: (tasks.scan(first.pk), connection.close()))
    stuck.start()
    try:
        while not LayerResult.objects.filter(engine="trivy").exists():
            time.sleep(0.05)
        put(fake, DEBIAN, {"b": b"b"}, tag="b")
        sync(registry)
        ended = scan(Tag.objects.get(name="b"))
        assert (ended.state, ended.layers_pulled, ended.layers_known) == (State.SUCCEEDED, 1, 1)
        first.refresh_from_db()
        assert first.state == State.RUNNING
    finally:
        broker.request_cancel(first)
        stuck.join(60)
    assert not stuck.is_alive()
    assert len(read) == 2
    assert not layer_files()


def test_who_waits_for_a_shared_layer_goes_on_when_it_is_looked_at_and_not_when_that_scan_ends(
    fake: FakeRegistry,
    registry: Registry,
    read: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    settings.SCAN_STALL_SECONDS = float("inf")  # a slow registry lets go of everything; this one is not slow
    monkeypatch.setattr("scanning.execution.steps.pull_layers.PULL_WAIT_SECONDS", 0.1)
    engine, waits, changed = configured_engines.yara(), threading.Event(), Scan.progress_changed
    reads = engine.scan_layer

    def scan_layer(path: Path, *, check: StopCheck) -> LayerReport:
        if not read:  # the shared layer, before anything is known of it
            assert waits.wait(100)
        return reads(path, check=check)

    def progress_changed(scan: Scan) -> None:
        changed(scan)
        if scan.stage == "waiting":
            waits.set()

    monkeypatch.setattr(engine, "scan_layer", scan_layer)
    monkeypatch.setattr(Scan, "progress_changed", progress_changed)
    slow = put(fake, DEBIAN, {"slow": b"slow" * 1000}, tag="slow").layers
    put(fake, DEBIAN, tag="waits")
    sync(registry)
    fake.fail(blob(slow[1].digest), SlowBody(pause=60.0), times=1)
    first, second = (scan_now(tag_ids=[tag.pk], requested_by=None).queued[0] for tag in Tag.objects.order_by("name"))
    threads = [
        threading.Thread(target=lambda job=job: (tasks.scan(job.pk), connection.close())) for job in (first, second)
    ]
    threads[0].start()
    try:
        while not fake.requests(blob(slow[0].digest), method="GET"):
            time.sleep(0.05)
        threads[1].start()
        threads[1].join(100)
        second.refresh_from_db()
        first.refresh_from_db()
        assert (second.state, second.layers_pulled) == (State.SUCCEEDED, 0)
        assert first.state == State.RUNNING
    finally:
        broker.request_cancel(first)
        broker.request_cancel(second)
        for thread in threads:
            thread.join(60)
    assert waits.is_set()
    assert len(read) == 1


def test_two_workers_look_at_a_shared_layer_once(fake: FakeRegistry, registry: Registry, read: list[Path]) -> None:
    base = put(fake, DEBIAN, {"a": b"a"}, tag="a").layers[0]
    put(fake, DEBIAN, {"b": b"b"}, tag="b")
    sync(registry)
    fake.fail(blob(base.digest), SlowBody(pause=0.002), times=1)
    scans = scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None).queued

    def worker(scan_id: int) -> None:
        tasks.scan(scan_id)
        connection.close()

    threads = [threading.Thread(target=worker, args=(each.pk,)) for each in scans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Scan.objects.values_list("state", flat=True)) == {State.SUCCEEDED}
    assert len(read) == 3
    assert len(fake.requests(blob(base.digest), method="GET")) == 1
    assert sorted(Scan.objects.values_list("layers_pulled", flat=True)) == [1, 2]
    assert not layer_files()

"""The life of scans in real workers: cancelled at once, timed out, tried again once, and nothing left behind."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.i18n.message_codes import Message
from tests.console.jobs.conftest import RealWorker, processes_of_folder, real_worker, wait_for
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, FlippedBit, SlowBody, Status, blob, silence
from tests.scanning.execution.test_pipeline import DEBIAN, EICAR
from tests.scanning.execution.test_worker_killed import START, SYNC

__all__ = ["real_worker"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SCAN = "SELECT state, stage, progress_done, progress_total, reason, attempt FROM scanning_scan ORDER BY id DESC LIMIT 1"
CANCEL_SECONDS = 3
IMPORTS = """
from inventory.models import Tag
from scanning.runs.cancel import cancel
from scanning.runs.start import scan_now
"""
CANCEL = IMPORTS + "cancel()"
AGAIN = IMPORTS + "scan_now(tag_ids=[Tag.objects.get().pk], requested_by=None)"
CANCEL_THE_FIRST_RUN = """
from scanning.runs.cancel import cancel_run
from scanning.models import ScanRun
assert cancel_run(ScanRun.objects.get(pk=1)).passed_on == 1
"""
HANGING_TRIVY = """#!/bin/bash
PATH=/usr/bin:/bin
[ "$1" = --version ] && { echo '{"Version": "0.0.1"}'; exit; }
setsid sleep 86399 & sleep 86399
"""


@pytest.fixture
def fake() -> Iterator[tuple[FakeRegistry, images.Image]]:
    with FakeRegistry() as server:
        image = images.image(DEBIAN, {"srv/eicar.com": EICAR, "data": bytes(range(256)) * 8000})
        image.put(server, "team/app", "1.0")
        yield server, image


def state(worker: RealWorker) -> str:
    return str(worker.rows(SCAN)[0][0])


def clean(worker: RealWorker) -> bool:
    """Whether a scan has left nothing: no layer, no lease, no scratch folder, no engine."""
    store, scratch = worker.folder / "layers", worker.folder / "scratch"
    files = [path for path in store.rglob("*") if path.is_file() and path.stat().st_size]
    leases = list((store / "leases").glob("*")) if store.exists() else []
    engines = [
        line for line in processes_of_folder(worker.folder).values() if "sleep" in line or "supervisor.py" in line
    ]
    return not files and not leases and not engines and not list(scratch.glob("*"))


def cancelled_in_time(worker: RealWorker) -> None:
    """Cancel, and measure from the request to the end by the clock of the database."""
    worker.shell(CANCEL)
    (requested,) = worker.rows("SELECT strftime('%s', cancel_requested_at) FROM scanning_scan")[0]
    wait_for(lambda: state(worker) == "cancelled", seconds=20, what="the cancel")
    (ended,) = worker.rows("SELECT strftime('%s', ended_at) FROM scanning_scan")[0]
    assert int(ended) - int(requested) <= CANCEL_SECONDS
    wait_for(lambda: clean(worker), seconds=5, what="a clean disk")


def scanned_again(worker: RealWorker) -> None:
    worker.shell(AGAIN)
    wait_for(lambda: state(worker) not in {"queued", "running"}, what="the end of the second scan")
    assert worker.rows(SCAN)[0][0] == "succeeded", worker.rows(SCAN)
    assert worker.rows("SELECT path FROM scanning_malwarefinding") == [("srv/eicar.com",)]


def hang_in_trivy(worker: RealWorker, tmp_path: Path) -> None:
    """Give the worker a Trivy that never ends, nor a child that it has started in a session of its own."""
    program = tmp_path / "trivy-that-hangs"
    program.write_text(HANGING_TRIVY)
    program.chmod(0o700)
    worker.environment["TALLYMAN_TRIVY"] = str(program)


def hangs(folder: Path) -> bool:
    """Whether the child of that Trivy runs, which has a session of its own."""
    return any("sleep 86399" in line for line in processes_of_folder(folder).values())


def test_a_cancel_in_the_middle_of_a_pull_takes_seconds_and_the_image_can_be_scanned_again(
    real_worker: RealWorker, fake: tuple[FakeRegistry, images.Image]
) -> None:
    server, image = fake
    real_worker.shell(START.format(url=server.url))
    server.fail(blob(image.layers[1].digest), SlowBody(pause=0.03), times=1)
    real_worker.start()
    wait_for(lambda: (real_worker.rows(SCAN)[0][2] or 0) > 0, what="progress")
    _state, stage, done, total, *_rest = real_worker.rows(SCAN)[0]
    assert stage == "pulling"
    assert 0 < done < total == sum(len(layer.content) for layer in image.layers)
    (shown,) = real_worker.rows("SELECT scan_stage FROM inventory_image")[0]
    assert Message.from_stored(str(shown)).startswith("pulling 0 of ")
    real_worker.shell(AGAIN + CANCEL_THE_FIRST_RUN)
    assert real_worker.rows("SELECT run_id, state FROM scanning_scan") == [(2, "running")]
    time.sleep(CANCEL_SECONDS + 1)  # by then a scan that is to end has
    assert real_worker.rows("SELECT state, attempt, cancel_requested_at FROM scanning_scan") == [("running", 1, None)]
    cancelled_in_time(real_worker)
    counts = "SELECT images, cancelled, finished_at IS NOT NULL FROM scanning_scanrun ORDER BY id"
    assert real_worker.rows(counts) == [(0, 0, 1), (1, 1, 1)]
    scanned_again(real_worker)


def test_a_cancel_in_the_middle_of_a_registry_that_says_nothing_takes_seconds(
    real_worker: RealWorker, fake: tuple[FakeRegistry, images.Image]
) -> None:
    server, image = fake
    real_worker.shell(START.format(url=server.url))
    server.fail(blob(image.layers[1].digest), silence, times=1)
    real_worker.start()
    wait_for(lambda: server.requests(blob(image.layers[1].digest)), what="the pull")
    cancelled_in_time(real_worker)


def test_a_cancel_in_the_middle_of_trivy_ends_its_whole_process_group(
    real_worker: RealWorker, fake: tuple[FakeRegistry, images.Image], tmp_path: Path
) -> None:
    server, _image = fake
    real_worker.shell(START.format(url=server.url))
    hang_in_trivy(real_worker, tmp_path)
    real_worker.start()
    wait_for(lambda: hangs(tmp_path), what="Trivy")
    cancelled_in_time(real_worker)


def test_a_queued_scan_is_cancelled_at_once_without_any_worker(
    real_worker: RealWorker, fake: tuple[FakeRegistry, images.Image]
) -> None:
    real_worker.shell(START.format(url=fake[0].url) + CANCEL)
    assert state(real_worker) == "cancelled"
    assert real_worker.rows("SELECT scan_state FROM inventory_image") == [("cancelled",)]
    real_worker.start()
    scanned_again(real_worker)


def test_a_scan_that_takes_too_long_is_a_scan_exception_and_not_tried_again(
    real_worker: RealWorker, fake: tuple[FakeRegistry, images.Image]
) -> None:
    server, image = fake
    real_worker.shell(START.format(url=server.url) + "from scanning.models import Scan\nScan.objects.update(timeout=2)")
    server.fail(blob(image.layers[1].digest), SlowBody(pause=0.03), times=1)
    real_worker.start()
    wait_for(lambda: state(real_worker) == "failed", what="the timeout")
    *_rest, reason, attempt = real_worker.rows(SCAN)[0]
    assert "Timed out" in reason
    assert attempt == 1
    wait_for(lambda: clean(real_worker), seconds=5, what="a clean disk")
    scanned_again(real_worker)


def test_the_timeout_counts_over_the_analysis_too_and_ends_trivy(
    real_worker: RealWorker, fake: tuple[FakeRegistry, images.Image], tmp_path: Path
) -> None:
    real_worker.shell(
        START.format(url=fake[0].url) + "from scanning.models import Scan\nScan.objects.update(timeout=6)"
    )
    hang_in_trivy(real_worker, tmp_path)
    real_worker.start()
    wait_for(lambda: hangs(tmp_path), what="Trivy")
    wait_for(lambda: state(real_worker) == "failed", what="the timeout")
    assert "Timed out" in real_worker.rows(SCAN)[0][4]
    assert real_worker.rows(SCAN)[0][5] == 1
    wait_for(lambda: clean(real_worker), seconds=5, what="a clean disk")


def test_a_network_that_fails_is_tried_once_more_and_a_wrong_digest_is_not(
    real_worker: RealWorker, fake: tuple[FakeRegistry, images.Image]
) -> None:
    server, image = fake
    real_worker.shell(START.format(url=server.url))
    top = blob(image.layers[1].digest)
    server.fail(top, Status(500), times=100)
    real_worker.start()
    wait_for(lambda: state(real_worker) == "failed", what="the end of the first scan")
    assert real_worker.rows(SCAN)[0][5] == 2  # attempts
    server.heal()
    server.fail(top, FlippedBit(), times=100)
    before = len(server.requests(top))
    real_worker.shell(AGAIN)
    failed = "SELECT id FROM scanning_scan WHERE state = 'failed'"
    wait_for(lambda: len(real_worker.rows(failed)) == 2, what="the end")
    assert real_worker.rows(SCAN)[0][5] == 1
    assert "digest" in real_worker.rows(SCAN)[0][4]
    assert len(server.requests(top)) > before
    server.heal()
    scanned_again(real_worker)


def test_a_scan_by_hand_starts_within_seconds_while_all_places_are_taken(real_worker: RealWorker) -> None:
    with FakeRegistry() as server:
        made = [images.image(DEBIAN, {"number": bytes([number])}) for number in range(5)]
        made.append(images.image({**DEBIAN, "number": b"by hand"}))  # waits for no layer of theirs
        for number, image in enumerate(made):
            image.put(server, "team/app", str(number))
        tags = "tags = list(Tag.objects.order_by('name').values_list('pk', flat=True))\n"
        real_worker.shell(
            SYNC.format(url=server.url) + tags + "scan_now(tag_ids=tags[:5], requested_by=None, priority=30)"
        )
        for image in made[:5]:
            server.fail(blob(image.layers[1].digest), silence)
        real_worker.start()
        running = "SELECT count(*) FROM scanning_scan WHERE state = 'running'"
        wait_for(lambda: real_worker.rows(running) == [(2,)], what="two scans at work")
        time.sleep(1)
        assert real_worker.rows(running) == [(2,)]  # the third process is kept free
        real_worker.shell(IMPORTS + tags + "scan_now(tag_ids=tags[5:], requested_by=None)")
        done = "SELECT julianday(started_at) - julianday(queued_at) FROM scanning_scan WHERE state = 'succeeded'"
        ((days,),) = wait_for(lambda: real_worker.rows(done), what="the scan by hand")
        assert days * 86400 < 10

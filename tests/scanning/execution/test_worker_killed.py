"""A worker that is killed in the middle of a pull: the scan is completed by the next one, and nothing stays behind."""

from __future__ import annotations

import os
import signal

import pytest

from tests.console.jobs.conftest import RealWorker, real_worker, wait_for
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, SlowBody, blob
from tests.scanning.execution.test_pipeline import DEBIAN, EICAR

__all__ = ["real_worker"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SYNC = """
from pathlib import Path
from inventory import tasks
from inventory.models import Tag
from registries.models import Registry
from registries.sync_requests.start import start_sync
from demo.vulndb import install_demo_vulndb as install_demo_database
from scanning.runs.scan_now import scan_now
install_demo_database()
(run,) = start_sync(registries=[Registry.objects.create(name="fake", address="{url}")]).runs
tasks.sync(run.pk)
"""
START = SYNC + "scan_now(tag_ids=[Tag.objects.get().pk], requested_by=None)\n"
SCAN = "SELECT state, attempt, losses, stage, worker, reason FROM scanning_scan"


def test_a_scan_whose_worker_is_killed_in_the_middle_of_a_pull_is_completed(real_worker: RealWorker) -> None:
    with FakeRegistry() as fake:
        image = images.image(DEBIAN, {"srv/eicar.com": EICAR, "data": os.urandom(200_000)})
        image.put(fake, "team/app", "1.0")
        real_worker.shell(START.format(url=fake.url))
        fake.fail(blob(image.layers[1].digest), SlowBody(pause=0.01), times=1)
        real_worker.start()
        layers = real_worker.folder / "layers"

        def pulling() -> bool:
            rows = real_worker.rows(SCAN)
            return rows[0][0] == "running" and any(path.is_file() for path in layers.rglob("*"))

        wait_for(pulling, what="the pull")
        ((_state, _attempt, _losses, _stage, worker, _reason),) = real_worker.rows(SCAN)
        os.kill(int(worker.rpartition(":")[2]), signal.SIGKILL)
        wait_for(lambda: real_worker.rows(SCAN)[0][0] not in {"queued", "running"}, what="the end of the scan")
        assert real_worker.rows(SCAN)[0][:3] == ("succeeded", 2, 1), real_worker.rows(SCAN)
        assert real_worker.rows("SELECT path FROM scanning_malwarefinding") == [("srv/eicar.com",)]
        assert real_worker.rows("SELECT count(*) FROM scanning_packagevulnerability")[0][0] > 0
        left = [path for path in layers.rglob("*") if path.is_file() and path.stat().st_size]
        assert left == []
        assert list((real_worker.folder / "scratch").iterdir()) == []
        assert real_worker.stop() == 0

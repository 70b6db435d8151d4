"""A worker that is killed while it writes a part of a rematch: another takes it back, and nothing is there twice."""

from __future__ import annotations

import pytest

from tests.console.jobs.conftest import RealWorker, RestartableServer, postgres_server, real_worker, wait_for

__all__ = ["postgres_server", "real_worker"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

SCANNED = """
from pathlib import Path
from django.conf import settings
from registries.models import Registry
from tests.fakes.registry import FakeRegistry
from tests.scanning.rematch import test_run as of
folder = Path(settings.DATA_DIR)
of.install(folder / "old", 1, of.OLD)
with FakeRegistry() as fake:
    for tag in of.fleet(fake, Registry.objects.create(name="fake", address=fake.url)):
        of.scan(tag)
of.install(folder / "new", 2)
(folder / "kill").touch()
print(len(of.found()["matches"]))
of.rematch_run.start_rematch()
"""
COMPARED = """
from tests.scanning.rematch import test_run as of
job, after = of.Rematch.objects.get(), of.found()
of.PackageVulnerability.objects.all().delete()
of.PackageVariant.objects.update(matched_with="")
of.rematch_run.start_rematch()
of.work_off()
print(len(after["matches"]), job.new_matches, after == of.found())
"""
REMATCH = "SELECT state, attempt, losses, reason FROM scanning_rematch"


def taken_back(worker: RealWorker) -> None:
    before = int(worker.shell(SCANNED).split()[-1])
    worker.start()
    wait_for(lambda: worker.rows(REMATCH)[0][0] not in {"queued", "running"}, seconds=200, what="the end")
    assert worker.rows(REMATCH) == [("succeeded", 2, 1, "")]
    assert not (worker.folder / "kill").exists()
    assert worker.stop() == 0
    after, new, same = worker.shell(COMPARED).split()[-3:]
    assert int(after) > before
    assert int(new) == int(after) - before  # each is new once, whichever attempt has written it
    assert same == "True"


def test_a_rematch_whose_worker_is_killed_ends_as_if_nothing_had_been(real_worker: RealWorker) -> None:
    taken_back(real_worker)


def test_so_it_does_on_postgresql(real_worker: RealWorker, postgres_server: RestartableServer) -> None:
    taken_back(real_worker)

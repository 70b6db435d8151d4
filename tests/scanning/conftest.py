"""A registry over HTTP, its inventory, and a real vulnerability database to scan with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

from console.jobs.models import State
from demo.vulndb_build import build_demo_vulndb
from inventory import tasks as inventory_tasks
from inventory.models import Image, Tag
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync
from scanning import tasks
from scanning.models import Scan
from scanning.runs.scan_now import scan_now
from scanning.vulndb import install as vulndb_install
from tests.fakes.registry import FakeRegistry


@pytest.fixture
def vulnerability_database(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The small database that the project makes itself, in the data folder of this process: there for each test anew,
    since a test before it may have taken it away.
    """
    if vulndb_install.current_facts() is None:
        folder = tmp_path_factory.mktemp("database")
        build_demo_vulndb(folder)
        vulndb_install.install(folder)


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def registry(transactional_db: None, fake: FakeRegistry) -> Registry:
    return Registry.objects.create(name="fake", type=Registry.Type.OCI, address=fake.url)


def sync(registry: Registry) -> SyncRun:
    """Sync ``registry`` in this process, as a worker would."""
    (run,) = start_sync(registries=[registry]).runs
    inventory_tasks.sync(run.pk)
    run.refresh_from_db()
    return run


def scan(tag: Tag, *categories: str) -> Scan:
    """Scan the image behind ``tag`` in this process, as a worker would."""
    (queued,) = scan_now(
        tag_ids=[tag.pk], requested_by=None, **({"categories": categories} if categories else {})
    ).queued
    tasks.scan(queued.pk)
    queued.refresh_from_db()
    show_reason(queued)
    return queued


def run_until_final(scan: Scan) -> Scan:
    """Work on ``scan`` until it is final, without waiting out the pause before a second try."""
    for _ in range(3):
        Scan.objects.filter(pk=scan.pk, state=State.QUEUED).update(not_before=None)
        tasks.scan(scan.pk)
        scan.refresh_from_db()
        if scan.is_final:
            break
    show_reason(scan)
    return scan


def show_reason(scan: Scan) -> None:
    """Print why ``scan`` has not succeeded; pytest shows it where the test that asked for the scan fails."""
    if scan.state != State.SUCCEEDED:
        print(f"{scan} is {scan.state}: {scan.reason} {scan.remedy}")


def layer_files() -> list[Path]:
    """All files that the layer store holds now."""
    root = settings.DATA_DIR / "layers"
    return [path for path in root.rglob("*") if path.is_file() and path.stat().st_size] if root.exists() else []


def image_of(tag: Tag) -> Image:
    """The image of ``tag`` as the database has it now."""
    tag.refresh_from_db()
    assert tag.image_id is not None
    return Image.objects.get(pk=tag.image_id)

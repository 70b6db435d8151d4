"""A changed vulnerability database gives images new findings from their stored packages, with the real Trivy."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.jobs.models import State
from console.jobs.reap import recover
from inventory.models import Image, Tag
from registries.models import Registry
from scanning import database, installed, rematch, tasks
from scanning.demo.advisories import ADVISORIES
from scanning.demo.database import build_demo_database
from scanning.models import CategoryResult, Package, PackageVulnerability, Rematch, Vulnerability
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.scanning.conftest import scan, sync
from tests.scanning.engines.conftest import apk, dpkg, npm_package, python_package

pytestmark = pytest.mark.django_db(transaction=True)

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
OLD = tuple(one for one in ADVISORIES if not one.id.endswith(("1", "2", "3")))


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path / "data"
    installed.trivy.cache_clear()
    installed.layer_store.cache_clear()
    yield
    installed.trivy.cache_clear()
    installed.layer_store.cache_clear()


def install(folder: Path, day: int, advisories: Any = ADVISORIES) -> None:
    """Put a database in use that was built on ``day`` of November and knows ``advisories``."""
    build_demo_database(folder, tuple(advisories))
    metadata = json.loads((folder / "metadata.json").read_bytes())
    metadata |= {"UpdatedAt": f"2026-11-{day:02}T00:00:00Z", "Demo": False}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    database.install(folder)


def debian(release: str, *packages: tuple[str, str, str]) -> dict[str, bytes]:
    files = {"etc/os-release": BOOKWORM, "etc/debian_version": f"{release}\n", "var/lib/dpkg/status": dpkg(*packages)}
    return {path: text.encode() for path, text in files.items()}


def fleet(fake: FakeRegistry, registry: Registry) -> list[Tag]:
    """Images of two systems, with packages of theirs and of Python and Node, some the same in several."""
    python = {path: text.encode() for path, text in python_package("Django", "4.2.2").items()}
    node = {path: text.encode() for path, text in npm_package("lodash", "4.17.4").items()}
    expat, ssl = ("libexpat1", "expat", "2.5.0-1"), ("libssl3", "openssl", "3.0.9-1")
    other = debian("12.4", expat)
    other["var/lib/dpkg/status"] = other["var/lib/dpkg/status"].replace(b"Architecture: amd64", b"Architecture: i386")
    alpine = {
        "etc/alpine-release": b"3.18.2\n",
        "etc/os-release": b"ID=alpine\nVERSION_ID=3.18.2\n",
        "lib/apk/db/installed": apk(("busybox", "busybox", "1.36.1-r0"), ("libssl3", "openssl", "3.1.1-r1")).encode(),
    }
    for name, layers in {
        "a": [debian("12.4", expat, ssl), python],
        "b": [debian("12.6", expat), node],
        "c": [alpine, python, node],
        "d": [debian("12.6", ssl)],
        "e": [other],
    }.items():
        images.image(*layers).put(fake, f"team/{name}", "1.0")
    sync(registry)
    return list(Tag.objects.order_by("address"))


def found() -> dict[str, Any]:
    """All that is known of vulnerabilities, without what only tells when it was written."""
    matches = PackageVulnerability.objects.order_by("package__purl", "vulnerability__name").values_list(
        *("package__purl", "vulnerability__name", "severity", "severity_source", "fixed_version", "status", "url")
    )
    counts = Image.objects.order_by("image_id").values_list(
        *("image_id", "critical", "high", "medium", "low", "unknown", "fixable", "packages", "highest")
    )
    told = Vulnerability.objects.order_by("name").values_list("name", "title", "severity", "cvss_score", "description")
    results = CategoryResult.objects.filter(category="vulnerabilities").order_by("image__image_id")
    held = {match[1] for match in matches}
    return {
        "matches": list(matches),
        "counts": list(counts),
        "vulnerabilities": [one for one in told if one[0] in held],
        "results": list(results.values_list("outcome", "engine_version", "database_updated_at")),
    }


def work_off() -> Rematch:
    """Do the rematch that is queued."""
    (job,) = Rematch.objects.filter(state=State.QUEUED)
    tasks.rematch(job.pk)
    job.refresh_from_db()
    return job


def test_a_rematch_gives_exactly_what_a_fresh_scan_gives_and_pulls_nothing(
    fake: FakeRegistry, registry: Registry, tmp_path: Path
) -> None:
    install(tmp_path / "old", 1, OLD)
    tags = fleet(fake, registry)
    for tag in tags:
        scan(tag)
    before = found()
    install(tmp_path / "new", 2)
    asked = len(fake.requests())

    rematch.tick()
    job = work_off()

    assert (job.state, job.reason) == (State.SUCCEEDED, "")
    assert len(fake.requests()) == asked, "something was asked of the registry"
    after = found()
    assert len(after["matches"]) > len(before["matches"])
    assert job.new_matches == len(after["matches"]) - len(before["matches"])
    assert job.new_in_images == 5
    assert job.packages == Package.objects.count()
    PackageVulnerability.objects.all().delete()
    Vulnerability.objects.all().delete()
    for tag in tags:
        scan(tag)
    assert found() == after


def test_what_is_no_vulnerability_any_more_goes(fake: FakeRegistry, registry: Registry, tmp_path: Path) -> None:
    install(tmp_path / "full", 1)
    tags = fleet(fake, registry)
    for tag in tags:
        scan(tag)
    full = len(found()["matches"])
    install(tmp_path / "less", 2, OLD)
    rematch.start()
    job = work_off()
    left = found()
    assert job.gone_matches == full - len(left["matches"]) > 0
    assert job.new_matches == 0
    for tag in tags:
        scan(tag)
    assert found()["counts"] == left["counts"]

"""A changed vulnerability database gives images new findings from their stored packages, with the real Trivy."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from console.jobs.errors import Cancelled, LeaseLost
from console.jobs.job_run import JobRun
from console.jobs.models import State
from demo.advisories import ADVISORIES
from demo.vulndb_build import build_demo_vulndb
from inventory.models import Image, Tag
from registries.models import Registry
from scanning import alerts, configured_engines, tasks
from scanning.findings import counts, regression
from scanning.models import CategoryResult, PackageVariant, PackageVulnerability, Rematch, Vulnerability
from scanning.rematch import run as rematch_run
from scanning.vulndb import install as vulndb_install
from tests.fakes import images, systems
from tests.fakes.registry import FakeRegistry
from tests.fakes.trivy_reference import stored_findings, trivy_findings
from tests.people import person
from tests.scanning.conftest import scan, sync
from tests.scanning.engines.conftest import apk, dpkg, npm_package, python_package

pytestmark = pytest.mark.django_db(transaction=True)

BOOKWORM = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
HELD = {"expat", "openssl", "busybox", "django", "lodash"}
OLD = tuple(one for one in ADVISORIES if not one.id.endswith(("1", "2", "3")))


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, settings: Any) -> Iterator[None]:
    settings.DATA_DIR = tmp_path / "data"
    configured_engines.trivy.cache_clear()
    configured_engines.layer_store.cache_clear()
    yield
    configured_engines.trivy.cache_clear()
    configured_engines.layer_store.cache_clear()


def install(folder: Path, day: int, advisories: Any = ADVISORIES) -> None:
    """Put a database in use that was built on ``day`` of November and knows ``advisories``."""
    build_demo_vulndb(folder, tuple(advisories))
    metadata = json.loads((folder / "metadata.json").read_bytes())
    metadata |= {"UpdatedAt": f"2026-11-{day:02}T00:00:00Z", "Demo": False}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    vulndb_install.install(folder)


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

    rematch_run.tick()
    job = work_off()

    assert (job.state, job.reason) == (State.SUCCEEDED, "")
    assert len(fake.requests()) == asked, "something was asked of the registry"
    after = found()
    assert len(after["matches"]) > len(before["matches"])
    assert job.new_matches == len(after["matches"]) - len(before["matches"])
    assert job.new_in_images == 5
    assert job.packages == PackageVariant.objects.count()
    PackageVulnerability.objects.all().delete()
    Vulnerability.objects.all().delete()
    PackageVariant.objects.update(matched_with="0")
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
    rematch_run.start_rematch()
    job = work_off()
    left = found()
    assert job.gone_matches == full - len(left["matches"]) > 0
    assert job.new_matches == 0
    for tag in tags:
        scan(tag)
    assert found()["counts"] == left["counts"]


def scanned(fake: FakeRegistry, registry: Registry, tmp_path: Path) -> list[Tag]:
    """A fleet scanned with an old database, and a new one in use."""
    install(tmp_path / "old", 1, OLD)
    tags = fleet(fake, registry)
    for tag in tags:
        scan(tag)
    install(tmp_path / "new", 2)
    return tags


def test_a_rematch_that_is_broken_off_goes_on_where_it_was(
    fake: FakeRegistry, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned(fake, registry, tmp_path)
    monkeypatch.setattr(rematch_run, "CHUNK_PACKAGES", 2)
    job = rematch_run.start_rematch()
    assert job is not None
    marked: list[int] = []

    def mark(packages: Any, *, matched_with: str) -> None:
        if len(marked) == 3:
            raise LeaseLost
        marked.extend([len(packages)])
        real(packages, matched_with=matched_with)

    real = rematch_run.findings_store.mark_matched
    with monkeypatch.context() as broken:
        broken.setattr(rematch_run.findings_store, "mark_matched", mark)
        tasks.rematch(job.pk)
    done = PackageVariant.objects.filter(matched_with__startswith="20261102").count()
    assert 0 < done < PackageVariant.objects.count()
    Rematch.objects.filter(pk=job.pk).update(state=State.QUEUED)  # as the reaper does when the lease has run out
    job = work_off()
    assert (job.state, job.attempt) == (State.SUCCEEDED, 2)
    assert job.packages == PackageVariant.objects.count() - done, "what was matched is matched again"
    after = found()
    PackageVulnerability.objects.update(severity=1)
    PackageVariant.objects.update(matched_with="")
    rematch_run.start_rematch()
    again = work_off()
    assert again.packages == PackageVariant.objects.count()
    assert found() == after


def test_a_cancel_ends_it_and_what_was_written_shows(
    fake: FakeRegistry, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned(fake, registry, tmp_path)
    monkeypatch.setattr(rematch_run, "CHUNK_PACKAGES", 2)
    job = rematch_run.start_rematch()
    assert job is not None
    looks: list[int] = []

    def check(run: JobRun[Any]) -> None:
        looks.append(1)
        if PackageVariant.objects.filter(matched_with__startswith="20261102").exists():
            raise Cancelled

    monkeypatch.setattr(JobRun, "check", lambda run: check(run) if threading.current_thread() is main else None)
    main = threading.current_thread()
    tasks.rematch(job.pk)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert not list((Path(settings.DATA_DIR) / "scratch").glob("*"))
    monkeypatch.undo()
    shown = found()["counts"]
    counts.recount(Image.objects.values_list("pk", flat=True))
    assert found()["counts"] == shown
    rematch_run.tick()
    assert not Rematch.objects.filter(state=State.QUEUED).exists(), "a cancelled one starts again by itself"
    assert rematch_run.start_rematch() is not None


def test_a_scan_that_ends_with_the_database_before_is_made_good(
    fake: FakeRegistry, registry: Registry, tmp_path: Path
) -> None:
    (tag, *_others) = scanned(fake, registry, tmp_path)
    rematch_run.start_rematch()
    work_off()
    after = found()
    held = PackageVariant.objects.filter(image_packages__image=tag.image)
    PackageVulnerability.objects.filter(variant__in=held).delete()
    held.update(matched_with="20261101T000000Z")
    rematch_run.tick()
    job = work_off()
    assert job.packages == held.count()
    assert found()["matches"] == after["matches"]
    rematch_run.tick()
    assert not Rematch.objects.filter(state=State.QUEUED).exists()


def test_what_is_unchanged_is_not_written(fake: FakeRegistry, registry: Registry, tmp_path: Path) -> None:
    scanned(fake, registry, tmp_path)
    rematch_run.start_rematch()
    work_off()
    PackageVariant.objects.update(matched_with="")
    rematch_run.start_rematch()
    with CaptureQueriesContext(connection) as seen:
        job = work_off()
    assert (job.state, job.new_matches, job.gone_matches, job.images) == (State.SUCCEEDED, 0, 0, 0)
    written = [query["sql"] for query in seen if query["sql"].startswith(("INSERT", "UPDATE", "DELETE"))]
    assert not [sql for sql in written if "vulnerability" in sql.split("SET")[0] or "inventory_image" in sql]


def test_a_database_that_takes_everything_back_is_told(fake: FakeRegistry, registry: Registry, tmp_path: Path) -> None:
    install(tmp_path / "full", 1)
    for tag in fleet(fake, registry):
        scan(tag)
    most = Image.objects.order_by("-critical", "-high").first()
    assert most is not None
    number = most.vulnerabilities or 0
    assert number >= regression.MANY_ADVISORIES
    elsewhere = [one for one in ADVISORIES if not {of.package for of in one.affected} & HELD]
    install(tmp_path / "empty", 2, elsewhere)
    rematch_run.start_rematch()
    work_off()
    fallen = CategoryResult.objects.get(image=most, category="vulnerabilities")
    assert fallen.regressed_from == number
    assert "fell" in {signal.name for signal in alerts.coverage_alerts()}
    install(tmp_path / "again", 3)
    rematch_run.start_rematch()
    work_off()
    fallen.refresh_from_db()
    assert fallen.regressed_from == 0


@pytest.mark.parametrize("kind", [2, 3, 9, 10], ids=["root.io", "seal", "root.io on alpine", "rapidfort"])
def test_images_whose_makers_patch_packages_themselves_are_matched_as_theirs(
    fake: FakeRegistry, registry: Registry, tmp_path: Path, kind: int
) -> None:
    vulndb_install.install(systems.database(tmp_path / "old", day=1, less=True))
    patched = images.image(*systems.generate_image(kind))
    patched.put(fake, "team/patched", "1.0")
    sync(registry)
    scan(Tag.objects.get(), "vulnerabilities")
    before = stored_findings(patched.image_id)
    vulndb_install.install(systems.database(tmp_path / "new", day=2))
    rematch_run.tick()
    job = work_off()
    assert (job.state, job.reason) == (State.SUCCEEDED, "")
    after = stored_findings(patched.image_id)
    assert after == trivy_findings(patched)
    assert after[1] > before[1]


def test_the_page_tells_what_is_new_and_leads_to_the_images(
    fake: FakeRegistry, registry: Registry, tmp_path: Path, client: Client
) -> None:
    scanned(fake, registry, tmp_path)
    client.force_login(person("administrator"))
    client.post(reverse("scanning:start-rematch"))
    job = work_off()
    told = f"{job.new_matches} new in 5 images"
    page = client.get(reverse("inventory:image-list")).content.decode()
    assert told in page
    engines = client.get(reverse("scanning:engines")).content.decode()
    assert told in engines
    listed = client.get(reverse("scanning:rematch", args=[job.pk]))
    assert listed.context["page"].total.number == job.new_matches
    narrowed = client.get(reverse("inventory:image-list"), {"coverage": "new"})
    assert narrowed.context["page"].total.number == 5

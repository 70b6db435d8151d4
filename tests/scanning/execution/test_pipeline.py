"""From a registry over HTTP to findings, with real engines; and what a person reads when something is broken."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from django.conf import settings
from django.db import connection
from django.db.models import F
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from console.jobs.models import State
from inventory.models import Image, Tag
from registries.models import PullUnit, Registry
from registries.pull_limit import LIMIT_WINDOW
from scanning import scanners, tasks
from scanning.engines.base import EngineError
from scanning.engines.sandbox.client import SandboxClient
from scanning.models import (
    CategoryResult,
    ImagePackage,
    MalwareFinding,
    Package,
    PackageVariant,
    PackageVulnerability,
    Scan,
    SecretFinding,
    Vulnerability,
)
from scanning.runs.scan_now import scan_now
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, FlippedBit, Status, Truncate, blob, blobs, manifests, rate_limited
from tests.scanning.conftest import image_of, layer_files, run_until_final, scan, sync

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"
TOKEN = b"ghp_" + b"x7Kq9ZrT2mWvB4nYcH8sLdF1gJpE6uA3oQiR"
DEBIAN = {
    "etc/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    "etc/debian_version": b"12.6\n",
    "var/lib/dpkg/status": b"Package: libexpat1\nStatus: install ok installed\nArchitecture: amd64\n"
    b"Source: expat\nVersion: 2.5.0-1\nMaintainer: nobody\n\n",
}
FINDINGS = (ImagePackage, PackageVulnerability, SecretFinding, MalwareFinding)


def put(fake: FakeRegistry, *layers: dict[str, bytes], tag: str = "1.0", repository: str = "team/app") -> images.Image:
    image = images.image(*layers)
    image.put(fake, repository, tag)
    return image


def only_tag() -> Tag:
    return Tag.objects.get()


def test_a_scan_finds_what_was_planted_with_its_layer(fake: FakeRegistry, registry: Registry) -> None:
    image = put(fake, DEBIAN, {"srv/eicar.com": EICAR, "app/config.env": b"GITHUB_TOKEN=" + TOKEN + b"\n"})
    sync(registry)
    ended = scan(only_tag())
    assert (ended.state, ended.reason) == (State.SUCCEEDED, "")
    top = image.layers[1].diff_id
    (malware,) = MalwareFinding.objects.all()
    assert (malware.path, malware.diff_id, malware.size) == ("srv/eicar.com", top, len(EICAR))
    (secret,) = SecretFinding.objects.all()
    assert (secret.path.lstrip("/"), secret.diff_id) == ("app/config.env", top)
    assert TOKEN.decode() not in secret.masked
    assert len(secret.fingerprint) == 64
    package = ImagePackage.objects.select_related("package").get(package__name="libexpat1")
    assert package.diff_id == image.layers[0].diff_id
    assert PackageVulnerability.objects.filter(variant=package.variant).exists()
    summary = image_of(only_tag())
    assert summary.scan_state == Image.ScanState.SCANNED
    assert summary.os_name == "debian 12.6"
    assert (summary.sensitive, summary.malware, summary.packages) == (1, 1, 1)
    assert summary.vulnerabilities == PackageVulnerability.objects.count() > 0
    assert set(CategoryResult.objects.values_list("outcome", flat=True)) == {"done"}
    assert not layer_files()


def test_an_unchanged_rescan_writes_no_finding_rows_and_pulls_no_layer(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, DEBIAN, {"srv/eicar.com": EICAR, "app/config.env": b"GITHUB_TOKEN=" + TOKEN + b"\n"})
    sync(registry)
    scan(only_tag())
    before = [list(model.objects.order_by("pk").values()) for model in FINDINGS]
    assert all(before), "there is something to write of each kind"
    with CaptureQueriesContext(connection) as statements:
        again = scan(only_tag())
    assert (again.state, again.layers_pulled, again.layers_known) == (State.SUCCEEDED, 0, 2)
    assert [list(model.objects.order_by("pk").values()) for model in FINDINGS] == before
    tables = {model._meta.db_table for model in (*FINDINGS, Package, PackageVariant, Vulnerability)}
    writes = [re.match(r'(?:INSERT.* INTO|UPDATE|DELETE FROM) "(\w+)"', each["sql"]) for each in statements]
    written = [write[1] for write in writes if write]
    assert "scanning_scan" in written, "they are counted"
    assert [table for table in written if table in tables] == []


def test_a_category_that_was_not_asked_for_stays_unknown(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, DEBIAN)
    sync(registry)
    scan(only_tag(), "malware")
    summary = image_of(only_tag())
    assert (summary.malware, summary.vulnerabilities, summary.sensitive) == (0, None, None)


def exception(tag: Tag) -> Image:
    """Scan ``tag`` to a scan exception and return its image; the store must be empty and both texts there."""
    (queued,) = scan_now(tag_ids=[tag.pk], requested_by=None).queued
    ended = run_until_final(queued)
    image = image_of(tag)
    assert ended.state == State.FAILED
    assert image.scan_state == Image.ScanState.FAILED
    assert image.scan_reason
    assert image.scan_remedy
    assert not layer_files()
    return image


def test_a_truncated_blob_is_a_scan_exception(fake: FakeRegistry, registry: Registry) -> None:
    image = put(fake, DEBIAN)
    sync(registry)
    fake.fail(blob(image.layers[0].digest), Truncate(0.5), times=100)
    assert not exception(only_tag()).vulnerabilities
    fake.heal()
    assert scan(only_tag()).state == State.SUCCEEDED


def test_a_blob_with_a_wrong_digest_is_a_scan_exception(fake: FakeRegistry, registry: Registry) -> None:
    image = put(fake, DEBIAN)
    sync(registry)
    fake.fail(blob(image.layers[0].digest), FlippedBit(), times=100)
    assert "digest" in exception(only_tag()).scan_reason


def test_five_megabytes_of_nonsense_for_a_manifest_are_a_scan_exception(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, DEBIAN)
    sync(registry)
    fake.fail(manifests, Status(200, {"Content-Type": images.OCI_MANIFEST}, body=b"nonsense" * 655_360), times=100)
    exception(only_tag())


def test_401_and_then_500_is_a_scan_exception(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, DEBIAN)
    sync(registry)
    fake.fail(blobs, Status(401), times=1)
    fake.fail(blobs, Status(500), times=100)
    exception(only_tag())


def test_a_missing_trivy_fails_its_categories_and_keeps_the_result_of_the_other(
    fake: FakeRegistry, registry: Registry
) -> None:
    put(fake, DEBIAN, {"srv/eicar.com": EICAR})
    sync(registry)
    scanners.trivy.cache_clear()
    try:
        with override_settings(TRIVY="/nowhere/trivy"):
            image = exception(only_tag())
    finally:
        scanners.trivy.cache_clear()
    assert "/nowhere/trivy" in image.scan_reason + image.scan_remedy
    assert (image.malware, image.vulnerabilities) == (1, None)
    outcomes = dict(CategoryResult.objects.values_list("category", "outcome"))
    assert outcomes == {"malware": "done", "vulnerabilities": "failed", "sensitive": "failed"}


def test_a_layer_that_breaks_what_looks_for_malware_fails_that_alone(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fake, DEBIAN, {"app/config.env": b"GITHUB_TOKEN=" + TOKEN + b"\n"})
    sync(registry)
    monkeypatch.setattr(SandboxClient, "_ready_process", lambda *_: broken())
    image = exception(only_tag())
    assert "took it over" in image.scan_reason
    assert (image.malware, image.sensitive) == (None, 1)
    outcomes = dict(CategoryResult.objects.values_list("category", "outcome"))
    assert outcomes == {"malware": "failed", "vulnerabilities": "done", "sensitive": "done"}


def broken() -> None:
    raise EngineError("The layer took it over.", "Find out who pushed it.")


def test_a_missing_database_is_a_scan_exception_of_vulnerabilities_alone(
    fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(fake, DEBIAN, {"app/config.env": b"GITHUB_TOKEN=" + TOKEN + b"\n"})
    sync(registry)
    current = settings.DATA_DIR / "trivy" / "current"
    aside = current.with_name("aside")
    current.rename(aside)
    try:
        image = exception(only_tag())
    finally:
        aside.rename(current)
    assert "database" in image.scan_reason
    assert image.vulnerabilities is None


def test_findings_stay_when_a_later_scan_fails(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, DEBIAN)
    sync(registry)
    scan(only_tag())
    found = image_of(only_tag()).vulnerabilities
    fake.fail(manifests, Status(500), times=100)
    assert exception(only_tag()).vulnerabilities == found > 0


def test_a_scan_whose_worker_died_is_done_by_the_next_one(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, DEBIAN)
    sync(registry)
    (queued,) = scan_now(tag_ids=[only_tag().pk], requested_by=None).queued
    Scan.objects.filter(pk=queued.pk).update(state=State.RUNNING, attempt=1, lease_until="2020-01-01T00:00:00Z")
    from console.jobs.reaper import reap

    reap()
    assert run_until_final(queued).state == State.SUCCEEDED
    assert queued.losses == 1


def test_scans_over_the_hourly_limit_wait_visibly_and_go_on_by_themselves(
    fake: FakeRegistry, registry: Registry
) -> None:
    for number in range(3):
        put(fake, DEBIAN, {"number": str(number).encode()}, tag=str(number))
    Registry.objects.filter(pk=registry.pk).update(limit=1)
    sync(registry)
    assert not PullUnit.objects.exists()  # a sync of a limited registry counts nothing
    queued = scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None).queued
    for each in queued:
        tasks.scan(each.pk)
    states = Scan.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == [State.SUCCEEDED, State.QUEUED, State.QUEUED]
    second, third = Scan.objects.filter(state=State.QUEUED)
    assert "hourly limit of fake" in second.reason
    first_unit = PullUnit.objects.get().taken_at
    assert sorted([second.not_before, third.not_before]) == [first_unit + LIMIT_WINDOW, first_unit + 2 * LIMIT_WINDOW]
    for _ in range(2):
        PullUnit.objects.update(taken_at=F("taken_at") - LIMIT_WINDOW)
        Scan.objects.filter(state=State.QUEUED).update(not_before=F("not_before") - LIMIT_WINDOW)
        tasks.scan(second.pk)
    assert set(Scan.objects.values_list("state", flat=True)) == {State.SUCCEEDED}


def test_a_config_that_claims_a_known_layer_for_another_does_not_hide_it(
    fake: FakeRegistry, registry: Registry
) -> None:
    clean = put(fake, DEBIAN, tag="clean")
    sync(registry)
    scan(only_tag())
    evil = images.image({"srv/eicar.com": EICAR})
    lying = replace(evil, config=evil.config.replace(evil.layers[0].diff_id.encode(), clean.layers[0].diff_id.encode()))
    manifest = json.loads(evil.manifest)
    manifest["config"] = images.descriptor(lying.config, images.OCI_CONFIG)
    replace(lying, manifest=images.to_json(manifest)).put(fake, "team/app", "evil")
    sync(registry)
    (queued,) = scan_now(tag_ids=[Tag.objects.get(name="evil").pk], requested_by=None).queued
    ended = run_until_final(queued)
    assert ended.state == State.FAILED
    assert "Digest mismatch" in ended.reason
    assert not layer_files()


def test_a_registry_that_goes_on_asking_for_a_pause_gives_its_place_to_others(
    fake: FakeRegistry, registry: Registry
) -> None:
    put(fake, DEBIAN)
    sync(registry)
    fake.fail(manifests, rate_limited("1"), times=5)
    ended = scan(only_tag())
    assert (ended.state, ended.retried) == (State.QUEUED, False)
    assert ended.not_before is not None
    assert ended.reason
    fake.heal()
    assert run_until_final(ended).state == State.SUCCEEDED

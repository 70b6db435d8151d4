"""An image is safe where everything was looked for in everything: from registries over HTTP, with a real Trivy.

Each image here has no finding. Most of them lack something that would be needed to say that there is none.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from console.jobs.models import State
from console.models import Team
from demo.vulndb_build import build_demo_vulndb
from inventory.dashboard import figures as dashboard_figures
from inventory.models import Image, Tag
from registries.models import Registry
from scanning import configured_engines, tasks
from scanning.engines.trivy import bbolt, bbolt_writer, command
from scanning.models import CategoryResult, LayerResult, Package, PackageVulnerability, image_coverage
from scanning.rematch import run as rematch_run
from scanning.runs.cancel import cancel
from scanning.runs.start import scan_now
from scanning.vulndb import install as vulndb_install
from tests import people
from tests.fakes import images, rpmdb
from tests.fakes.registry import FakeRegistry, Status, blob, blobs, manifests
from tests.scanning.conftest import fake, image_of, registry, run_until_final, scan, sync, vulnerability_database

__all__ = ["fake", "registry", "vulnerability_database"]  # fixtures

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("vulnerability_database")]

OUTCOMES = CategoryResult.Outcome
Files = Mapping[str, bytes | tuple[bytes, str]]  # contents, or type and target of what is no file

NAMES = ("hello", "base-files", "sed", "grep", "tar")
STATUS = "".join(
    f"Package: {name}\nStatus: install ok installed\nMaintainer: nobody\nArchitecture: amd64\nVersion: 99.1-1\n"
    f"Description: {name} of this test\n\n"
    for name in NAMES
).encode()
APK = "".join(f"C:Q1aaaa=\nP:{name}\nV:99.1-r0\nA:x86_64\nT:{name}\nL:MIT\no:{name}\n\n" for name in NAMES).encode()
TOKEN = b"ghp_" + b"x7Kq9ZrT2mWvB4nYcH8sLdF1gJpE6uA3oQiR"
GARBAGE = hashlib.shake_256(b"garbage").digest(8000)
DPKG, INSTALLED = "var/lib/dpkg/status", "lib/apk/db/installed"
DEBIAN: Files = {
    "etc/os-release": b'ID=debian\nVERSION_ID="12"\n',
    "etc/debian_version": b"12.6\n",
    "var/lib/dpkg/info/hello.list": b"/.\n/usr/bin/hello\n",
    "usr/bin/hello": b"#!/bin/sh\n",
}
ALPINE: Files = {"etc/os-release": b"ID=alpine\nVERSION_ID=3.18.0\n", "etc/alpine-release": b"3.18.0\n"}
ALMA: Files = {
    "etc/os-release": b'NAME="AlmaLinux"\nID="almalinux"\nVERSION_ID="9.4"\n',
    "etc/almalinux-release": b"AlmaLinux release 9.4 (Seafoam Ocelot)\n",
    "etc/redhat-release": b"AlmaLinux release 9.4 (Seafoam Ocelot)\n",
}
RPMS = [("hello", "99.1", "1.el9"), ("sed", "99.1", "1.el9"), ("tar", "99.1", "1.el9")]
SQLITE, NDB, BERKELEY = rpmdb.sqlite(RPMS), rpmdb.ndb(RPMS), rpmdb.berkeley(RPMS)
LINK, FOLDER, HIDDEN = (tarfile.SYMTYPE, "/nowhere"), (tarfile.DIRTYPE, ""), b""


def layer(files: Files) -> images.Layer:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            if isinstance(content, tuple):
                member.type, member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    data = out.getvalue()
    return images.Layer(data, gzip.compress(data, mtime=0), images.OCI_LAYER + "+gzip")


def put(fake: FakeRegistry, *layers: Files, name: str = "team/app") -> images.Image:
    image = images.image(*(layer(files) for files in layers))
    image.put(fake, name, "1.0")
    return image


def result(category: str) -> CategoryResult:
    return CategoryResult.objects.get(category=category)


WHOLE: dict[str, tuple[Files, ...]] = {
    "dpkg": ({**DEBIAN, DPKG: STATUS},),
    "dpkg in two layers": ({**DEBIAN, DPKG: STATUS[: len(STATUS) // 5]}, {DPKG: STATUS}),
    "distroless, a file for each package": (
        {**DEBIAN, "var/lib/dpkg/status.d/hello": b"Package: hello\nVersion: 99.1-1\nArchitecture: amd64"},
    ),
    "distroless with an empty list": (
        {**DEBIAN, "var/lib/dpkg/status.d/hello": STATUS[: STATUS.index(b"\n\n") + 1], DPKG: b""},
    ),
    "a removed package at the end": (
        {**DEBIAN, DPKG: STATUS + b"Package: gone\nStatus: install ok not-installed\nPriority: optional\n\n"},
    ),
    "an rpm tool without packages on Debian": (
        {**DEBIAN, DPKG: STATUS, "var/lib/rpm/rpmdb.sqlite": b"", "var/lib/rpm/Packages": LINK},
    ),
}
DAMAGED: dict[str, tuple[tuple[Files, ...], str]] = {  # → what the reason says
    "dpkg deleted": (({**DEBIAN, DPKG: STATUS}, {"var/lib/dpkg/.wh.status": HIDDEN}), "is missing"),
    "dpkg folder deleted": (({**DEBIAN, DPKG: STATUS}, {"var/lib/.wh.dpkg": HIDDEN}), "is missing"),
    "dpkg folder made anew": (({**DEBIAN, DPKG: STATUS}, {"var/lib/dpkg/.wh..wh..opq": HIDDEN}), "is missing"),
    "dpkg never there": ((DEBIAN,), "is missing"),
    "dpkg emptied": (({**DEBIAN, DPKG: b""},), f"/{DPKG} is empty"),
    "dpkg blank": (({**DEBIAN, DPKG: b"\n\n"},), f"/{DPKG} is empty"),
    "dpkg cut off": (({**DEBIAN, DPKG: STATUS[:-90]},), f"/{DPKG} is truncated"),
    "dpkg cut off at a line": (({**DEBIAN, DPKG: STATUS[: STATUS.rindex(b"Arch")]},), f"/{DPKG} is truncated"),
    "dpkg cut off in a layer above": (({**DEBIAN, DPKG: STATUS}, {DPKG: STATUS[:-90]}), f"/{DPKG} is truncated"),
    "dpkg damaged": (({**DEBIAN, DPKG: GARBAGE},), f"/{DPKG} is damaged"),
    "dpkg damaged in its middle": (({**DEBIAN, DPKG: STATUS[:300] + GARBAGE + STATUS[300:]},), f"/{DPKG} is damaged"),
    "dpkg a link": (({**DEBIAN, DPKG: LINK, "opt/status": STATUS},), f"/{DPKG} is a link or a folder"),
    "dpkg a folder": (({**DEBIAN, DPKG: FOLDER},), f"/{DPKG} is a link or a folder"),
    "a file of distroless damaged": (
        ({**DEBIAN, DPKG: STATUS, "var/lib/dpkg/status.d/hello": GARBAGE},),
        "could not read the packages in /var/lib/dpkg/status.d/hello",
    ),
    "apk deleted": (({**ALPINE, INSTALLED: APK}, {"lib/apk/db/.wh.installed": HIDDEN}), "is missing"),
    "apk emptied": (({**ALPINE, INSTALLED: b""},), f"/{INSTALLED} is empty"),
    "apk cut off": (({**ALPINE, INSTALLED: APK[:-40]},), f"/{INSTALLED} is truncated"),
    "apk damaged": (({**ALPINE, INSTALLED: GARBAGE},), f"/{INSTALLED} is damaged"),
    "apk a link": (({**ALPINE, INSTALLED: LINK},), f"/{INSTALLED} is a link or a folder"),
    "rpm deleted": (
        ({**ALMA, "var/lib/rpm/rpmdb.sqlite": SQLITE}, {"var/lib/rpm/.wh.rpmdb.sqlite": HIDDEN}),
        "is missing",
    ),
    "rpm emptied": (({**ALMA, "var/lib/rpm/rpmdb.sqlite": b""},), "/var/lib/rpm/rpmdb.sqlite is empty"),
    "SQLite cut off": (({**ALMA, "var/lib/rpm/rpmdb.sqlite": SQLITE[:-5000]},), "rpmdb.sqlite is truncated"),
    "SQLite damaged": (({**ALMA, "var/lib/rpm/rpmdb.sqlite": GARBAGE},), "rpmdb.sqlite is damaged"),
    "SQLite whole with damaged rows": (
        ({**ALMA, "var/lib/rpm/rpmdb.sqlite": SQLITE[:4096] + GARBAGE[:4096] + SQLITE[8192:]},),
        "No packages could be read from the package database /var/lib/rpm/rpmdb.sqlite",
    ),
    "ndb cut off": (({**ALMA, "usr/lib/sysimage/rpm/Packages.db": NDB[:-300]},), "Packages.db is truncated"),
    "ndb damaged": (({**ALMA, "usr/lib/sysimage/rpm/Packages.db": GARBAGE},), "Packages.db is damaged"),
    "Berkeley DB cut off": (({**ALMA, "var/lib/rpm/Packages": BERKELEY[:-4096]},), "Packages is truncated"),
    "Berkeley DB damaged": (({**ALMA, "var/lib/rpm/Packages": GARBAGE},), "Packages is damaged"),
    "rpm a folder": (({**ALMA, "var/lib/rpm/Packages": FOLDER},), "Packages is a link or a folder"),
    "no release file": (({DPKG: STATUS},), "no file that identifies it"),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_an_image_with_whole_package_databases_and_nothing_in_it_is_safe(
    fake: FakeRegistry, registry: Registry, kind: str
) -> None:
    put(fake, *WHOLE[kind])
    sync(registry)
    ended = scan(Tag.objects.get())
    assert (ended.state, ended.reason) == (State.SUCCEEDED, "")
    assert [(each.category, each.outcome, each.reason) for each in CategoryResult.objects.order_by("category")] == [
        ("malware", OUTCOMES.DONE, ""),
        ("sensitive", OUTCOMES.DONE, ""),
        ("vulnerabilities", OUTCOMES.DONE, ""),
    ]
    image = image_of(Tag.objects.get())
    assert (image.vulnerabilities, image.malware, image.sensitive) == (0, 0, 0)
    assert image.packages
    assert image.security == Image.Security.SAFE


@pytest.mark.parametrize("kind", DAMAGED)
def test_an_image_whose_package_database_cannot_be_read_is_partly_scanned_and_says_why(
    fake: FakeRegistry, registry: Registry, kind: str
) -> None:
    layers, says = DAMAGED[kind]
    put(fake, *layers)
    sync(registry)
    for _again in range(2):  # the second time by what is known of the layers
        scan(Tag.objects.get())
        matched = result("vulnerabilities")
        assert matched.outcome in (OUTCOMES.PARTIAL, OUTCOMES.UNSUPPORTED), matched.reason
        assert says in matched.reason
        assert matched.remedy
        assert {result(name).outcome for name in ("malware", "sensitive")} == {OUTCOMES.DONE}
        image = image_of(Tag.objects.get())
        assert image.vulnerabilities == 0
        assert image.security == Image.Security.PARTLY_SCANNED


UNLISTED: dict[str, tuple[Files, ...]] = {
    "Debian 99": ({**DEBIAN, "etc/debian_version": b"99.1\n", DPKG: STATUS},),
    "AlmaLinux by SQLite": ({**ALMA, "var/lib/rpm/rpmdb.sqlite": SQLITE},),
    "AlmaLinux by ndb": ({**ALMA, "usr/lib/sysimage/rpm/Packages.db": NDB},),
    "AlmaLinux by Berkeley DB": ({**ALMA, "var/lib/rpm/Packages": BERKELEY},),
    "Fedora": (
        {
            "etc/os-release": b"ID=fedora\nVERSION_ID=40\n",
            "etc/fedora-release": b"Fedora release 40 (Forty)\n",
            "usr/lib/sysimage/rpm/rpmdb.sqlite": SQLITE,
        },
    ),
    "a single binary": ({"app": b"\x7fELF" + bytes(100)},),
    "busybox without a database": ({"bin/busybox": b"\x7fELF" + bytes(100), "etc/passwd": b"root:x:0:0::/:/bin/sh\n"},),
}


@pytest.mark.parametrize("kind", UNLISTED)
def test_a_system_without_advisories_in_the_database_is_unsupported_and_not_damaged(
    fake: FakeRegistry, registry: Registry, kind: str
) -> None:
    put(fake, *UNLISTED[kind])
    sync(registry)
    scan(Tag.objects.get())
    matched = result("vulnerabilities")
    assert matched.outcome == OUTCOMES.UNSUPPORTED
    assert not any(word in matched.reason for word in ("damaged", "truncated", "is empty", "missing"))
    assert matched.remedy
    image = image_of(Tag.objects.get())
    assert (image.vulnerabilities_coverage, image.security) == ("unsupported", Image.Security.PARTLY_SCANNED)


@pytest.fixture
def own_database(tmp_path: Path, settings: Any) -> Iterator[Any]:
    """A data folder of this test's own; returns what installs a database there."""
    settings.DATA_DIR = tmp_path / "data"
    caches = (configured_engines.trivy, configured_engines.layer_store)
    for each in caches:
        each.cache_clear()

    def install(day: int, tables: Mapping[str, Any] | None = None) -> Path:
        folder = tmp_path / f"database-{day}"
        build_demo_vulndb(folder)
        if tables:
            with (folder / "trivy.db").open("rb") as file:
                tree = _tree(bbolt.Bucket.open(file))
            bbolt_writer.write(folder / "trivy.db", tree | {name.encode(): each for name, each in tables.items()})
        metadata = json.loads((folder / "metadata.json").read_bytes()) | {"UpdatedAt": f"2026-11-{day:02}T00:00:00Z"}
        (folder / "metadata.json").write_text(json.dumps(metadata))
        return vulndb_install.install(folder).folder / "trivy.db"

    yield install
    for each in caches:
        each.cache_clear()


def _tree(bucket: bbolt.Bucket) -> dict[bytes, Any]:
    return {key: _tree(value) if isinstance(value, bbolt.Bucket) else value for key, value in bucket.items()}


def test_a_database_that_knows_the_release_makes_an_image_safe_without_a_scan_and_back(
    own_database: Any, fake: FakeRegistry, registry: Registry
) -> None:
    own_database(1)
    put(fake, {**DEBIAN, "etc/debian_version": b"99.1\n", DPKG: STATUS})
    sync(registry)
    scan(Tag.objects.get())
    assert "no advisories for debian 99.1" in result("vulnerabilities").reason
    for day, tables, outcome, security in (
        (2, {"debian 99": {b"other": {b"CVE-2026-1": b'{"FixedVersion":"1"}'}}}, "done", "safe"),
        (3, None, "unsupported", "partly-scanned"),
        (4, {"debian 99": {b"other": {b"CVE-2026-1": b'{"FixedVersion":"1"}'}}}, "done", "safe"),
    ):
        own_database(day, tables)
        job = rematch_run.start_rematch()
        assert job is not None
        tasks.rematch(job.pk)
        job.refresh_from_db()
        assert (job.state, job.reason) == (State.SUCCEEDED, "")
        assert result("vulnerabilities").outcome == outcome
        assert image_of(Tag.objects.get()).security == security


@pytest.mark.parametrize("how", ["cut off", "damaged in its middle", "one bad advisory"])
def test_a_damaged_vulnerability_database_fails_vulnerabilities_alone(
    own_database: Any, fake: FakeRegistry, registry: Registry, how: str
) -> None:
    tables = {"debian 12": {b"hello": {b"CVE-2026-1": b"{broken"}}} if how == "one bad advisory" else None
    path = own_database(1, tables)
    content = path.read_bytes()
    path.chmod(0o644)
    if how == "cut off":
        path.write_bytes(content[: len(content) // 2])
    elif how == "damaged in its middle":
        path.write_bytes(content[:20_000] + GARBAGE + content[20_000 + len(GARBAGE) :])
    put(fake, {**DEBIAN, DPKG: STATUS})
    sync(registry)
    run_until_final(scan_now(tag_ids=[Tag.objects.get().pk], requested_by=None).queued[0])
    matched = result("vulnerabilities")
    assert matched.outcome == OUTCOMES.FAILED
    assert ("database" in matched.reason) or how == "one bad advisory", matched.reason
    assert matched.remedy
    assert {result(name).outcome for name in ("malware", "sensitive")} == {OUTCOMES.DONE}
    image = image_of(Tag.objects.get())
    assert (image.vulnerabilities, image.sensitive) == (None, 0)
    assert image.security == Image.Security.PARTLY_SCANNED
    if how == "cut off":
        readiness = configured_engines.trivy().ready()
        assert not readiness.ready
        assert "cut off" in readiness.reason
        assert "update_vulnerability_db" in readiness.remedy


def _with_secret() -> tuple[Files, Files]:
    return {**DEBIAN, DPKG: STATUS}, {"app/config.env": b"GITHUB_TOKEN=" + TOKEN + b"\n"}


def test_more_vulnerabilities_than_a_report_can_hold_are_found_some_packages_at_a_time(
    own_database: Any, fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [b"CVE-2026-%d" % number for number in range(1000, 1200)]
    names = [name.encode() for name in NAMES]
    own_database(1, {"debian 12": {name: dict.fromkeys(ids, b'{"FixedVersion":"999"}') for name in names}})
    put(fake, *_with_secret())
    sync(registry)
    whole = scan(Tag.objects.get())
    assert whole.state == State.SUCCEEDED, whole.reason
    found = set(PackageVulnerability.objects.values_list("package__name", "vulnerability__name", "fixed_version"))
    assert len(found) == len(ids) * len(NAMES)
    before = image_of(Tag.objects.get())
    Package.objects.all().delete()  # with what is known of their vulnerabilities
    LayerResult.objects.all().delete()
    monkeypatch.setattr(command, "MAX_REPORT_BYTES", 150_000)  # of five packages one report has some 600,000
    again = scan(Tag.objects.get())
    assert (again.state, again.reason) == (State.SUCCEEDED, "")
    assert {each.outcome for each in CategoryResult.objects.all()} == {OUTCOMES.DONE}
    now = set(PackageVulnerability.objects.values_list("package__name", "vulnerability__name", "fixed_version"))
    assert now == found
    after = image_of(Tag.objects.get())
    assert (after.vulnerabilities, after.fixable, after.sensitive, after.packages) == (
        *(before.vulnerabilities, before.fixable, before.sensitive, before.packages),
    )
    assert after.sensitive == 1


def test_a_package_with_more_than_a_report_can_hold_fails_vulnerabilities_and_not_sensitive_data(
    own_database: Any, fake: FakeRegistry, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_database(1, {"debian 12": {b"hello": {b"CVE-2026-%d" % n: b'{"FixedVersion":"999"}' for n in range(1000)}}})
    monkeypatch.setattr(command, "MAX_REPORT_BYTES", 100_000)
    put(fake, *_with_secret())
    sync(registry)
    ended = scan(Tag.objects.get())
    assert ended.state == State.FAILED
    assert "report of more than" in result("vulnerabilities").reason
    assert (result("sensitive").outcome, result("sensitive").reason) == (OUTCOMES.DONE, "")
    image = image_of(Tag.objects.get())
    assert (image.sensitive, image.vulnerabilities) == (1, None)
    assert image.security == Image.Security.AT_RISK


@pytest.mark.parametrize("kind", ["encrypted", "foreign and absent", "all encrypted"])
def test_layers_that_cannot_be_seen_leave_every_category_partly_scanned(
    fake: FakeRegistry, registry: Registry, kind: str
) -> None:
    base, secret = layer({**DEBIAN, DPKG: STATUS}), layer({"srv/app": b"nobody can read this"})
    foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    hidden = replace(secret, media_type=foreign if kind.startswith("foreign") else f"{secret.media_type}+encrypted")
    if kind == "all encrypted":
        base = replace(base, media_type=f"{base.media_type}+encrypted")
    image = images.image(base, hidden)
    image.put(fake, "team/app", "1.0")
    if kind.startswith("foreign"):
        fake.fail(blob(hidden.digest), Status(404, code="BLOB_UNKNOWN"))
    sync(registry)
    scan(Tag.objects.get())
    assert {each.outcome for each in CategoryResult.objects.all()} == {OUTCOMES.PARTIAL}
    assert CategoryResult.objects.count() == 3
    assert image_of(Tag.objects.get()).security == Image.Security.PARTLY_SCANNED


def test_what_is_known_follows_from_the_last_scan_of_each_category(fake: FakeRegistry, registry: Registry) -> None:
    put(fake, {**DEBIAN, DPKG: STATUS})
    sync(registry)
    tag = Tag.objects.get()
    assert image_of(tag).security == Image.Security.NOT_KNOWN
    for category in ("malware", "sensitive"):
        scan(tag, category)
        assert image_of(tag).security == Image.Security.PARTLY_SCANNED
    (queued,) = scan_now(tag_ids=[tag.pk], requested_by=None, categories=["vulnerabilities"]).queued
    assert image_of(tag).security == Image.Security.PARTLY_SCANNED, "while it waits"
    run_until_final(queued)
    assert image_of(tag).security == Image.Security.SAFE
    scan(tag, "malware")
    assert image_of(tag).security == Image.Security.SAFE, "the other results stay"
    (queued,) = scan_now(tag_ids=[tag.pk], requested_by=None).queued
    cancel(tag_ids=[tag.pk])
    assert image_of(tag).security == Image.Security.SAFE, "a cancelled scan has learnt nothing"
    CategoryResult.objects.filter(category="malware").update(regressed_from=3)
    image_coverage.write_coverage([image_of(tag).pk])
    assert image_of(tag).security == Image.Security.PARTLY_SCANNED, "a fall to zero that nothing explains"
    scan(tag)
    assert image_of(tag).security == Image.Security.SAFE
    fake.fail(blobs, Status(500))
    fake.fail(manifests, Status(500))
    ended = run_until_final(scan_now(tag_ids=[tag.pk], requested_by=None).queued[0])
    assert ended.state == State.FAILED
    image = image_of(tag)
    assert (image.scan_state, image.vulnerabilities) == (Image.ScanState.FAILED, 0)
    assert image.security == Image.Security.PARTLY_SCANNED, "the zeros are of the scan before"


def test_every_page_and_file_tells_the_same(client: Client, fake: FakeRegistry, registry: Registry) -> None:
    kinds = {
        "safe": [{**DEBIAN, DPKG: STATUS}],
        "partly": [{**DEBIAN, DPKG: STATUS[:-90]}],
        "risk": [{**DEBIAN, DPKG: STATUS}, {"app/.env": b"TOKEN=" + TOKEN + b"\n"}],
        "unknown": [{"app": b"never scanned"}],
    }
    for name, layers in kinds.items():
        put(fake, *layers, name=f"team/{name}")
    sync(registry)
    tags = {tag.repository.name.removeprefix("team/"): tag for tag in Tag.objects.select_related("repository")}
    for name in ("safe", "partly", "risk"):
        scan(tags[name])
    words = {"safe": "safe", "partly": "partly-scanned", "risk": "at-risk", "unknown": "not-known"}
    figures = dashboard_figures.read_overview()
    counted = (figures.safe, figures.partly_scanned, figures.at_risk, figures.not_known)
    assert counted == (1, 1, 1, 1)
    team = Team.objects.create(name="team of these")
    limited = people.person("operator", username="limited", limited=True)
    limited.teams.add(team)
    registry.teams.add(team)
    for somebody in (people.person("operator"), limited):
        client.force_login(somebody, backend="django.contrib.auth.backends.ModelBackend")
        for name, word in words.items():
            page = client.get(reverse("inventory:image-list"), {"security": word}).content.decode()
            assert page.count("data-row") == 1, (somebody, word, page[page.index("<h1") :][:6000])
            assert ("#i-shield" in page.split("data-row")[1]) is (name == "safe")
            drawer = client.get(reverse("inventory:image", args=[tags[name].pk])).content.decode()
            assert f'data-security="{word}"' in drawer
            tab = client.get(
                reverse("scanning:vulnerabilities", args=[tags[name].pk]), headers={"HX-Request": "true"}
            ).content.decode()
            assert ("0 found" in tab) is (name in ("safe", "risk"))
            assert ("#shield" in tab) is (name in ("safe", "risk"))

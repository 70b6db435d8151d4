"""What each machine makes sure of before it takes a scan; see tests/isolation/test_machines.py for real machines."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from console.jobs.errors import JobFailure
from console.machines import content, keys, report, versions
from console.machines.identity import machine_id
from console.models import FileChunk, FleetVersion, Machine, SharedFile
from demo.vulndb_build import build_demo_vulndb
from registries import credential_encryption
from scanning import configured_engines, health
from scanning.engines.base import Readiness
from scanning.engines.yara.ruleset import read_team
from scanning.fleet import versions as fleet_versions
from scanning.fleet.fetch_lock import RETRY_DELAY_SECONDS, NotReadyError
from scanning.fleet.settings import own_settings
from scanning.rules import team as rules_team
from scanning.views import scanners
from scanning.vulndb import archive as vulndb_archive
from scanning.vulndb import install as vulndb_install
from tests.people import signed_in_client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("vulnerability_database")]

PAGE = "/scans/engines/"


def nothing() -> None:
    """Check nothing."""


@pytest.fixture(autouse=True)
def _memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Begin as a new process on a machine that has tried nothing yet."""
    monkeypatch.setattr(fleet_versions, "_process_state", fleet_versions._ProcessState())
    monkeypatch.setattr(rules_team, "_published", None)
    lock = settings.DATA_DIR / "run" / "fetch.lock"
    lock.unlink(missing_ok=True)
    configured_engines.trivy.cache_clear()  # a test before may have made it in another data folder
    configured_engines.yara.cache_clear()
    yield
    configured_engines.yara.cache_clear()
    lock.unlink(missing_ok=True)
    (settings.DATA_DIR / "trivy" / "current" / "archive.sha256").unlink(missing_ok=True)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on PostgreSQL: there may be other machines."""
    for module in (fleet_versions, health, scanners, vulndb_install, rules_team):
        monkeypatch.setattr(module, "has_shared_database", lambda: True)


def primary(**values: Any) -> FleetVersion:
    """Have another machine be primary, with the same settings as this one but for ``values``."""
    own = own_settings() | values
    return FleetVersion.objects.create(name="settings", machine="other", host="alpha", values=own)


def publish(folder: Path) -> FleetVersion:
    """Publish a small database as another machine would."""
    folder.mkdir(exist_ok=True)
    build_demo_vulndb(folder)
    vulndb_archive.publish(folder, scratch=folder, version="demo", check=nothing)
    return FleetVersion.objects.get(name="database")


def other(name: str = "beta", *, ready: bool = True, seen: timedelta = timedelta(0), **fields: Any) -> Machine:
    last_seen = timezone.now() - seen
    return Machine.objects.create(
        machine=name, host=name, folder=f"/{name}", ready=ready, last_seen=last_seen, **fields
    )


@pytest.mark.skipif("settings.DATABASES['default']['ENGINE'] != 'django.db.backends.sqlite3'")
def test_one_machine_on_sqlite_stores_nothing_and_asks_nothing(tmp_path: Path) -> None:
    build_demo_vulndb(tmp_path)
    vulndb_install.install(tmp_path)
    with CaptureQueriesContext(connection) as queries:
        assert fleet_versions.may_take_jobs()
        assert fleet_versions.is_current()
        fleet_versions.tick()
        assert fleet_versions.wrong_keys() == ""
        assert list(health.machines()) == []
    assert len(queries) == 0
    assert not any(model.objects.exists() for model in (SharedFile, FileChunk, FleetVersion, Machine))
    assert vulndb_install.shared_sha256() == ""
    assert "Machines" not in signed_in_client().get(PAGE).text


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_machine_whose_database_is_away_takes_no_scans(
    shared: None, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def away() -> None:
        raise error("connection already closed")

    monkeypatch.setattr(versions, "current", away)
    monkeypatch.setattr(fleet_versions, "connection", SimpleNamespace(close=nothing))
    assert not fleet_versions.may_take_jobs()


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"clamav": "on"}, "ClamAV off (there: on)"),
        ({"trivy": "0.75.0"}, "Trivy 0.76.0 (there: 0.75.0)"),
        ({"yara": "0.1"}, "(there: 0.1)"),
        ({"tallyman": "9.0"}, "(there: 9.0)"),
    ],
)
def test_a_machine_with_other_settings_takes_no_scans(shared: None, values: dict[str, str], why: str) -> None:
    primary(**values)
    assert not fleet_versions.may_take_jobs()
    with pytest.raises(NotReadyError) as raised:
        fleet_versions.update_machine(check=nothing)
    assert "alpha" in raised.value.reason
    assert why in raised.value.reason
    assert "make_primary" in raised.value.remedy


def test_a_primary_machine_whose_trivy_does_not_work_stops_no_other(shared: None, tmp_path: Path) -> None:
    primary(trivy="")
    publish(tmp_path / "db")
    assert fleet_versions.may_take_jobs()


def test_keys_are_compared_without_being_told(shared: None) -> None:
    told = keys.check_values()
    assert told.keys() == {"secret_key", "credential_keys", "fingerprint_key"}
    for key in (settings.SECRET_KEY, *credential_encryption.read_keys(), configured_engines.fingerprint_key().decode()):
        assert key not in str(told)
    primary(keys=told | {"fingerprint_key": "0" * 32})
    assert "fingerprint_key" in fleet_versions.wrong_keys()
    assert "secret_key" not in fleet_versions.wrong_keys()
    assert not Machine.objects.get(machine=machine_id()).ready
    before = credential_encryption.read_keys()
    try:
        credential_encryption.write_keys(["a-key-that-no-other-machine-has"])
        assert keys.check_values()["credential_keys"] != told["credential_keys"]
    finally:
        credential_encryption.write_keys(before)


def test_a_failure_is_not_tried_again_at_once_but_what_is_published_then_is(
    shared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = publish(tmp_path / "db")
    FileChunk.objects.filter(file=wanted.file).delete()
    with pytest.raises(vulndb_install.VulndbError, match="a part of it is missing"):
        fleet_versions.update_machine(check=nothing)
    with CaptureQueriesContext(connection) as queries, pytest.raises(NotReadyError, match="a part of it is missing"):
        fleet_versions.update_machine(check=nothing)
    assert not [query for query in queries if "filechunk" in query["sql"]]
    assert not fleet_versions.may_take_jobs()
    with monkeypatch.context() as later:
        later.setattr(time, "time", lambda: time.time_ns() / 1e9 + RETRY_DELAY_SECONDS + 1)
        with pytest.raises(vulndb_install.VulndbError):
            fleet_versions.update_machine(check=nothing)
    assert publish(tmp_path / "db").sha256 == wanted.sha256
    fleet_versions.update_machine(check=nothing)
    assert vulndb_install.shared_sha256() == wanted.sha256
    assert fleet_versions.may_take_jobs()
    assert Machine.objects.get().ready


def test_a_database_that_no_scan_could_use_is_refused_and_the_one_in_use_stays(shared: None, tmp_path: Path) -> None:
    before = vulndb_install.current_facts()
    (tmp_path / "bad.tar.gz").write_bytes(b"\x1f\x8b no archive")
    versions.publish("database", version="x", file=content.store(tmp_path / "bad.tar.gz", limit=1000))
    with pytest.raises(vulndb_install.VulndbError, match="could not be copied"):
        fleet_versions.update_machine(check=nothing)
    assert vulndb_install.current_facts() == before


def test_the_same_database_is_the_same_file_wherever_it_is_packed(tmp_path: Path) -> None:
    first = publish(tmp_path / "first").sha256
    for path in (tmp_path / "first").iterdir():
        path.touch()
    (tmp_path / "first").rename(tmp_path / "second")
    folder = tmp_path / "second"
    assert vulndb_archive.publish(folder, scratch=tmp_path, version="demo", check=nothing) == first


@pytest.mark.parametrize("others", [True, False])
def test_a_machine_whose_engine_does_not_work_leaves_scans_to_others_that_can(
    shared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others: bool
) -> None:
    publish(tmp_path / "db")
    fleet_versions.update_machine(check=nothing)
    monkeypatch.setattr(
        configured_engines.yara(), "ready", lambda: Readiness(False, reason="It is gone.", remedy="Mend it.")
    )
    if others:
        other()
    assert fleet_versions.may_take_jobs() is not others
    mine = Machine.objects.get(machine=machine_id())
    assert (mine.ready, mine.reason, mine.remedy) == ((False, "It is gone.", "Mend it.") if others else (True, "", ""))


def rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "rules"
    folder.mkdir()
    monkeypatch.setattr(rules_team, "source_folder", lambda: folder)
    return folder


def test_rules_reach_a_machine_with_what_is_wrong_with_them(
    shared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rules(tmp_path, monkeypatch)
    (folder / "below").mkdir()
    (folder / "below" / "a.yar").write_text("rule A { condition: false }")
    (folder / "b.yara").symlink_to("nowhere")
    (folder / "notes.txt").write_text("no rule")
    published = rules_team.publish_changes(None, check=nothing)
    assert published
    assert published.file
    rules_team.install_shared(published.file, check=nothing)
    assert rules_team.shared_sha256() == published.sha256
    here, there = read_team(folder), read_team(rules_team.folder())
    assert there == here
    assert [source.problem for source in there] == ["b.yara: No such file or directory", ""]


def test_rules_are_published_when_they_change_and_not_read_otherwise(
    shared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rules(tmp_path, monkeypatch)
    (folder / "a.yar").write_text("rule A { condition: false }")
    first = rules_team.publish_changes(None, check=nothing)
    assert first
    with monkeypatch.context() as closed:
        closed.setattr(rules_team, "read_team", lambda _folder: pytest.fail("it was read again"))
        assert rules_team.publish_changes(first, check=nothing) == first
    (folder / "a.yar").touch()
    again = rules_team.publish_changes(first, check=nothing)
    assert again
    assert again.file_id == first.file_id, "the same rules are no other version"
    assert SharedFile.objects.count() == 1
    (folder / "a.yar").write_text("rule A { condition: true }")
    changed = rules_team.publish_changes(first, check=nothing)
    assert changed
    assert changed.sha256 != first.sha256


def test_an_absent_folder_replaces_no_rules(shared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = rules(tmp_path, monkeypatch)
    (folder / "a.yar").write_text("rule A { condition: false }")
    first = rules_team.publish_changes(None, check=nothing)
    (folder / "a.yar").unlink()
    folder.rmdir()
    assert rules_team.publish_changes(first, check=nothing) == first


@pytest.mark.parametrize("kind", ["above", "absolute", "link", "other"])
def test_an_archive_of_rules_that_would_write_elsewhere_is_refused(tmp_path: Path, shared: None, kind: str) -> None:
    member = tarfile.TarInfo({"above": "../a.yar", "absolute": f"{tmp_path}/a.yar", "other": "a.py"}.get(kind, "a.yar"))
    if kind == "link":
        member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "a.yar")
    else:
        member.size = 4
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        archive.addfile(member, io.BytesIO(b"rule"))
    before = rules_team.shared_sha256()
    file = content.store(tmp_path / "bad.tar", limit=100_000)
    with pytest.raises(rules_team.RulesError, match="not a file of rules"):
        rules_team.install_shared(file, check=nothing)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.tar"]
    assert rules_team.shared_sha256() == before


def test_the_page_shows_each_machine_with_its_versions(shared: None, tmp_path: Path) -> None:
    wanted = publish(tmp_path / "db")
    primary()
    known = {"trivy": "0.76.0", "yara": "1.9", "database": "demo-1", "database_sha256": wanted.sha256}
    other("other", versions=known)
    other(
        "gamma",
        ready=False,
        reason="Its disk is full.",
        remedy="Free space.",
        versions=known | {"database_sha256": "x"},
    )
    other("delta", ready=False, reason="Its keys are others.", seen=timedelta(minutes=10), versions=known)
    other("epsilon", seen=timedelta(days=2))
    text = signed_in_client("viewer").get(PAGE).text
    assert wanted.sha256 in text
    for words in (
        "Accepts scans",
        "Accepts no scans",
        "Its disk is full. Free",
        "Its keys are others.",
        "No report for a while",
        "Different",
    ):
        assert words in text, words
    assert "epsilon" not in text
    assert "alpha, the primary machine" in text
    assert "gamma accepts no scans" in signed_in_client("viewer").get("/", follow=True).text, (
        "the notice on other pages"
    )
    report.prune()
    assert set(Machine.objects.values_list("host", flat=True)) == {"other", "gamma", "delta"}


def test_the_foot_of_the_pages_tells_of_machines_that_take_no_scans(shared: None) -> None:
    assert list(health.machines()) == []
    other("one")
    assert list(health.machines()) == []
    other("two")
    (fact,) = health.machines()
    assert (fact.level, fact.value, fact.notice) == ("ok", "2 of 2", None)
    Machine.objects.filter(machine="two").update(last_seen=timezone.now() - timedelta(minutes=10))
    (fact,) = health.machines()
    assert (fact.level, fact.value, fact.detail) == ("fault", "1 of 2", "No report for a while: two.")
    Machine.objects.filter(machine="one").update(ready=False, reason="Why.", remedy="Do.")
    (fact,) = health.machines()
    assert fact.notice
    assert (fact.value, fact.notice.title, fact.notice.text) == ("0 of 2", "one accepts no scans", "Why. Do.")


def test_a_failure_to_publish_leaves_all_machines_as_they_were(
    shared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, wanted = vulndb_install.current_facts(), publish(tmp_path / "db")
    monkeypatch.setattr(vulndb_archive, "MAX_ARCHIVE_BYTES", 100)
    with pytest.raises(JobFailure, match="could not be shared with the other machines"):
        vulndb_install.install(tmp_path / "db")
    assert vulndb_install.current_facts() == before
    assert FleetVersion.objects.get(name="database").sha256 == wanted.sha256

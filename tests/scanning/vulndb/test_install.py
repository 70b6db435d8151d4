"""The vulnerability database on disk, with the real Trivy and a real registry on loopback."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from demo.vulndb import install_demo_vulndb
from demo.vulndb_build import build_demo_vulndb
from scanning.vulndb import install as vulndb_install
from tests.fakes import images
from tests.fakes.proxy import Proxy
from tests.fakes.registry import FakeRegistry, Redirect, Truncate, blobs

LAYER_TYPE = "application/vnd.aquasec.trivy.db.layer.v1.tar+gzip"
CONFIG_TYPE = "application/vnd.aquasec.trivy.config.v1+json"


@pytest.fixture(autouse=True)
def data_folder(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return tmp_path / "data" / "trivy"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return build_demo_vulndb(tmp_path / "source")


def newer(folder: Path, **changes: object) -> Path:
    """Change the metadata of a database: of another day, and no demo."""
    path = folder / "metadata.json"
    metadata = json.loads(path.read_bytes()) | {"UpdatedAt": "2026-11-20T01:02:03.456789012Z", "Demo": False} | changes
    path.write_text(json.dumps(metadata))
    return folder


def packed(folder: Path) -> bytes:
    """The database as registries serve it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name in ("trivy.db", "metadata.json"):
            archive.add(folder / name, name)
    return out.getvalue()


def left(data_folder: Path) -> set[str]:
    """What lies in the data folder, without the random parts."""
    return {path.name.rsplit("-", 1)[0] if path.name.startswith("db-") else path.name for path in data_folder.iterdir()}


def test_before_the_first_update_there_is_none() -> None:
    assert vulndb_install.current_facts() is None


def test_a_folder_is_installed(source: Path, data_folder: Path) -> None:
    facts = vulndb_install.install(source)
    assert facts == vulndb_install.current_facts()
    assert facts.is_demo
    assert facts.folder.parent == data_folder
    assert vulndb_install.folder().resolve() == facts.folder
    assert left(data_folder) == {"current", "install.lock", "db-demo-20261101T000000Z"}


def test_a_database_file_with_its_metadata_beside_it_is_installed(source: Path) -> None:
    newer(source)
    facts = vulndb_install.install(source / "trivy.db")
    assert (facts.is_demo, facts.version) == (False, "20261120T010203Z")


def test_the_archive_of_a_registry_is_installed(source: Path, tmp_path: Path) -> None:
    (tmp_path / "db.tar.gz").write_bytes(packed(source))
    assert vulndb_install.install(tmp_path / "db.tar.gz").size == (source / "trivy.db").stat().st_size


def test_the_database_before_stays_for_scans_under_way_and_older_ones_go(source: Path) -> None:
    first, second, third = (vulndb_install.install(source) for _ in range(3))
    assert not first.folder.exists()
    assert second.folder.exists()
    assert vulndb_install.current_facts() == third


def test_what_an_update_that_was_killed_has_left_is_removed(source: Path, data_folder: Path) -> None:
    vulndb_install.install(source)
    for name in ("incoming-abc", "download-old", "download-new"):
        (data_folder / name).mkdir()
    os.utime(data_folder / "download-old", (0, 0))
    vulndb_install.install(source)
    assert not (data_folder / "incoming-abc").exists()
    assert not (data_folder / "download-old").exists()
    assert (data_folder / "download-new").exists()


def test_the_demo_database_does_not_replace_another(source: Path) -> None:
    assert install_demo_vulndb().is_demo
    real = vulndb_install.install(newer(source))
    assert install_demo_vulndb() == real


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5000])


def overwrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[20_000:40_000] = b"\xff" * 20_000
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "trivy.db").write_bytes(b""), "meta page"),
        (lambda folder: (folder / "trivy.db").write_bytes(b"nonsense" * 9999), "meta page"),
        (lambda folder: cut(folder / "trivy.db"), "cut off"),
        (lambda folder: overwrite(folder / "trivy.db"), "damaged"),
        (lambda folder: newer(folder, Version=1), "schema 1"),
        (lambda folder: (folder / "metadata.json").write_text("{"), "metadata"),
        (lambda folder: (folder / "metadata.json").unlink(), "does not exist"),
        (lambda folder: (folder / "trivy.db").unlink(), "does not exist"),
    ],
    ids=["empty", "nonsense", "cut off", "overwritten", "old schema", "metadata", "no metadata", "no database"],
)
def test_a_broken_database_is_refused_and_the_old_one_kept(
    source: Path, tmp_path: Path, data_folder: Path, damage: Callable[[Path], object], reason: str
) -> None:
    before = vulndb_install.install(source)
    broken = newer(build_demo_vulndb(tmp_path / "broken"))
    damage(broken)
    with pytest.raises(vulndb_install.VulndbError) as caught:
        vulndb_install.install(broken)
    assert reason in caught.value.reason
    assert caught.value.remedy
    assert vulndb_install.current_facts() == before
    assert left(data_folder) == {"current", "install.lock", "db-demo-20261101T000000Z"}


def test_a_database_that_trivy_cannot_read_is_refused(source: Path, tmp_path: Path) -> None:
    """Its pages are whole and its values look like JSON; only Trivy itself can tell."""
    path = source / "trivy.db"
    path.write_bytes(path.read_bytes().replace(b'{"FixedVersion":"3.0.1', b'{"FixedVersion":{3.0.1'))
    with pytest.raises(vulndb_install.VulndbError, match="not valid"):
        vulndb_install.install(source)
    assert vulndb_install.current_facts() is None


@pytest.mark.parametrize(
    "content",
    [b"", b"text", gzip.compress(b"text"), gzip.compress(bytes(100_000))[:50], packed],
    ids=["empty", "text", "gzip of text", "cut off", "without metadata"],
)
def test_a_file_that_is_no_archive_of_a_database_is_refused(
    tmp_path: Path, source: Path, content: bytes | Callable[[Path], bytes]
) -> None:
    if callable(content):
        (source / "metadata.json").rename(source / "kept")
        with tarfile.open(tmp_path / "file", "w:gz") as archive:
            archive.add(source / "trivy.db", "trivy.db")
    else:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(vulndb_install.VulndbError) as caught:
        vulndb_install.install(tmp_path / "file")
    assert caught.value.remedy


def test_links_and_other_names_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "db.tar.gz", "w:gz") as archive:
        for name, target in (("trivy.db", "/etc/passwd"), ("metadata.json", "/etc/hostname"), ("../outside", "x")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    with pytest.raises(vulndb_install.VulndbError):
        vulndb_install.install(tmp_path / "db.tar.gz")
    assert not (tmp_path / "data" / "outside").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vulndb_install, "MAX_VULNDB_BYTES", 10_000)
    (tmp_path / "db.tar.gz").write_bytes(packed(source))
    with pytest.raises(vulndb_install.VulndbError, match="larger"):
        vulndb_install.install(tmp_path / "db.tar.gz")


def test_two_updates_at_once_are_told_apart(source: Path) -> None:
    def check() -> None:
        with pytest.raises(vulndb_install.VulndbError, match="in progress"):
            vulndb_install.install(source)

    assert vulndb_install.install(source, check=check) == vulndb_install.current_facts()


def test_a_cancel_leaves_everything_as_it_was(source: Path, data_folder: Path) -> None:
    class Cancelled(Exception):
        pass

    def check() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        vulndb_install.install(source, check=check)
    assert vulndb_install.current_facts() is None
    assert left(data_folder) == {"install.lock"}


# --- from a registry -----------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(source: Path, settings: Any) -> Any:
    with FakeRegistry() as registry:
        layer = images.Layer(b"", packed(newer(source)), LAYER_TYPE)
        manifest = {
            "schemaVersion": 2,
            "mediaType": images.OCI_MANIFEST,
            "config": images.descriptor(b"{}", CONFIG_TYPE),
            "layers": [layer.descriptor | {"annotations": {"org.opencontainers.image.title": "db.tar.gz"}}],
        }
        images.Image((layer,), b"{}", images.to_json(manifest), images.OCI_MANIFEST).put(
            registry, "mirror/trivy-db", "2"
        )
        settings.TRIVY_DATABASE_REPOSITORY = f"{registry.url.split('//')[1]}/mirror/trivy-db:2"
        settings.TRIVY_DATABASE_PLAIN_HTTP = True
        yield registry


def nothing() -> None:
    """Nothing stops this work."""


def test_the_database_is_downloaded_from_a_mirror(mirror: FakeRegistry, data_folder: Path) -> None:
    facts = vulndb_install.download(check=nothing)
    assert facts.version == "20261120T010203Z"
    assert vulndb_install.current_facts() == facts
    assert left(data_folder) == {"current", "install.lock", "db-20261120T010203Z"}


def test_a_mirror_without_the_database_is_told_with_what_helps(mirror: FakeRegistry, settings: Any) -> None:
    settings.TRIVY_DATABASE_REPOSITORY = settings.TRIVY_DATABASE_REPOSITORY.replace("mirror/", "other/")
    with pytest.raises(vulndb_install.VulndbError) as caught:
        vulndb_install.download(check=nothing)
    assert "other/trivy-db" in caught.value.reason
    assert "TALLYMAN_TRIVY_DATABASE" in caught.value.remedy
    assert not caught.value.retry


def test_a_download_that_breaks_off_keeps_the_old_one(mirror: FakeRegistry, data_folder: Path) -> None:
    before = vulndb_install.download(check=nothing)
    mirror.fail(blobs, Truncate())
    with pytest.raises(vulndb_install.VulndbError):
        vulndb_install.download(check=nothing)
    assert vulndb_install.current_facts() == before
    assert left(data_folder) == {"current", "install.lock", "db-20261120T010203Z"}


def test_a_download_goes_by_the_proxy_of_the_settings_and_past_it_where_they_say_so(
    mirror: FakeRegistry, settings: Any
) -> None:
    with Proxy() as proxy:
        settings.OUTBOUND_PROXY = proxy.url
        vulndb_install.download(check=nothing)
        assert [line for line in proxy.asked if "/blobs/" in line]
        asked = len(proxy.asked)
        settings.NO_PROXY = ["127.0.0.0/8"]
        vulndb_install.download(check=nothing)
        assert len(proxy.asked) == asked


def test_a_mirror_cannot_send_the_download_to_this_machine(mirror: FakeRegistry, settings: Any) -> None:
    settings.ALLOWED_NETWORKS = ["127.0.0.1/32"]
    with FakeRegistry(host="127.0.0.2") as inside:
        mirror.fail(blobs, Redirect(f"{inside.url}/secret"))
        with pytest.raises(vulndb_install.VulndbError):
            vulndb_install.download(check=nothing)
        assert not inside.seen
    settings.ALLOWED_NETWORKS = []
    before = len(mirror.seen)
    with pytest.raises(vulndb_install.VulndbError, match="must not connect to"):
        vulndb_install.download(check=nothing)
    assert len(mirror.seen) == before


def test_an_image_is_no_database(mirror: FakeRegistry, settings: Any) -> None:
    images.image({"a": b"1"}).put(mirror, "team/app", "2")
    settings.TRIVY_DATABASE_REPOSITORY = settings.TRIVY_DATABASE_REPOSITORY.replace("mirror/trivy-db", "team/app")
    with pytest.raises(vulndb_install.VulndbError, match="no vulnerability database"):
        vulndb_install.download(check=nothing)


def test_a_missing_trivy_is_told(mirror: FakeRegistry, settings: Any) -> None:
    settings.TRIVY = "/nonexistent/trivy"
    with pytest.raises(vulndb_install.VulndbError, match="TALLYMAN_TRIVY"):
        vulndb_install.download(check=nothing)


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_command_installs_from_a_file(source: Path) -> None:
    out = StringIO()
    call_command("update_vulnerability_db", "--from", str(source), stdout=out)
    assert "2026-11-01" in out.getvalue()
    assert "the small one" in out.getvalue()
    assert vulndb_install.current_facts()


@pytest.mark.django_db
def test_the_command_downloads(mirror: FakeRegistry) -> None:
    out = StringIO()
    call_command("update_vulnerability_db", stdout=out)
    assert "2026-11-20" in out.getvalue()


@pytest.mark.django_db
def test_the_command_says_why_it_failed_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"does not exist.* Name a folder"):
        call_command("update_vulnerability_db", "--from", str(tmp_path / "nowhere"))

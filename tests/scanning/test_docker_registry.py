"""The whole path against Debian's docker-registry: what Tallyman finds is what Trivy finds by hand.

``TALLYMAN_TEST_DATABASE`` names a folder with another vulnerability database than the project's small one.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.jobs.models import State
from inventory.models import Tag
from registries.models import Registry
from scanning import configured_engines
from scanning.engines.trivy.command import trivy_environment
from scanning.models import ImagePackage, PackageVulnerability, SecretFinding
from scanning.vulndb import install as vulndb_install
from tests.fakes import images
from tests.fakes.certificates import Authority
from tests.fakes.docker_registry import PASSWORD, USER, DockerRegistry, docker_registry, program
from tests.scanning.conftest import image_of, layer_files, scan, sync

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OCI layout with an image of Debian as mmdebstrap makes it, and a layer of an application on top."""
    folder = tmp_path_factory.mktemp("debian")
    made = subprocess.run(
        [
            program("mmdebstrap"),
            "--quiet",
            "--variant=essential",
            "--include=curl",
            "--dpkgopt=force-unsafe-io",
            "bookworm",
            str(folder / "root.tar"),
        ],
        capture_output=True,
        text=True,
        timeout=240,
    )
    if made.returncode:
        pytest.skip(f"mmdebstrap could not make an image here: {made.stderr[-300:]}")
    base = (folder / "root.tar").read_bytes()
    token = "ghp_" + "x7Kq9ZrT2mWvB4nYcH8sLdF1gJpE6uA3oQiR"
    application = images.layer(
        {
            "app/config.env": f"GITHUB_TOKEN={token}\n".encode(),
            "usr/lib/python3/dist-packages/requests-2.19.0.dist-info/METADATA": b"Metadata-Version: 2.1\n"
            b"Name: requests\nVersion: 2.19.0\n",
        }
    )
    layers = [images.Layer(base, gzip.compress(base, 1), images.OCI_LAYER + "+gzip"), application]
    config = images.to_json(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created_by": "ADD root.tar /"}, {"created_by": "COPY app /app"}],
        }
    )
    layout = folder / "layout"
    manifest = images.to_json(
        {
            "schemaVersion": 2,
            "mediaType": images.OCI_MANIFEST,
            "config": images.descriptor(config, images.OCI_CONFIG),
            "layers": [layer.descriptor for layer in layers],
        }
    )
    for content in (config, manifest, *(layer.content for layer in layers)):
        blob = layout / "blobs" / "sha256" / hashlib.sha256(content).hexdigest()
        blob.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (layout / "index.json").write_bytes(
        images.to_json({"schemaVersion": 2, "manifests": [images.descriptor(manifest, images.OCI_MANIFEST)]})
    )
    return layout


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def server(debian: Path, authority: Authority) -> Iterator[DockerRegistry]:
    with docker_registry(authority.issue("127.0.0.1")) as running:
        running.copy_in(f"oci:{debian}", "debian/base:12")
        yield running


@pytest.fixture(autouse=True)
def chosen_database(vulnerability_database: None) -> None:
    if folder := os.environ.get("TALLYMAN_TEST_DATABASE"):
        vulndb_install.install(Path(folder))
        configured_engines.trivy.cache_clear()


def by_hand(layout: Path, cache: Path) -> dict[str, set[tuple[Any, ...]]]:
    """What ``trivy image`` says of ``layout`` when a person runs it with the same database."""
    (cache / "db").mkdir(parents=True)
    for name in ("trivy.db", "metadata.json"):
        (cache / "db" / name).symlink_to((vulndb_install.folder() / name).resolve())
    finished = subprocess.run(
        [
            *(str(configured_engines.trivy().executable()), "image", "--input", str(layout), "--cache-dir", str(cache)),
            *("--skip-db-update", "--offline-scan", "--format", "json", "--list-all-pkgs", "--scanners", "vuln,secret"),
        ],
        env=trivy_environment(cache),
        capture_output=True,
        timeout=200,
        check=True,
    )
    found: dict[str, set[tuple[Any, ...]]] = {"packages": set(), "vulnerabilities": set(), "secrets": set()}
    for result in json.loads(finished.stdout)["Results"]:
        for package in result.get("Packages") or []:
            found["packages"].add((package["Identifier"]["PURL"], package["Layer"]["DiffID"]))
        for match in result.get("Vulnerabilities") or []:
            found["vulnerabilities"].add(
                (
                    match["PkgIdentifier"]["PURL"],
                    match["VulnerabilityID"],
                    match["Severity"],
                    match.get("FixedVersion", ""),
                )
            )
        for secret in result.get("Secrets") or []:
            path = result["Target"].lstrip("/")  # the console writes all paths without it
            found["secrets"].add((secret["RuleID"], path, secret["StartLine"], secret["Layer"]["DiffID"]))
    return found


def in_the_console() -> dict[str, set[tuple[Any, ...]]]:
    """The same of what the console has stored."""
    return {
        "packages": set(ImagePackage.objects.values_list("package__purl", "diff_id")),
        "vulnerabilities": {
            (match.package.purl, match.vulnerability.name, match.get_severity_display().upper(), match.fixed_version)
            for match in PackageVulnerability.objects.select_related("package", "vulnerability")
        },
        "secrets": set(SecretFinding.objects.values_list("rule", "path", "start_line", "diff_id")),
    }


@pytest.mark.parametrize("trust", ["bundle", "off"])
def test_what_is_found_equals_trivy_by_hand(
    server: DockerRegistry, authority: Authority, debian: Path, tmp_path: Path, trust: str
) -> None:
    registry = Registry(name="docker", address=server.url, username=USER)
    registry.set_password(PASSWORD)
    if trust == "bundle":
        registry.ca_bundle = authority.pem
    else:
        registry.verify_tls = False
    registry.save()
    synced = sync(registry)
    assert (synced.state, synced.tags, synced.complete) == (State.SUCCEEDED, 1, True)
    ended = scan(Tag.objects.get())
    assert (ended.state, ended.reason) == (State.SUCCEEDED, "")
    ours, theirs = in_the_console(), by_hand(debian, tmp_path / "cache")
    assert len(theirs["packages"]) > 50
    assert theirs["vulnerabilities"]
    assert theirs["secrets"]
    assert ours == theirs
    print({name: len(values) for name, values in ours.items()})
    assert image_of(Tag.objects.get()).os_name.startswith("debian 12")
    assert not layer_files()


def test_an_unknown_certificate_is_refused_with_a_remedy(server: DockerRegistry) -> None:
    registry = Registry(name="docker", address=server.url, username=USER)
    registry.set_password(PASSWORD)
    registry.save()
    synced = sync(registry)
    assert synced.state == State.FAILED
    assert "certificate" in synced.reason + synced.remedy
    assert not Tag.objects.exists()


def test_a_wrong_password_is_told_as_such(server: DockerRegistry, authority: Authority) -> None:
    registry = Registry(name="docker", address=server.url, username=USER, ca_bundle=authority.pem)
    registry.set_password("wrong")
    registry.save()
    synced = sync(registry)
    registry.refresh_from_db()
    assert (synced.state, registry.connection) == (State.FAILED, Registry.Connection.REFUSED)

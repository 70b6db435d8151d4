from __future__ import annotations

import json
import subprocess
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from demo.advisories import ADVISORIES
from scanning.engines.base import ImageInput, RiskCategory, Severity
from scanning.engines.trivy.binary import Binary
from scanning.engines.trivy.engine import Trivy
from tests.fakes import images
from tests.scanning.engines.conftest import (
    APP,
    BASE,
    DEBIAN,
    GITHUB_TOKEN,
    analyse,
    on_disk,
    stored,
)


def by_hand(image: images.Image, database: Path, folder: Path) -> dict[str, Any]:
    """The report of ``trivy image`` run as a person runs it, on the image as a registry holds it."""
    layout = folder / "layout"
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    for content in (image.manifest, image.config, *(layer.content for layer in image.layers)):
        (blobs / images.sha256(content).removeprefix("sha256:")).write_bytes(content)
    (layout / "index.json").write_bytes(images.to_json({"schemaVersion": 2, "manifests": [image.descriptor]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    (folder / "cache").mkdir()
    (folder / "cache" / "db").symlink_to(database)
    command = [str(Binary(None, None).path()), "image", "--input", str(layout), "--cache-dir", str(folder / "cache")]
    command += ["--skip-db-update", "--offline-scan", "--skip-version-check", "--list-all-pkgs", "--format", "json"]
    finished = subprocess.run(command, capture_output=True, check=True, env={"HOME": str(folder)}, timeout=60)
    report: dict[str, Any] = json.loads(finished.stdout)
    return report


def members(report: Mapping[str, Any], key: str) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [(result, each) for result in report["Results"] for each in result.get(key, [])]


def test_packages_vulnerabilities_and_secrets_are_those_of_trivy_by_hand(
    trivy: Trivy, demo_database: Path, tmp_path: Path, scratch: Path
) -> None:
    encoded = [{path: text.encode() for path, text in files.items()} for files in (BASE, APP)]
    image = images.image(*encoded)
    expected = by_hand(image, demo_database, tmp_path)
    report = analyse(trivy, stored(tmp_path / "layers", image), scratch)

    assert {(fact.purl, fact.path, fact.diff_id) for fact in report.packages} == {
        (each["Identifier"]["PURL"], each.get("FilePath", ""), each["Layer"]["DiffID"])
        for _, each in members(expected, "Packages")
    }
    assert {(fact.purl, fact.vulnerability, fact.severity.name, fact.fixed_version) for fact in report.matches} == {
        (each["PkgIdentifier"]["PURL"], each["VulnerabilityID"], each["Severity"], each.get("FixedVersion", ""))
        for _, each in members(expected, "Vulnerabilities")
    }
    assert {(fact.rule, "/" + fact.path, fact.start_line, fact.diff_id) for fact in report.secrets} == {
        (each["RuleID"], result["Target"], each["StartLine"], each["Layer"]["DiffID"])
        for result, each in members(expected, "Secrets")
    }
    assert len(report.packages) == 4
    assert len(report.matches) > 10
    assert len(report.secrets) == 1
    assert report.os_name == "debian 12.4"


def test_what_is_known_of_a_vulnerability_is_that_of_the_database(
    trivy: Trivy, image: ImageInput, scratch: Path
) -> None:
    report = analyse(trivy, image, scratch)
    (fact,) = (each for each in report.vulnerabilities if each.id == "CVE-2024-5535")
    advisory = next(each for each in ADVISORIES if each.id == fact.id)
    assert (fact.title, fact.description) == (advisory.title, advisory.description)
    assert (fact.severity, fact.severity_source) == (Severity.CRITICAL, "nvd")
    assert (fact.cvss_score, fact.cvss_vector) == (9.1, f"CVSS:3.1/{advisory.vector}")
    assert fact.cwes == ("CWE-200",)
    assert "https://nvd.nist.gov/vuln/detail/CVE-2024-5535" in fact.references
    assert fact.published_at
    assert f"{fact.published_at:%Y-%m-%d}" == "2024-06-27"
    (package,) = (each for each in report.packages if each.name == "libssl3")
    assert (package.type, package.version, package.source_name, package.source_version) == (
        "deb",
        "3.0.9-1",
        "openssl",
        "3.0.9-1",
    )
    assert package.diff_id == image.layers[0].diff_id


def test_secrets_in_the_layers_of_a_base_image_are_found_although_trivy_skips_those(
    trivy: Trivy, demo_database: Path, tmp_path: Path, scratch: Path
) -> None:
    history = [
        {"created_by": "COPY . /"},
        {"created_by": 'CMD ["bash"]', "empty_layer": True},
        {"created_by": "COPY app /app"},
        {"created_by": 'CMD ["app"]', "empty_layer": True},
    ]
    secret = {**DEBIAN, "root/.env": f"GITHUB_TOKEN={GITHUB_TOKEN}\n"}
    image = images.image({path: text.encode() for path, text in secret.items()}, {"app/a": b"hello"}, history=history)
    assert members(by_hand(image, demo_database, tmp_path), "Secrets") == []
    report = analyse(trivy, stored(tmp_path / "layers", image), scratch)
    assert [(fact.rule, fact.path) for fact in report.secrets] == [("github-pat", "root/.env")]


def test_an_image_of_no_known_system_says_so(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    report = analyse(trivy, on_disk(tmp_path / "layers", {"server": b"\x7fELF" + bytes(100)}), scratch)
    assert (report.os_name, report.packages, report.matches) == ("", (), ())


def test_an_image_with_java_archives_is_analysed(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as jar:
        jar.writestr(
            "META-INF/maven/org.example/thing/pom.properties", "groupId=org.example\nartifactId=thing\nversion=1.2\n"
        )
    unknown = BytesIO()
    with zipfile.ZipFile(unknown, "w") as jar:
        jar.writestr("A.class", b"\xca\xfe\xba\xbe")
    layers = on_disk(tmp_path / "layers", BASE, {"app/a.jar": archive.getvalue(), "app/b.jar": unknown.getvalue()})
    report = analyse(trivy, layers, scratch)
    assert "pkg:maven/org.example/thing@1.2" in {fact.purl for fact in report.packages}


def test_an_image_with_the_same_layer_twice_is_analysed(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    report = analyse(trivy, on_disk(tmp_path / "layers", BASE, {"a": "b"}, {"a": "b"}, {}), scratch)
    assert len(report.packages) == 2


def test_categories_that_are_not_asked_for_are_not_looked_for(trivy: Trivy, image: ImageInput, scratch: Path) -> None:
    sensitive = analyse(trivy, image, scratch, {RiskCategory.SENSITIVE})
    assert (sensitive.packages, sensitive.matches, len(sensitive.secrets)) == ((), (), 1)
    vulnerabilities = analyse(trivy, image, scratch, {RiskCategory.VULNERABILITIES})
    assert (len(vulnerabilities.packages), vulnerabilities.secrets) == (4, ())

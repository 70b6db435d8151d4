"""What a person gets who runs ``trivy image`` with the database in use, and the same of what the console has stored."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

from inventory.models import Image
from scanning import scanners
from scanning.engines.trivy.command import trivy_environment
from scanning.models import ImagePackage, PackageVulnerability
from scanning.models.packages import SeverityRank
from scanning.vulndb import install as vulndb_install
from tests.fakes import images

Found = set[tuple[str, ...]]


def trivy_findings(image: images.Image) -> tuple[Found, Found]:
    """Packages (name, version, architecture, source, licences) and vulnerabilities of ``image``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        layout = folder / "layout"
        for content in (image.config, image.manifest, *(layer.content for layer in image.layers)):
            blob = layout / "blobs" / "sha256" / hashlib.sha256(content).hexdigest()
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(content)
        (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
        index = {"schemaVersion": 2, "manifests": [image.descriptor]}
        (layout / "index.json").write_bytes(images.to_json(index))
        (folder / "cache").mkdir()
        (folder / "cache" / "db").symlink_to(vulndb_install.folder().resolve(), target_is_directory=True)
        command = [str(scanners.trivy().executable()), "image", "--input", str(layout)]
        command += ["--cache-dir", str(folder / "cache"), "--skip-db-update", "--skip-java-db-update", "--offline-scan"]
        command += ["--format", "json", "--list-all-pkgs", "--scanners", "vuln", "--quiet"]
        finished = subprocess.run(command, env=trivy_environment(folder), capture_output=True, timeout=100, check=True)
    packages: Found = set()
    vulnerabilities: Found = set()
    for result in json.loads(finished.stdout).get("Results") or []:
        for one in result.get("Packages") or []:
            packages.add(
                (
                    one.get("Name", ""),
                    _version(one, ""),
                    one.get("SrcName", ""),
                    _version(one, "Src"),
                    ", ".join(sorted(one.get("Licenses") or [])),
                )
            )
        for match in result.get("Vulnerabilities") or []:
            named = match["PkgName"], match["InstalledVersion"], match["VulnerabilityID"]
            told = match.get("Severity", "UNKNOWN"), match.get("SeveritySource", ""), match.get("FixedVersion", "")
            vulnerabilities.add((*named, *told, match.get("Status", "")))
    return packages, vulnerabilities


def stored_findings(image_id: str) -> tuple[Found, Found]:
    """The same of what is stored of the image with this ID. Its counts must be those of its rows."""
    image = Image.objects.get(image_id=image_id)
    held = ImagePackage.objects.filter(image=image).select_related("package", "variant")
    packages = {
        (
            row.package.name,
            row.package.version,
            row.package.source_name,
            row.package.source_version,
            ", ".join(sorted(row.variant.licenses)),
        )
        for row in held
    }
    matches = PackageVulnerability.objects.filter(variant__in={row.variant_id for row in held})
    rows = list(matches.select_related("package", "vulnerability"))
    counted = image.vulnerabilities
    if counted is not None and counted != len(rows):
        raise AssertionError(f"{counted} vulnerabilities are counted, {len(rows)} are stored")
    vulnerabilities = {
        (
            *(row.package.name, row.package.version, row.vulnerability.name),
            *(SeverityRank(row.severity).name, row.severity_source, row.fixed_version, row.status),
        )
        for row in rows
    }
    return packages, vulnerabilities


def _version(package: dict[str, object], prefix: str) -> str:
    epoch = package.get(f"{prefix}Epoch") or 0
    release = package.get(f"{prefix}Release")
    version = str(package.get(f"{prefix}Version", ""))
    return (f"{epoch}:" if epoch else "") + version + (f"-{release}" if release else "")

from __future__ import annotations

from pathlib import Path

from demo.advisories import ADVISORIES
from scanning.engines.base import MatchFact, RiskCategory, Severity
from scanning.engines.trivy.engine import Trivy
from tests.scanning.engines.conftest import (
    ALPINE,
    DEBIAN,
    analyse,
    apk,
    demo_database,
    dpkg,
    make_trivy,
    notes,
    npm_package,
    on_disk,
    python_package,
    scratch,
    server,
    trivy,
)

__all__ = ["demo_database", "make_trivy", "notes", "scratch", "server", "trivy"]  # fixtures

VULNERABILITIES = {RiskCategory.VULNERABILITIES}


def found(matches: tuple[MatchFact, ...], part: str) -> set[str]:
    return {match.vulnerability for match in matches if part in match.purl}


def of(platform: str, package: str) -> set[str]:
    return {
        advisory.id
        for advisory in ADVISORIES
        for affected in advisory.affected
        if affected.platform.startswith(platform) and affected.package == package
    }


def test_trivy_finds_the_planted_debian_packages_and_no_others(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    status = dpkg(
        ("libexpat1", "expat", "2.5.0-1"),
        ("libssl3", "openssl", "3.0.14-1~deb12u1"),
        ("zlib1g", "zlib", "1:1.2.13.dfsg-1"),
        ("libc6", "glibc", "2.36-9+deb12u9"),
        ("curl", "curl", "7.88.1-10+deb12u15"),
    )
    report = analyse(
        trivy, on_disk(tmp_path / "l", {**DEBIAN, "var/lib/dpkg/status": status}), scratch, VULNERABILITIES
    )
    assert found(report.matches, "libexpat1@") == of("debian", "expat")
    assert found(report.matches, "libssl3@") == {"CVE-2024-5535", "CVE-2024-6119"}
    assert found(report.matches, "curl@") == set()
    (zlib,) = (match for match in report.matches if "zlib1g@" in match.purl)
    assert (zlib.vulnerability, zlib.status, zlib.fixed_version) == ("CVE-2023-45853", "will_not_fix", "")
    assert zlib.severity is Severity.CRITICAL
    (glibc,) = (match for match in report.matches if "libc6@" in match.purl)
    assert (glibc.vulnerability, glibc.severity, glibc.severity_source) == ("CVE-2019-1010022", Severity.LOW, "debian")


def test_trivy_finds_the_planted_alpine_packages(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    installed = apk(
        ("busybox", "busybox", "1.36.1-r0"), ("libcrypto3", "openssl", "3.1.4-r0"), ("musl", "musl", "1.2.4-r3")
    )
    report = analyse(
        trivy, on_disk(tmp_path / "l", {**ALPINE, "lib/apk/db/installed": installed}), scratch, VULNERABILITIES
    )
    assert report.os_name == "alpine 3.18.2"
    assert report.os_end_of_life
    assert found(report.matches, "busybox@") == of("alpine", "busybox")
    assert found(report.matches, "libcrypto3@") == of("alpine", "openssl") - {"CVE-2023-5363"}
    assert found(report.matches, "musl@") == set()


def test_trivy_finds_the_planted_python_and_npm_packages(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    planted = [
        *(python_package(*each) for each in [("Django", "4.2.2"), ("requests", "2.31.0"), ("PyYAML", "5.3.1")]),
        *(npm_package(*each) for each in [("lodash", "4.17.4"), ("minimist", "1.2.5"), ("qs", "6.5.3")]),
    ]
    files = {path: text for package in planted for path, text in package.items()}
    report = analyse(trivy, on_disk(tmp_path / "l", DEBIAN, files), scratch, VULNERABILITIES)
    assert found(report.matches, "pypi/django@") == {"CVE-2023-36053", "CVE-2024-42005"}
    assert found(report.matches, "pypi/requests@") == {"CVE-2024-35195"}
    assert found(report.matches, "pypi/pyyaml@") == {"CVE-2020-14343"}
    assert found(report.matches, "npm/lodash@") == of("npm", "lodash")
    assert found(report.matches, "npm/minimist@") == {"CVE-2021-44906"}
    assert found(report.matches, "npm/qs@") == set()


def test_every_advisory_is_found_in_a_package_that_has_it(trivy: Trivy, tmp_path: Path, scratch: Path) -> None:
    """An old version of each package, so that a slip in a range or a name shows."""
    packages = sorted({affected.package for advisory in ADVISORIES for affected in advisory.affected})
    versions = {"django": ["2.2", "3.1", "4.2"], "urllib3": ["1.26.0"], "lodash": ["4.0.0"], "axios": ["0.19.0"]}
    planted: dict[str, str] = {}
    for package in packages:
        for version in versions.get(package, ["1.0.0"]):
            planted |= {f"{version}/{path}": text for path, text in npm_package(package, version).items()}
            planted |= python_package(package, version if package != "requests" else "2.19.0")
    debian = {**DEBIAN, "var/lib/dpkg/status": dpkg(*((f"deb-{package}", package, "0.1") for package in packages))}
    alpine = {**ALPINE, "lib/apk/db/installed": apk(*((f"apk-{package}", package, "0.1-r0") for package in packages))}
    seen = [
        match.vulnerability
        for image in (on_disk(tmp_path / "l", debian, planted), on_disk(tmp_path / "l", alpine))
        for match in analyse(trivy, image, scratch, VULNERABILITIES).matches
    ]
    assert set(seen) == {advisory.id for advisory in ADVISORIES}

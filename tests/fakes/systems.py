"""Small images of many systems and languages, and a vulnerability database that tells them apart.

Every package of every image has vulnerabilities that depend on more than its purl: its source package, the repository
line, extended support, content sets, who has patched the system.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scanning.engines.trivy import bbolt, bbolt_writer

Files = dict[str, bytes]
Layers = list[Files]
Table = dict[bytes, Any]

SOURCES = {  # platform → id of its source
    "Azure Linux 3.0": "azure",
    "CBL-Mariner 2.0": "cbl-mariner",
    "Red Hat": "redhat",
    "alma 9": "alma",
    "alpine 3.22": "alpine",
    "alpine 3.18": "alpine",
    "alpine edge": "alpine",
    "amazon linux 2023": "amazon",
    "debian 12": "debian",
    "debian 11": "debian",
    "npm::GitHub Security Advisory Npm": "ghsa",
    "pip::GitHub Security Advisory Pip": "ghsa",
    "rapidfort alpine 3.22": "rapidfort",
    "rocky 9": "rocky",
    "root.io alpine 3.22": "rootio",
    "root.io debian 12": "rootio",
    "rubygems::GitHub Security Advisory RubyGems": "ghsa",
    "seal debian": "seal",
    "ubuntu 18.04": "ubuntu",
    "ubuntu 18.04-ESM": "ubuntu",
    "wolfi": "wolfi",
}
BINARIES = {"libssl3": "openssl", "openssl": "openssl", "libexpat1": "expat", "busybox": "busybox", "bash": "bash"}
LIBRARIES = ("alpha", "beta", "gamma")
VERSIONS = ("1.0", "1.2", "1.4", "2.0")
FIXED = ("1.1", "1.3", "1.5")  # of the vulnerabilities of each package on each platform
LICENSES = ("MIT", "GPL-2+", "Apache-2.0")
CONTENT_SETS = ("rhel-9-for-x86_64-baseos-rpms", "rhel-9-for-x86_64-baseos-eus-rpms__9_DOT_2")


def database(
    folder: Path,
    *,
    day: int,
    less: bool = False,
    base: Path | None = None,
    broken: str = "",
    content_sets: tuple[str, ...] = (*CONTENT_SETS, "other-rpms"),
) -> Path:
    """Write a database that was built on ``day`` of November 2026 into ``folder``, which is made, and return it.

    ``less`` leaves out the last vulnerability of each package; ``base`` is another database, all of which it holds
    besides; ``broken`` is a platform one advisory of which (for expat) no Trivy can read; ``content_sets`` are those
    of Red Hat that it knows.
    """
    tree: Table = _copied(base) if base else {}
    fixed = FIXED[:-1] if less else FIXED
    for number, platform in enumerate(SOURCES):
        packages = tree.setdefault(platform.encode(), {})
        names = LIBRARIES if "::" in platform else sorted({*BINARIES, *BINARIES.values(), "seal-openssl"})
        for package in names:
            told = packages.setdefault(package.encode(), {})
            for version in fixed:
                name = _name(number, package, version)
                told[name.encode()] = _json(_advisory(platform, package, version))
                _tables(tree)["vulnerability"][name.encode()] = _json(_text(name, platform, version))
        source = {"ID": SOURCES[platform], "Name": platform, "URL": "https://advisories.test/"}
        _tables(tree)["data-source"][platform.encode()] = _json(source)
        if platform == broken:
            packages[b"expat"][_name(number, "expat", FIXED[0]).encode()] = b'{"FixedVersion": 7}'
    tree[b"Red Hat CPE"] = {
        b"repository": {name.encode(): b"[%d]" % number for number, name in enumerate(content_sets, 1)},
        b"nvr": {b"none-x86_64": b"[4]"},
    }
    folder.mkdir(parents=True)
    bbolt_writer.write(folder / "trivy.db", tree)
    built = f"2026-11-{day:02}T00:00:00Z"
    dates = {"UpdatedAt": built, "NextUpdate": "2099-01-01T00:00:00Z", "DownloadedAt": built}
    (folder / "metadata.json").write_bytes(_json({"Version": 2, **dates}))
    return folder


def _tables(tree: Table) -> dict[str, Table]:
    return {name: tree.setdefault(name.encode(), {}) for name in ("vulnerability", "data-source")}


def _copied(folder: Path) -> Table:
    def read(bucket: bbolt.Bucket) -> Table:
        return {key: read(value) if isinstance(value, bbolt.Bucket) else value for key, value in bucket.items()}

    with (folder / "trivy.db").open("rb") as file:
        return read(bbolt.Bucket.open(file))


def _name(platform: int, package: str, version: str) -> str:
    """The vulnerability of ``package`` that ``version`` fixes: on some platforms another one than elsewhere."""
    number = sorted({*BINARIES, *BINARIES.values(), *LIBRARIES, "seal-openssl"}).index(package)
    return f"CVE-{2020 + platform % 4}-{platform // 4 % 3}{number:02}{version.replace('.', '')}"


def _advisory(platform: str, package: str, version: str) -> dict[str, Any]:
    if platform == "Red Hat":
        sets = {"1.1": [1, 2], "1.3": [1], "1.5": [2, 3]}[version]
        name = f"CVE-2019-{version.replace('.', '')}{len(package)}"
        cves = [{"ID": name, "Severity": len(package) % 5}]
        return {"Entries": [{"Affected": sets, "Cves": cves, "FixedVersion": f"{version}-1", "Arches": []}]}
    if "::" in platform or SOURCES[platform] in ("rootio", "seal", "rapidfort"):
        return {"VulnerableVersions": [f"<{version}"], "PatchedVersions": [version]}
    told: dict[str, Any] = {"FixedVersion": f"{version}-r0" if "alpine" in platform else f"{version}-1"}
    if platform == "debian 12":
        told["Severity"] = len(package) % 5
    return told


def _text(name: str, platform: str, version: str) -> dict[str, Any]:
    rank = int(version[-1]) % 5
    ranks = {"nvd": rank} if rank % 2 else {SOURCES[platform]: rank}
    return {
        "Title": f"Flaw {name}",
        "Description": f"What {name} is.",
        "Severity": ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")[rank],
        "VendorSeverity": ranks,
        "References": [f"https://advisories.test/{name}"],
    }


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


# --- systems -------------------------------------------------------------------------------------------------------


def dpkg(*stanzas: Mapping[str, str]) -> bytes:
    """The status file of dpkg with these packages."""
    common = {"Status": "install ok installed", "Architecture": "amd64"}
    return "".join(
        "".join(f"{key}: {value}\n" for key, value in {**common, **stanza}.items()) + "\n" for stanza in stanzas
    ).encode()


def debian(packages: bytes, *, release: str = "12.4", licenses: Mapping[str, str] | None = None) -> Files:
    """Debian; ``licenses`` are those of packages by name."""
    major = release.partition(".")[0]
    told = {f"usr/share/doc/{name}/copyright": f"License: {text}\n".encode() for name, text in (licenses or {}).items()}
    return {
        "etc/os-release": f'ID=debian\nVERSION_ID="{major}"\n'.encode(),
        "etc/debian_version": f"{release}\n".encode(),
        "var/lib/dpkg/status": packages,
        **told,
    }


def ubuntu(packages: bytes, *, extended: bool = False) -> Files:
    """Ubuntu 18.04, with or without extended support (ESM)."""
    status = {"services": [{"name": "esm-infra", "status": "enabled" if extended else "disabled"}]}
    return {
        "etc/lsb-release": b"DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=18.04\n",
        "etc/os-release": b'ID=ubuntu\nVERSION_ID="18.04"\n',
        "var/lib/dpkg/status": packages,
        "var/lib/ubuntu-advantage/status.json": _json(status),
    }


def apk(*packages: tuple[str, str, str], license: str = "MIT") -> bytes:
    """The list of installed packages of apk: (name, origin, version)."""
    return "".join(
        f"P:{name}\nV:{version}\nA:x86_64\no:{origin}\nL:{license}\n\n" for name, origin, version in packages
    ).encode()


def alpine(packages: bytes, *, release: str = "3.22.1", repositories: tuple[str, ...] = ()) -> Files:
    """Alpine with the lines of its repositories: "v3.22", "edge"."""
    lines = "".join(f"https://dl-cdn.alpinelinux.org/alpine/{one}/main\n" for one in repositories)
    return {
        "etc/alpine-release": f"{release}\n".encode(),
        "etc/os-release": f"ID=alpine\nVERSION_ID={release}\n".encode(),
        "lib/apk/db/installed": packages,
        **({"etc/apk/repositories": lines.encode()} if lines else {}),
    }


def rpm(*packages: tuple[str, str, str, int]) -> bytes:
    """The list of packages of an image without a package manager: (name, source, version-release, epoch)."""
    return "".join(
        f"{name}\t{version}\t0\t0\tMicrosoft Corporation\t(none)\t1\tx86_64\t{epoch}\t{source}-{version}.src.rpm\n"
        for name, source, version, epoch in packages
    ).encode()


RPM_SYSTEMS = {
    "azurelinux": {"etc/os-release": b'ID=azurelinux\nVERSION_ID="3.0"\n'},
    "mariner": {"etc/os-release": b'ID=mariner\nVERSION_ID="2.0"\n'},
    "alma": {"etc/almalinux-release": b"AlmaLinux release 9.3 (Shamrock)\n"},
    "rocky": {"etc/rocky-release": b"Rocky Linux release 9.3 (Blue Onyx)\n"},
    "amazon": {"etc/system-release": b"Amazon Linux release 2023 (Amazon Linux)\n"},
    "redhat": {"etc/redhat-release": b"Red Hat Enterprise Linux release 9.2 (Plow)\n"},
}


def rpms(system: str, packages: bytes, *, content_sets: tuple[str, ...] = ()) -> Files:
    """A system of rpm packages, for Red Hat's with the content sets of its layer."""
    told = {"root/buildinfo/content_manifests/base.json": _json({"content_sets": content_sets})} if content_sets else {}
    return {**RPM_SYSTEMS[system], "var/lib/rpmmanifest/container-manifest-2": packages, **told}


def languages(rng: random.Random, *, folder: str) -> Files:
    """Some packages of Python, Node and Ruby below ``folder``."""
    files: Files = {}
    for name in rng.sample(LIBRARIES, 2):
        version, license = rng.choice(VERSIONS), rng.choice(LICENSES)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nLicense: {license}\n"
        files[f"{folder}/site-packages/{name}-{version}.dist-info/METADATA"] = text.encode()
    for name in rng.sample(LIBRARIES, rng.randrange(3)):
        told = {"name": name, "version": rng.choice(VERSIONS), "license": rng.choice(LICENSES)}
        files[f"{folder}/node_modules/{name}/package.json"] = _json(told)
    for name in rng.sample(LIBRARIES, rng.randrange(2)):
        version = rng.choice(VERSIONS)
        text = f'Gem::Specification.new do |s|\n  s.name = "{name}".freeze\n  s.version = "{version}"\nend\n'
        files[f"{folder}/gems/specifications/{name}-{version}.gemspec"] = text.encode()
    return files


def _dpkg_packages(rng: random.Random, *, suffix: str = "-1", patched: str = "") -> bytes:
    """Some packages; of some the source is another than their purl would have one believe."""
    stanzas = []
    for name in rng.sample(sorted(BINARIES), 3):
        version = f"{rng.choice(VERSIONS)}{suffix}"
        source = rng.choice([BINARIES[name], BINARIES[name], f"{BINARIES[name]} (9999-1)", "harmless (9999-1)"])
        stanzas.append({"Package": name, "Version": version, "Source": source})
    if patched == "root.io":
        stanzas[0]["Version"] += ".root.io.1"
    if patched == "seal":
        stanzas.append({"Package": "seal-openssl", "Version": "1.0-1", "Source": "seal-openssl"})
    return dpkg(*stanzas)


def _apk_packages(rng: random.Random, *, patched: bool = False) -> bytes:
    some = [
        (name, rng.choice([BINARIES[name], "harmless"]), f"{rng.choice(VERSIONS)}-r0")
        for name in rng.sample(sorted(BINARIES), 3)
    ]
    if patched:
        some[0] = (*some[0][:2], some[0][2].replace("-r0", "-r10071"))
    return apk(*some, license=rng.choice(LICENSES))


def _rpm_packages(rng: random.Random) -> bytes:
    return rpm(
        *(
            (name, rng.choice([BINARIES[name], "harmless"]), f"{rng.choice(VERSIONS)}-1", rng.choice([0, 0, 1]))
            for name in rng.sample(sorted(BINARIES), 3)
        )
    )


def _with_licenses(rng: random.Random, **options: Any) -> Files:
    licenses = {name: rng.choice(LICENSES) for name in BINARIES} if rng.random() < 0.7 else {}
    return debian(_dpkg_packages(rng, **options), release=rng.choice(["12.4", "12.6", "11.9"]), licenses=licenses)


def _curated(rng: random.Random) -> Files:
    return {**alpine(_apk_packages(rng)), "usr/share/rapidfort/curated.json": b"{}"}


def _told_by_a_bill(rng: random.Random) -> Files:
    """A package whose purl says another thing than its name and version, by a bill of materials in the image."""
    name, version = rng.choice(sorted(BINARIES)), rng.choice(VERSIONS)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "components": [
            {
                "bom-ref": f"pkg:pypi/{rng.choice(LIBRARIES)}@{version}",
                "type": "library",
                "name": f"not-{name}",
                "version": "9.9",
                "purl": f"pkg:pypi/{rng.choice(LIBRARIES)}@{version}",
            }
        ],
    }
    return {**_with_licenses(rng), "opt/bitnami/app/.spdx-app.cdx.json": _json(document)}


KINDS: tuple[Callable[[random.Random], Files], ...] = (
    lambda rng: _with_licenses(rng),
    lambda rng: _with_licenses(rng),
    lambda rng: _with_licenses(rng, patched="root.io"),
    lambda rng: _with_licenses(rng, patched="seal"),
    lambda rng: ubuntu(_dpkg_packages(rng)),
    lambda rng: ubuntu(_dpkg_packages(rng), extended=True),
    lambda rng: alpine(_apk_packages(rng), repositories=("v3.22",)),
    lambda rng: alpine(_apk_packages(rng), repositories=("v3.22", "edge")),
    lambda rng: alpine(_apk_packages(rng), release=rng.choice(["3.22.1", "3.18.2"])),
    lambda rng: alpine(_apk_packages(rng, patched=True)),
    _curated,
    lambda rng: {"etc/os-release": b"ID=wolfi\nVERSION_ID=2023\n", "lib/apk/db/installed": _apk_packages(rng)},
    lambda rng: rpms("redhat", _rpm_packages(rng)),
    lambda rng: rpms("redhat", _rpm_packages(rng), content_sets=(rng.choice(CONTENT_SETS), "other-rpms")),
    lambda rng: rpms(rng.choice(["azurelinux", "mariner"]), _rpm_packages(rng)),
    lambda rng: rpms(rng.choice(["alma", "rocky", "amazon"]), _rpm_packages(rng)),
    _told_by_a_bill,
    lambda rng: {},  # no system at all
)


def generate_image(number: int, *, seed: int = 7) -> Layers:
    """The layers of the ``number``-th image: all kinds come in turn, with packages that many share."""
    rng = random.Random(f"{seed}-{number}")
    layers = [KINDS[number % len(KINDS)](rng)]
    if rng.random() < 0.8 or not layers[0]:
        layers.append(languages(rng, folder="app"))
    if rng.random() < 0.3:
        layers.append({**languages(rng, folder=f"srv/{rng.randrange(2)}"), f"image-{number}": b"one of its own"})
    return [files for files in layers if files]

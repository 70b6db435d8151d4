"""The packages and vulnerabilities of the made-up images: the same ones for every seed.

Of a package each version is one of its releases, the n-th; a vulnerability is in the releases before the one that
fixes it. The best known ones are real in name and version, all others are made up.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from zlib import crc32

from demo.inventory.tables import TableWriter
from scanning.engines.base import PackageFact
from scanning.findings.package_variants import package_key, variant_key
from scanning.models import Package, PackageVariant, PackageVulnerability, Vulnerability

RELEASES_PER_PACKAGE = 14  # of one package
QUICKLY_FIXED_TYPES = {"apk", "golang"}
REAL_PACKAGES = {  # package → (vulnerability, score, title, versions from the oldest, index of the first fixed one)
    "org.apache.logging.log4j:log4j-core": (
        ("2.11.1", "2.13.3", "2.14.1", "2.15.0", "2.16.0", "2.17.0", "2.17.1", "2.20.0", "2.23.1", "2.24.1"),
        (
            ("CVE-2021-44228", 10.0, "Remote code execution by lookups in logged text (Log4Shell)", 3),
            ("CVE-2021-45046", 9.0, "Incomplete fix of CVE-2021-44228 in some layouts", 4),
            ("CVE-2021-45105", 5.9, "Uncontrolled recursion of self-referential lookups", 5),
            ("CVE-2021-44832", 6.6, "Code execution by a JDBC appender that an attacker configures", 6),
        ),
    ),
    "org.springframework:spring-beans": (
        ("5.2.8", "5.3.10", "5.3.17", "5.3.18", "5.3.27", "5.3.39", "6.0.11", "6.1.6", "6.1.14"),
        (("CVE-2022-22965", 9.8, "Remote code execution by data binding (Spring4Shell)", 3),),
    ),
    "libwebp7": (
        ("1.2.4-0.1", "1.2.4-0.2", "1.2.4-0.2+deb12u1"),
        (("CVE-2023-4863", 8.8, "Heap buffer overflow in the lossless decoder", 2),),
    ),
    "libcurl4": (
        ("7.88.1-10", "7.88.1-10+deb12u1", "7.88.1-10+deb12u4", "7.88.1-10+deb12u8"),
        (("CVE-2023-38545", 9.8, "Heap buffer overflow in the SOCKS5 handshake", 2),),
    ),
    "golang.org/x/net": (
        ("v0.7.0", "v0.10.0", "v0.15.0", "v0.17.0", "v0.23.0", "v0.33.0"),
        (("CVE-2023-39325", 7.5, "Rapid stream resets exhaust an HTTP/2 server", 3),),
    ),
}
FLAW_TITLES = (
    ("Heap buffer overflow in the parser of %s", "CWE-787", "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
    ("Out-of-bounds read when %s handles crafted input", "CWE-125", "AV:N/AC:L/PR:N/UI:R/S:U/C:L/I:N/A:H"),
    ("Use after free in %s", "CWE-416", "AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H"),
    ("Regular expression of %s takes exponential time", "CWE-1333", "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"),
    ("Uncontrolled resource consumption in %s", "CWE-400", "AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"),
    ("Prototype pollution in %s", "CWE-1321", "AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:L/A:L"),
    ("Path traversal in %s", "CWE-22", "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"),
    ("Deserialization of untrusted data in %s", "CWE-502", "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"),
    ("Server-side request forgery in %s", "CWE-918", "AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N"),
    ("Information exposure by %s", "CWE-200", "AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:N/A:N"),
    ("Integer overflow in %s", "CWE-190", "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:H"),
    ("Improper validation of certificates in %s", "CWE-295", "AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:H/A:N"),
)
SEVERITY_RANKS = (5, 4, 3, 2, 1)
SEVERITY_SHARES = (6, 26, 40, 24, 4)
SCORE_RANGES = {5: (9.0, 10.0), 4: (7.0, 8.9), 3: (4.0, 6.9), 2: (1.0, 3.9)}


@dataclass(frozen=True)
class StoredPackage:
    """A package as it is stored: its keys, and its matches by severity from critical to unknown, then the fixable."""

    variant: int
    package: int
    counts: tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Flaw:
    """A vulnerability of a package, in the releases before ``fixed``; None: in all."""

    name: str
    severity: int
    title: str
    cwe: str
    vector: str
    score: float | None
    fixed: int | None
    year: int


class PackageCatalogue:
    """Gives packages, each stored with its vulnerabilities when it is asked for the first time."""

    def __init__(self, *, now: datetime) -> None:
        self.now = now
        self.packages = TableWriter(
            Package,
            ("id", "key", "purl", "type", "name", "version", "source_name", "first_seen"),
            now=now,
        )
        self.variants = TableWriter(PackageVariant, ("id", "key", "package_id", "licenses", "first_seen"), now=now)
        self.vulnerabilities = TableWriter(
            Vulnerability,
            (
                *("id", "name", "title", "description", "severity", "severity_source", "cvss_score", "cvss_vector"),
                *("references", "cwes", "published_at", "first_seen"),
            ),
            now=now,
        )
        self.matches = TableWriter(
            PackageVulnerability,
            (
                *(
                    "variant_id",
                    "package_id",
                    "vulnerability_id",
                    "severity",
                    "severity_source",
                    "fixed_version",
                    "status",
                ),
                "first_seen",
            ),
            now=now,
        )
        self._known: dict[tuple[str, str, str, int], StoredPackage] = {}
        self._flaws: dict[tuple[str, str], list[Flaw]] = {}
        self._stored = dict(Vulnerability.objects.values_list("name", "pk"))
        stored = PackageVariant.objects.values_list("package__purl", "pk", "package_id")
        self._purls = {purl: (pk, package) for purl, pk, package in stored}
        self._numbers: set[str] = set()

    @property
    def tables(self) -> tuple[TableWriter, ...]:
        return self.packages, self.variants, self.vulnerabilities, self.matches

    def package(self, kind: str, system: str, name: str, release: int, first: str = "") -> StoredPackage:
        """Return the n-th release of a package of the distribution ``system``; ``first`` is its first version."""
        key = (kind, system, name, release)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._store(kind, system, name, release, first)
        return found

    def _store(self, kind: str, system: str, name: str, release: int, first: str) -> StoredPackage:
        version = _version(kind, name, release, first)
        purl = f"pkg:{kind}/{system and system + '/'}{name.replace(':', '/')}@{version}"
        flaws = [flaw for flaw in self._of(kind, name) if flaw.fixed is None or release < flaw.fixed]
        counts = [sum(flaw.severity == severity for flaw in flaws) for severity in SEVERITY_RANKS]
        counts.append(sum(flaw.fixed is not None for flaw in flaws))
        if purl not in self._purls:
            pk, package = self._purls[purl] = self.variants.key(), self.packages.key()
            rng = random.Random(crc32(purl.encode()))  # noqa: S311  # nosec B311  # made-up data
            seen = self.now - timedelta(days=rng.randrange(1, 300), seconds=rng.randrange(86_400))
            licence = rng.choice(("MIT", "Apache-2.0", "BSD-3-Clause", "GPL-2.0-or-later", "LGPL-2.1-or-later"))
            fact = PackageFact(purl, kind, name, version, source_name=name.split(":")[-1], licenses=(licence,))
            self.packages.add(package, package_key(fact), purl, kind, name, version, fact.source_name, seen)
            self.variants.add(pk, variant_key(fact, system=""), package, json.dumps([licence]), seen)
            source = {"deb": "debian", "apk": "alpine", "rpm": "redhat"}.get(kind, "ghsa")
            for flaw in flaws:
                fixed = "" if flaw.fixed is None else _version(kind, name, flaw.fixed, first)
                self.matches.add(
                    *(pk, package, self._vulnerability(flaw), flaw.severity, source, fixed),
                    *("fixed" if fixed else rng.choice(("affected", "affected", "will_not_fix")), seen),
                )
        return StoredPackage(*self._purls[purl], (counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]))

    def _vulnerability(self, flaw: Flaw) -> int:
        pk = self._stored.get(flaw.name)
        if pk is None:
            pk = self._stored[flaw.name] = self.vulnerabilities.key()
            rng = random.Random(crc32(flaw.name.encode()))  # noqa: S311  # nosec B311  # made-up data
            published = self.now.replace(year=flaw.year, month=1, day=1) + timedelta(days=rng.randrange(330))
            self.vulnerabilities.add(
                *(pk, flaw.name, flaw.title),
                f"{flaw.title}. Whoever can hand it crafted input may make the process fail or do what it must not.",
                *(flaw.severity, "nvd", flaw.score, f"CVSS:3.1/{flaw.vector}"),
                *(json.dumps([f"https://nvd.nist.gov/vuln/detail/{flaw.name}"]), json.dumps([flaw.cwe])),
                *(min(published, self.now - timedelta(days=3)),),
                self.now
                - timedelta(days=min(rng.randrange(1, 300), rng.randrange(1, 300)), seconds=rng.randrange(86_400)),
            )
        return pk

    def _of(self, kind: str, name: str) -> list[Flaw]:
        """Return the vulnerabilities of a package, of all its releases."""
        flaws = self._flaws.get((kind, name))
        if flaws is not None:
            return flaws
        rng = random.Random(crc32(f"{kind}/{name}".encode()))  # noqa: S311  # nosec B311  # made-up data
        short = name.rsplit("/", 1)[-1].rsplit(":", 1)[-1]
        flaws = []
        for identity, score, title, fixed in REAL_PACKAGES[name][1] if name in REAL_PACKAGES else ():
            severity = 5 if score >= 9 else 4 if score >= 7 else 3
            flaws.append(
                Flaw(identity, severity, title, "CWE-20", FLAW_TITLES[0][2], score, fixed, int(identity.split("-")[1]))
            )
        # Most have none, some a few, a few very many.
        for _n in range(min(40, int(rng.paretovariate(0.8))) if rng.random() < 0.22 else 0):
            title, cwe, vector = rng.choice(FLAW_TITLES)
            severity = rng.choices(SEVERITY_RANKS, SEVERITY_SHARES)[0]
            year = rng.choices((2019, 2020, 2021, 2022, 2023, 2024, 2025), (2, 4, 8, 14, 24, 28, 20))[0]
            identity = ""
            while not identity or identity in self._numbers:
                identity = f"CVE-{year}-{rng.randrange(20_000, 99_999)}"
            self._numbers.add(identity)
            quick = kind in QUICKLY_FIXED_TYPES  # as good as all of them are fixed, and soon
            fixed_in = rng.randrange(1, 6 if quick else RELEASES_PER_PACKAGE) if quick or rng.random() < 0.8 else None
            rated = round(rng.uniform(*SCORE_RANGES[severity]), 1) if severity in SCORE_RANGES else None
            flaws.append(Flaw(identity, severity, title % short, cwe, vector, rated, fixed_in, year))
        self._flaws[kind, name] = flaws
        return flaws


def _version(kind: str, name: str, release: int, first: str) -> str:
    if name in REAL_PACKAGES:
        versions = REAL_PACKAGES[name][0]
        return versions[min(release, len(versions) - 1)]
    if first and first != "1":
        return first if release == 0 else f"{first}+deb12u{release}" if kind == "deb" else f"{first[:-1]}{release}"
    number = crc32(name.encode())
    major, minor = number % 9, number // 9 % 30
    match kind:
        case "deb":
            return f"{major}.{minor}.{release // 3}-{1 + release % 3}"
        case "apk":
            return f"{major}.{minor}.{release // 2}-r{release % 2}"
        case "rpm":
            return f"{major}.{minor}.{release // 4}-{10 + release}.el8"
        case "golang":
            return f"v{min(major, 1)}.{minor + release}.{number % 4}"
    return f"{major}.{minor + release}.{number % 7}"

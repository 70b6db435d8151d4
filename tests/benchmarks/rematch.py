"""How long a changed vulnerability database takes to reach 10,000 images, without a pull.

    python -m tests.benchmarks.rematch [--images 10000] [--fresh 100] [--old FOLDER --new FOLDER]

The packages are those of this machine (dpkg and Python) in several versions on several releases of Debian, as Trivy
finds them in layers that list them; each image holds some of them. The databases are made here, unless two are named.
Prints the time, the memory, the rows written and what they say, then the same for a second rematch that finds nothing
out of date; and compares ``--fresh`` of the images with fresh scans of real layers. The database is SQLite in a
temporary folder.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import random
import re
import resource
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.console import Console, processor

GOAL_SECONDS = 60
RELEASES = [f"12.{point}" for point in range(10)]
VERSION_VARIANTS = 4
PACKAGES_PER_IMAGE = (90, 220)  # packages of an image
CHUNK_ROWS = 5000


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--fresh", type=int, default=100)
    parser.add_argument("--old", type=Path)
    parser.add_argument("--new", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-rematch-") as name:
        folder = Path(name)
        Console(folder / "data")
        Benchmark(folder, options).run()


class PackagePool:
    """What this machine has installed: names and versions, from which images are made up."""

    def __init__(self) -> None:
        status = Path("/var/lib/dpkg/status").read_text(errors="replace")
        self.debian = [stanza for stanza in status.split("\n\n") if "\nStatus: install ok installed" in stanza]
        self.python = sorted({(one.metadata["Name"], one.version) for one in importlib.metadata.distributions()})

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (platform, name) of what advisories can be about."""
        for stanza in self.debian:
            source = re.search(r"^Source: (\S+)", stanza, re.MULTILINE) or re.search(r"^Package: (\S+)", stanza)
            if source:
                yield "debian 12", source[1]
        for name, _version in self.python:
            yield "pip::GitHub Security Advisory Pip", re.sub(r"[-_.]+", "-", name).lower()

    def layer(self, release: str, variant: int, debian: list[int], python: list[int]) -> dict[str, bytes]:
        """The files by which Trivy knows the packages with these numbers, in one of VARIANTS of versions."""
        stanzas = [re.sub(r"^(Version: .+)$", rf"\1+b{variant}", self.debian[n], flags=re.MULTILINE) for n in debian]
        files = {
            "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
            "etc/debian_version": f"{release}\n",
            "var/lib/dpkg/status": "\n\n".join(stanzas) + "\n\n",
        }
        for name, version in (self.python[n] for n in python):
            text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}.{variant}\n"
            files[f"usr/lib/python3/site-packages/{name}-{version}.dist-info/METADATA"] = text
        return {path: text.encode() for path, text in files.items()}


class Benchmark:
    """One console with its images, before and after its database changes."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options, self.pool = folder, options, PackagePool()
        self.random = random.Random(4)
        self.fresh: list[tuple[int, dict[str, bytes]]] = []

    def run(self) -> None:
        from scanning.models import ImagePackage, PackageVariant, PackageVulnerability
        from scanning.vulndb import install as vulndb_install

        old = self.options.old or self.advise("old", 1, share=0.9)
        new = self.options.new or self.advise("new", 2, share=1.0)
        vulndb_install.install(old)
        began = time.monotonic()
        self.store()
        print(
            f"{self.options.images:,} images with {ImagePackage.objects.count():,} packages, "
            f"{PackageVariant.objects.count():,} distinct ones, {PackageVulnerability.objects.count():,} matches "
            f"(stored in {time.monotonic() - began:.0f} s)"
        )
        vulndb_install.install(new)
        self.rematch("after the change", goal=True)
        self.compare()
        PackageVariant.objects.update(matched_with="")
        self.rematch("all again, nothing differs")

    def advise(self, name: str, day: int, *, share: float) -> Path:
        """Make a database of advisories for the packages of the pool, about 5 each, of which ``share`` are known."""
        from demo.advisories import Advisory, Affected
        from demo.vulndb_build import build_demo_vulndb

        chosen = random.Random(1)
        advisories = []
        for number, (platform, package) in enumerate(sorted(set(self.pool.names()))):
            for one in range(chosen.choice((0, 0, 1, 2, 5, 12, 25))):
                fixed = chosen.choice(("", "0.1", "999"))
                known = chosen.random() < share
                score = chosen.choice((2.0, 5.5, 7.8, 9.8))
                debian = platform == "debian 12"
                affected = (
                    Affected(platform, package, (fixed,) if fixed else (), status="" if fixed else "affected")
                    if debian
                    else Affected(platform, package, ("999",), vulnerable=("<999",))
                )
                if known:
                    words = f"{package} mishandles what it is given, case {one}. " * 12
                    vector = "AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
                    identity = f"CVE-{2000 + one}-{number:05}"
                    advisories.append(
                        Advisory(identity, f"{package}: {one}", words, score, vector, "2026-01-01", (affected,))
                    )
        folder = build_demo_vulndb(self.folder / name, tuple(advisories))
        told = json.loads((folder / "metadata.json").read_bytes())
        told |= {"UpdatedAt": f"2026-11-{day:02}T00:00:00Z", "Demo": False}
        (folder / "metadata.json").write_text(json.dumps(told))
        return folder

    def store(self) -> None:
        """Store what scans with the old database would have."""
        from django.utils import timezone

        from inventory.models import Image
        from scanning.findings import counts
        from scanning.findings import store as findings_store
        from scanning.models import CategoryResult, ImagePackage
        from tests import factories

        everything = list(range(len(self.pool.debian))), list(range(len(self.pool.python)))
        held: dict[tuple[str, int], dict[tuple[str, str], tuple[int, int]]] = {}
        for release in RELEASES:
            for variant in range(VERSION_VARIANTS):
                report = self.look(self.pool.layer(release, variant, *everything))
                image = factories.image()
                findings_store.store_packages(image=image, report=report)
                rows_of = ImagePackage.objects.filter(image=image)
                names_of = ("package__type", "package__name", "variant_id", "package_id")
                held[release, variant] = {
                    (kind, name): (one, of) for kind, name, one, of in rows_of.values_list(*names_of)
                }
                image.delete()
        images = Image.objects.bulk_create(
            (Image(image_id=factories.digest(), config_known=True) for _ in range(self.options.images)),
            batch_size=CHUNK_ROWS,
        )
        rows: list[Any] = []
        debian = [re.search(r"^Package: (\S+)", stanza)[1] for stanza in self.pool.debian]  # type: ignore[index]
        for number, image in enumerate(images):
            release, variant = self.random.choice(RELEASES), self.random.randrange(VERSION_VARIANTS)
            system = self.random.sample(
                everything[0], min(self.random.randint(*PACKAGES_PER_IMAGE), len(everything[0]))
            )
            python = self.random.sample(everything[1], min(20, len(everything[1])))
            names = [("deb", debian[n]) for n in system] + [("pypi", self.pool.python[n][0]) for n in python]
            ids = {held[release, variant][name] for name in names if name in held[release, variant]}
            rows += [
                ImagePackage(image=image, variant_id=one, package_id=of, path="var/lib/dpkg/status") for one, of in ids
            ]
            if number < self.options.fresh:
                self.fresh.append((image.pk, self.pool.layer(release, variant, system, python)))
            if len(rows) > CHUNK_ROWS:
                ImagePackage.objects.bulk_create(rows, batch_size=CHUNK_ROWS)
                rows = []
        ImagePackage.objects.bulk_create(rows, batch_size=CHUNK_ROWS)
        now = timezone.now()
        CategoryResult.objects.bulk_create(
            (
                CategoryResult(image=image, category="vulnerabilities", outcome="done", ended_at=now, looked_at=now)
                for image in images
            ),
            batch_size=CHUNK_ROWS,
        )
        counts.recount_vulnerabilities([image.pk for image in images], check=lambda: None)

    def look(self, files: Mapping[str, bytes]) -> Any:
        """Have Trivy look at a layer, as a scan does whose layers are not known."""
        from scanning import configured_engines
        from scanning.engines.base import RiskCategory
        from tests.fakes import images
        from tests.scanning.engines.conftest import stored

        made = images.image(images.layer(dict(files), "none"))
        with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
            image = stored(Path(scratch) / "layers", made)
            session = configured_engines.trivy().session(categories={RiskCategory.VULNERABILITIES})
            return session.analyse(image, scratch=Path(scratch), check=lambda: None, timeout=600)

    def rematch(self, title: str, *, goal: bool = False) -> None:
        from django.db import connection

        from scanning import tasks
        from scanning.rematch import run as rematch

        job = rematch.start_rematch()
        assert job is not None
        rows = WrittenRows()
        began, used = time.monotonic(), processor(os.getpid())
        with connection.execute_wrapper(rows):
            tasks.rematch(job.pk)
        seconds, used = time.monotonic() - began, processor(os.getpid()) - used
        job.refresh_from_db()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        goal_told = f" (goal {GOAL_SECONDS})" if goal else ""
        print(
            f"rematch {title}: {seconds:.1f} s{goal_told}, {used:.1f} s of processor time, {job.state} {job.reason}: "
            f"{job.packages:,} packages, {job.new_matches:,} new in {job.new_in_images:,} images, "
            f"{job.gone_matches:,} gone, counts of {job.images:,} images changed; peak memory {peak} MB, "
            f"of a Trivy {child} MB; rows written to matches: {rows.written:,}"
        )

    def compare(self) -> None:
        """Compare what the rematch has stored with fresh scans."""
        from inventory.models import Image
        from scanning.models import PackageVulnerability

        names = (
            "package__purl",
            "vulnerability__name",
            "severity",
            "severity_source",
            "fixed_version",
            "status",
            "url",
        )
        unlike = total = 0
        began = time.monotonic()
        for pk, files in self.fresh:
            report = self.look(files)
            fresh = {
                (
                    one.purl,
                    one.vulnerability,
                    int(one.severity),
                    one.severity_source,
                    one.fixed_version,
                    one.status,
                    one.url,
                )
                for one in report.matches
            }
            rows = PackageVulnerability.objects.filter(variant__image_packages__image=pk).distinct()
            stored = set(rows.values_list(*names))
            total += len(fresh)
            image = Image.objects.get(pk=pk)
            unlike += fresh != stored or image.vulnerabilities != len(fresh)
        print(
            f"fresh scans of {len(self.fresh)} of the images: {total:,} findings, {unlike} images differ "
            f"({time.monotonic() - began:.0f} s)"
        )


class WrittenRows:
    """Counts the rows that are written into the table of matches."""

    written = 0

    def __call__(self, run: Any, sql: str, params: Any, many: bool, told: Any) -> Any:
        result = run(sql, params, many, told)
        if sql.startswith(("INSERT", "UPDATE", "DELETE")) and "packagevulnerability" in sql.split("(", 1)[0].lower():
            self.written += max(0, told["cursor"].rowcount)
        return result


if __name__ == "__main__":
    main()

"""How long it takes to store what a scan has found: 300 packages with 700 vulnerabilities, and the same again.

    python -m tests.benchmarks.findings [--matches 700]

Prints seconds, of the clock and of the processor, and statements that write findings, for a first scan, an unchanged
second one, and a second image with the same packages. The database is SQLite in a temporary folder.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from tests.benchmarks.console import Console

GOAL_SECONDS = 0.5
PACKAGE_COUNT = 300


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--matches", type=int, default=700)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-findings-") as name:
        Console(Path(name))
        measure(options.matches)


def measure(count: int) -> None:
    from django.db import connection, transaction
    from django.test.utils import CaptureQueriesContext

    from inventory import image_summary
    from scanning.engines.base import ImageReport, MatchFact, PackageFact, Severity, VulnerabilityFact
    from scanning.findings import store as findings_store
    from tests import factories

    purls = [f"pkg:deb/debian/package{number}@1.{number}?arch=amd64" for number in range(PACKAGE_COUNT)]
    packages = tuple(
        PackageFact(purl, "deb", f"package{n}", f"1.{n}", record={"Name": f"package{n}", "Version": f"1.{n}"})
        for n, purl in enumerate(purls)
    )
    report = ImageReport(
        system='{"OS":{"Family":"debian","Name":"12.6"}}',
        matched_with="20261101T000000Z",
        os_name="debian 12.6",
        os_end_of_life=False,
        packages=packages,
        vulnerabilities=tuple(
            VulnerabilityFact(f"CVE-2024-{n:05}", "Title", "Some words of description. " * 20, Severity.HIGH)
            for n in range(count)
        ),
        matches=tuple(
            MatchFact(one.purl, f"CVE-2024-{n:05}", Severity.HIGH, "debian", "2.0", "fixed", package=one.identity)
            for n in range(count)
            for one in [packages[n % PACKAGE_COUNT]]
        ),
        secrets=(),
    )
    first, second = factories.image(), factories.image()
    for title, image in (("first scan", first), ("unchanged rescan", first), ("other image, same packages", second)):
        with CaptureQueriesContext(connection) as seen:
            began, used = time.monotonic(), time.process_time()
            with transaction.atomic():
                changes = findings_store.store_packages(image=image, report=report)
                image_summary.record_findings(
                    image, image_summary.FindingCounts(**changes.counts), os_name=report.os_name
                )
            seconds, used = time.monotonic() - began, time.process_time() - used
        words = [each["sql"].split(None, 1)[0] for each in seen.captured_queries if "scanning_" in each["sql"]]
        written = sum(word in ("INSERT", "UPDATE", "DELETE") for word in words)
        print(f"{title}: {seconds:.2f} s (goal {GOAL_SECONDS}; of processor {used:.2f}),", end=" ")
        print(f"{len(words)} queries, {written} of them write findings")


if __name__ == "__main__":
    main()

"""Whether what is found in an image depends on what was scanned before it, and on rematches between.

    python -m tests.benchmarks.orders [--images 60] [--rounds 2] [--seed 7] [--database FOLDER]

Images of many systems and languages, which share packages by purl and little else, lie in two registries. They are
scanned in random order, then matched again with another database, scanned in another order with that, and so on; after
each step every image is compared with ``trivy image`` by hand with the database of the moment. Prints how many were
compared and how many differ, and ends with 1 where one does. ``--database`` is one that the made ones are added to.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.console import Console


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--database", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-orders-") as name:
        folder = Path(name)
        Console(folder / "data")
        orders = ScanOrders(folder, images=options.images, seed=options.seed, base=options.database)
        try:
            unlike = orders.run(rounds=options.rounds, say=print)
        finally:
            orders.close()
    sys.exit(1 if unlike else 0)


class ScanOrders:
    """Images in two registries, and what is compared."""

    def __init__(self, folder: Path, *, images: int, seed: int, base: Path | None = None) -> None:
        from registries.models import Registry
        from tests.fakes import images as made
        from tests.fakes import systems
        from tests.fakes.registry import FakeRegistry
        from tests.scanning.conftest import sync

        self.random = random.Random(seed)
        self.databases = [
            systems.database(folder / f"database-{day}", day=day, less=day % 2 == 1, base=base) for day in range(1, 9)
        ]
        self.images = [made.image(*systems.generate_image(number, seed=seed)) for number in range(images)]
        self.servers = [FakeRegistry(), FakeRegistry()]
        for server in self.servers:
            server.__enter__()
        for number, image in enumerate(self.images):
            image.put(self.servers[number % 2], f"team/app-{number}", "1.0")
        for number, server in enumerate(self.servers):
            sync(Registry.objects.create(name=f"registry-{number}", type=Registry.Type.OCI, address=server.url))
        self.compared = self.vulnerabilities = self.kept_apart = 0

    def close(self) -> None:
        """Stop the registries."""
        for server in self.servers:
            server.__exit__(None, None, None)

    def run(self, *, rounds: int, say: Callable[[str], None] = lambda text: None) -> list[str]:
        """Scan in ``rounds`` random orders with a rematch after each; return what differs from ``trivy image``."""
        from scanning import scanners
        from scanning.models import Package, PackageVariant
        from scanning.vulndb import install as vulndb_install

        unlike: list[str] = []
        began = time.monotonic()
        databases = iter(self.databases)
        vulndb_install.install(next(databases))
        scanners.trivy.cache_clear()
        for number in range(rounds):
            self.scan()
            unlike += self.compare(f"scan {number + 1}", say)
            vulndb_install.install(next(databases))
            self.rematch()
            unlike += self.compare(f"rematch {number + 1}", say)
        self.kept_apart = PackageVariant.objects.filter(system=None).count()
        say(
            f"{Package.objects.count():,} packages, {PackageVariant.objects.count():,} variants, of which "
            f"{self.kept_apart} belong to one image alone because scans disagreed"
        )
        say(
            f"{len(self.images)} images, {rounds} orders with a rematch after each: {self.compared} comparisons with "
            f"trivy image by hand, {self.vulnerabilities:,} vulnerabilities, {len(unlike)} differ "
            f"({time.monotonic() - began:.0f} s)"
        )
        return unlike

    def scan(self) -> None:
        """Scan all images, in an order of chance; some twice."""
        from inventory.models import Tag
        from tests.scanning.conftest import scan

        tags = list(Tag.objects.all())
        order = [*tags, *self.random.sample(tags, len(tags) // 5)]
        self.random.shuffle(order)
        for tag in order:
            ended = scan(tag, "vulnerabilities")
            if ended.state != "succeeded":
                raise AssertionError(f"{tag}: {ended.reason}")

    def rematch(self) -> None:
        """Match all stored packages with the database in use, as a worker does."""
        from console.jobs.models import State
        from scanning import tasks
        from scanning.models import Rematch
        from scanning.rematch import run as rematch

        rematch.start_rematch()
        (job,) = Rematch.objects.filter(state=State.QUEUED)
        tasks.rematch(job.pk)
        job.refresh_from_db()
        if job.state != State.SUCCEEDED:
            raise AssertionError(f"the rematch: {job.reason}")

    def compare(self, step: str, say: Callable[[str], None]) -> list[str]:
        """Return what differs from ``trivy image`` by hand with the database in use."""
        from scanning.models import CategoryResult
        from tests.fakes.trivy_reference import stored_findings, trivy_findings

        unlike = []
        for number, image in enumerate(self.images):
            theirs, ours = trivy_findings(image), stored_findings(image.image_id)
            self.compared += 1
            self.vulnerabilities += len(theirs[1])
            for what, right, stored in zip(("packages", "vulnerabilities"), theirs, ours, strict=True):
                if right != stored:
                    unlike.append(
                        f"{step}, image {number}, {what}: missing {sorted(right - stored)[:5]}, "
                        f"too many {sorted(stored - right)[:5]}"
                    )
        for told in unlike[:10]:
            say(told)
        outcomes: dict[str, Any] = {}
        for outcome in CategoryResult.objects.values_list("outcome", flat=True):
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
        say(f"{step}: {len(self.images)} images, {len(unlike)} differences, outcomes {outcomes}")
        return unlike


if __name__ == "__main__":
    main()

"""What it costs that images of two registries share no run of Trivy.

    python -m tests.benchmarks.trivy_owners [--images 16]

Images of a Debian base and one Python package each come at the same time, as to a worker with as many threads: all of
one registry, of 2, of 4, and each of its own. Prints the runs of Trivy, seconds, and seconds of processor of Trivy.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from console.sandbox import run as sandbox_run
from demo.vulndb_build import build_demo_vulndb
from scanning.engines.base import ImageInput, RiskCategory
from scanning.engines.trivy.engine import PINNED_SHA256, Trivy
from tests.scanning.engines.conftest import BASE, MemoryLayerCache, diff_ids, no_stop, on_disk, python_package, without

BOTH_CATEGORIES = frozenset((RiskCategory.VULNERABILITIES, RiskCategory.SENSITIVE))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=16)
    count = parser.parse_args().images
    with tempfile.TemporaryDirectory(prefix="tallyman-owners-") as name:
        folder = Path(name)
        database = build_demo_vulndb(folder / "db")
        images = [
            on_disk(folder / "layers", BASE, python_package("requests", f"2.{number}.0")) for number in range(count)
        ]
        for owners in (1, 2, 4, count):
            measure(folder / f"with-{owners}", database, images, owners)


def measure(folder: Path, database: Path, images: Sequence[ImageInput], owners: int) -> None:
    folder.mkdir()
    runs = 0

    def run(argv: Sequence[object], **options: Any) -> sandbox_run.FinishedProcess:
        nonlocal runs
        runs += "image" in argv
        return sandbox_run.run(argv, **options)  # type: ignore[arg-type]

    trivy = Trivy(
        executable=None,
        expected_sha256=PINNED_SHA256,
        home=folder / "home",
        memory=MemoryLayerCache(),
        database=database,
        fingerprint_key=b"a key",
        run=run,
    )
    all_here = threading.Barrier(len(images))

    def one(number: int) -> None:
        scratch = folder / str(number)
        scratch.mkdir()
        session = trivy.session(categories=BOTH_CATEGORIES, owner=str(number % owners))
        with session.announce():
            all_here.wait(60)
            known = session.known(diff_ids(images[number]))
            session.analyse(without(images[number], known), scratch=scratch, check=no_stop, timeout=300)

    began, used = time.monotonic(), _used()
    with ThreadPoolExecutor(len(images)) as pool:
        list(pool.map(one, range(len(images))))
    print(
        f"{len(images)} images of {owners} registries: {runs} runs, {time.monotonic() - began:.1f} s, "
        f"{_used() - used:.1f} s of processor",
        flush=True,
    )


def _used() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()

"""How long a cancel takes in the middle of a pull, of a registry that says nothing, and of Trivy.

    python -m tests.benchmarks.cancels [--rounds 10]

A real worker with the times of the product. From the request to the end of the scan, and to the moment at which no
process of an engine, no scratch folder and no layer file of it is left. Trivy is a program that starts children, one of
them in a session of its own, and hangs.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.console import Console, descendants
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, SlowBody, blob, silence

HANGING_TRIVY = """#!/bin/bash
PATH=/usr/bin:/bin
[ "$1" = --version ] && { echo '{"Version": "0.0.1"}'; exit; }
setsid sleep 86399 & sleep 86399
"""


def main() -> None:
    """Cancel each kind of work some times and print how long it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="tallyman-cancels-") as name, FakeRegistry() as fake:
        folder = Path(name)
        program = folder / "trivy-that-hangs"
        program.write_text(HANGING_TRIVY)
        program.chmod(0o700)
        for number in range(rounds * 3):  # an image each, so that nothing is known of it
            content = {"number": str(number).encode(), "data": bytes(range(256)) * 8000}
            images.image(content).put(fake, "team/app", f"{number:03}")
        run(Console(folder / "data"), fake, rounds, program)


def run(console: Console, fake: FakeRegistry, rounds: int, program: Path) -> None:
    """Sync, start a worker, and cancel."""
    from demo.vulndb import install_demo_vulndb
    from inventory import tasks
    from inventory.models import ManifestLayer, Tag
    from registries.models import Registry
    from registries.sync_requests.start import start_sync
    from scanning.models import Scan
    from scanning.runs.scan_now import cancel, scan_now

    install_demo_vulndb()
    (synced,) = start_sync(registries=[Registry.objects.create(name="fake", address=fake.url)]).runs
    tasks.sync(synced.pk)
    tags = iter(Tag.objects.order_by("name"))
    os.environ["TALLYMAN_TRIVY"] = str(program)
    worker = console.worker()

    def layers() -> list[Path]:
        files = (console.folder / "layers").rglob("*")
        return [path for path in files if path.is_file() and path.stat().st_size]

    def engines() -> list[str]:
        lines = []
        for pid in descendants(worker.process.pid):
            try:
                lines.append(Path(f"/proc/{pid}/cmdline").read_text())
            except OSError:
                continue
        return [line for line in lines if "sleep" in line or "supervise" in line]

    def one(fault: Any, category: str, there: Callable[[Scan], object]) -> tuple[float, float]:
        tag = next(tags)
        digest = ManifestLayer.objects.get(manifest=tag.manifest_id).layer.digest
        if fault:
            fake.fail(blob(digest), fault, times=1)
        (scan,) = scan_now(tag_ids=[tag.pk], requested_by=None, categories=[category]).queued
        _until(lambda: scan.refresh_from_db() or there(scan))
        time.sleep(0.1 * (scan.pk % 10))  # at whatever moment of the worker's second
        began = time.monotonic()
        cancel(scan_ids=[scan.pk])
        _until(lambda: scan.refresh_from_db() or scan.is_final)
        ended = time.monotonic() - began
        assert scan.state == "cancelled", (scan.state, scan.reason)
        _until(lambda: not layers() and not engines() and not list((console.folder / "scratch").glob("*")))
        return ended, time.monotonic() - began

    kinds: dict[str, tuple[Any, str, Callable[[Scan], object]]] = {
        "a pull": (SlowBody(pause=0.001), "malware", lambda scan: scan.stage == "pulling"),
        "a registry that says nothing": (silence, "malware", lambda scan: scan.stage == "pulling"),
        "Trivy": (None, "vulnerabilities", lambda scan: any("sleep" in line for line in engines())),
    }
    for name, kind in kinds.items():
        took = [one(*kind) for _ in range(rounds)]
        ends, cleans = zip(*took, strict=True)
        print(
            f"cancel in the middle of {name}: median {statistics.median(ends):.2f} s, longest {max(ends):.2f} s;"
            f" clean after {max(cleans):.2f} s at most ({rounds} rounds)"
        )
    worker.stop()


def _until(condition: Callable[[], object], seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise SystemExit("it did not come about")
        time.sleep(0.02)


if __name__ == "__main__":
    main()

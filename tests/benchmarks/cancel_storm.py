"""Cancel storms: scans at each of eight stages, all cancelled at once, round after round, with two workers.

    python -m tests.benchmarks.cancel_storm [--rounds 25]

Two ``manage.py worker`` with one database and the times of the product. A scan of each round has just been queued,
waits for the hourly limit, has asked for its manifest, pulls, pulls from a registry that says nothing, waits for the
layer of another scan, is with Trivy (which hangs and has started a child in a session of its own), or is with ClamAV
(which never answers). Prints for each stage how long the ends took, and what is wrong afterwards: a scan that did not
end cancelled or ended twice, one that went back to the queue, a file, a folder or a process that was left behind.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.benchmarks.cancels import HANGING_TRIVY
from tests.benchmarks.console import Console, descendants
from tests.fakes import images
from tests.fakes.registry import FakeRegistry, SlowBody, blob, silence

MAX_CANCEL_SECONDS = 10.0
STAGES = ("queued", "limited", "manifest", "pulling", "mute", "waiting", "trivy", "clamav")
REGISTRY_OF_STAGE = {"limited": "limited", "manifest": "mute", "mute": "mute"}  # of the others: "flows"


def main() -> None:
    """Prepare registries, Trivy and ClamAV, and let the storms begin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory(prefix="tallyman-storm-") as name,
        FakeRegistry() as flows,
        FakeRegistry() as mute,
        FakeRegistry() as limited,
    ):
        program = Path(name) / "trivy-that-hangs"
        program.write_text(HANGING_TRIVY)
        program.chmod(0o700)
        servers = {"flows": flows, "mute": mute, "limited": limited}
        for number in range(rounds):
            _put(servers, number)
        run(Console(Path(name) / "data", TALLYMAN_CLAMD=clamd_that_hangs()), servers, rounds, program)


def _put(servers: dict[str, FakeRegistry], number: int) -> None:
    shared = images.layer({"shared": f"{number}".encode(), "data": os.urandom(200_000)})
    for stage in STAGES:
        own = images.layer({"own": f"{number} {stage}".encode()})
        layers = {"pulling": (shared, own), "waiting": (shared,)}
        image = images.image(*layers.get(stage, (own,)))
        server = servers[REGISTRY_OF_STAGE.get(stage, "flows")]
        image.put(server, "team/app", f"{stage}-{number:03}")
        if stage == "pulling":
            server.fail(blob(image.layers[0].digest), SlowBody(pause=0.001))
        elif stage == "mute":
            server.fail(blob(image.layers[0].digest), silence)


def clamd_that_hangs() -> str:
    """Start something that answers as clamd does until it is to look at a file; return its address."""
    server = socket.create_server(("127.0.0.1", 0))

    def talk(connection: socket.socket) -> None:
        with connection:
            while said := connection.recv(1 << 16):
                if b"zVERSION\0" in said:
                    connection.sendall(b"1: ClamAV 1.4.6/27500/Mon Nov  2 09:00:00 2026\0")

    def serve() -> None:
        while True:
            threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    return f"127.0.0.1:{server.getsockname()[1]}"


def run(console: Console, servers: dict[str, FakeRegistry], rounds: int, program: Path) -> None:
    """Sync, start the workers, and cancel."""
    from console.jobs.models import State
    from console.models import JobEvent
    from demo.vulndb import install_demo_vulndb
    from inventory import tasks
    from inventory.models import Tag
    from registries import pull_limit
    from registries.models import Registry
    from registries.sync_requests.start import start_sync
    from scanning.models import Scan
    from scanning.runs.cancel import cancel
    from scanning.runs.start import scan_now

    install_demo_vulndb()
    registries = [Registry.objects.create(name=name, address=server.url) for name, server in servers.items()]
    for synced in start_sync(registries=registries).runs:
        tasks.sync(synced.pk)
    Registry.objects.filter(name="limited").update(limit=5)
    for number in range(5):
        pull_limit.take_unit(registry_id=registries[2].pk, image_id=f"sha256:{number:064}")
    tags = {tag.name: tag for tag in Tag.objects.all()}
    for name, tag in tags.items():
        if name.startswith("manifest-"):
            servers["mute"].fail(lambda request, digest=tag.digest: request.path.endswith(digest), silence)
    os.environ["TALLYMAN_TRIVY"] = str(program)
    workers = [console.worker(), console.worker()]

    def start(stage: str, number: int) -> Any:
        category = "vulnerabilities" if stage == "trivy" else "malware"
        (scan,) = scan_now(tag_ids=[tags[f"{stage}-{number:03}"].pk], requested_by=None, categories=[category]).queued
        return scan

    def engines() -> list[str]:
        lines = []
        for worker in workers:
            for pid in descendants(worker.process.pid):
                try:
                    lines.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
                except OSError:
                    continue
        return [line for line in lines if "sleep" in line or "supervise" in line]

    def left() -> list[str]:
        files = [path for path in (console.folder / "layers").rglob("*") if path.is_file() and path.stat().st_size]
        return [*map(str, files), *map(str, (console.folder / "scratch").glob("scan-*")), *engines()]

    there: dict[str, Callable[[Any], object]] = {
        "limited": lambda scan: scan.state == "queued" and scan.not_before,
        "manifest": lambda scan: servers["mute"].requests(
            lambda request: request.path.endswith(scan.manifest_digest), method="GET"
        ),
        "pulling": lambda scan: scan.stage == "pulling" and scan.progress_total,
        "mute": lambda scan: scan.stage == "pulling" and scan.progress_total,
        "waiting": lambda scan: scan.stage == "waiting",
        "trivy": lambda scan: scan.stage == "analysing" and any("sleep" in line for line in engines()),
        "clamav": lambda scan: scan.stage == "reading",
    }
    took: dict[str, list[float]] = defaultdict(list)
    wrong: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    clean = []
    for number in range(rounds):
        scans = {stage: start(stage, number) for stage in STAGES[1:] if stage != "waiting"}
        arrived: set[str] = set()
        ends = time.monotonic() + 30
        while len(arrived) < len(there) and time.monotonic() < ends:
            if "pulling" in arrived and "waiting" not in scans:
                scans["waiting"] = start("waiting", number)
            for stage, scan in list(scans.items()):
                scan.refresh_from_db()
                if stage not in arrived and there[stage](scan):
                    arrived.add(stage)
            time.sleep(0.05)
        missed.update(set(there) - arrived)
        scans["queued"] = start("queued", number)
        event = JobEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
        began = time.monotonic()
        cancel(scan_ids=[scan.pk for scan in scans.values()])
        open_ = dict(scans)
        while open_ and time.monotonic() - began < 60:
            rows = dict(Scan.objects.filter(pk__in=[scan.pk for scan in open_.values()]).values_list("pk", "state"))
            for stage, scan in list(open_.items()):
                if rows[scan.pk] in State.final():
                    took[stage].append(time.monotonic() - began)
                    wrong[f"{stage} ended {rows[scan.pk]}"] += rows[scan.pk] != "cancelled"
                    del open_[stage]
            time.sleep(0.02)
        wrong["never ended"] += len(open_)
        while left() and time.monotonic() - began < 60:
            time.sleep(0.05)
        clean.append(time.monotonic() - began)
        wrong["left behind after a minute"] += len(left())
        mine = JobEvent.objects.filter(kind="scan", job_id__in=[scan.pk for scan in scans.values()])
        wrong["back in the queue after the cancel"] += mine.filter(pk__gt=event, to_state="queued").count()
        finals = Counter(mine.filter(to_state__in=State.final()).values_list("job_id", flat=True))
        wrong["ended twice"] += sum(each > 1 for each in finals.values())
    for worker in workers:
        wrong["worker did not stop by itself"] += worker.stop() != 0
    for stage in STAGES:
        print(f"{stage:9} {len(took[stage])} ended: median {statistics.median(took[stage]):.2f} s, longest", end=" ")
        print(f"{max(took[stage]):.2f} s; not at this stage when cancelled: {missed[stage]}")
    late = sum(each > MAX_CANCEL_SECONDS for each in [one for some in took.values() for one in some])
    print(f"later than {MAX_CANCEL_SECONDS:.0f} s: {late}; disk and processes clean after {max(clean):.2f} s at most")
    print("wrong:", {what: count for what, count in wrong.items() if count} or "nothing")


if __name__ == "__main__":
    main()

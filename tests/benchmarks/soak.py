"""What grows while two workers are busy for long, with faults: memory, open files, zombies.

    python -m tests.benchmarks.soak [--minutes 6]

Two ``manage.py worker`` with one SQLite database and the times of the product. A registry that answers 30 % of the
requests with 503 and lets some layers come one byte at a time is synced again and again, and its images are scanned for
all three categories, some of the scans are cancelled, and every 20 seconds a process of a worker is killed, busy or
idle. Prints memory and descriptors of the Python processes in the first and the last third of the time, processes that
stayed zombies, and how long after the last fault all had ended. Figures of seconds say little on a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import statistics
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.console import Console, Worker, descendants
from tests.fakes import images
from tests.fakes.registry import GATEWAY, FakeRegistry, ServerRequest, SlowBody, blob

IMAGE_COUNT = 60
RECOVERY_SECONDS = 90.0


@dataclass
class ResourceWatch:
    """What the processes below the workers take, looked at every two seconds."""

    workers: list[Worker]
    memory: list[float] = field(default_factory=list)  # MiB of all Python processes together
    files: list[int] = field(default_factory=list)
    zombies: Counter[int] = field(default_factory=Counter)  # pid → looks in a row that found it so
    longest: int = 0

    def look(self) -> None:
        """Note how things are now."""
        memory, files = 0.0, 0
        dead = set()
        for worker in self.workers:
            for pid in [worker.process.pid, *descendants(worker.process.pid)]:
                with contextlib.suppress(OSError, IndexError):
                    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                    if stat[0] == "Z":
                        dead.add(pid)
                    elif b"manage.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        memory += int(stat[21]) * os.sysconf("SC_PAGE_SIZE") / 2**20
                        files += len(os.listdir(f"/proc/{pid}/fd"))
        self.memory.append(memory)
        self.files.append(files)
        self.zombies = Counter({pid: self.zombies[pid] + 1 for pid in dead})
        self.longest = max([self.longest, *self.zombies.values()])


def main() -> None:
    """Fill the registry and begin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-soak-") as name, FakeRegistry() as fake:
        run(Console(Path(name)), fake, options.minutes * 60, random.Random(options.seed))


def _fill(fake: FakeRegistry, chance: random.Random) -> None:
    base = images.layer({"etc/os-release": b"ID=debian\nVERSION_ID=12\n", "data": chance.randbytes(300_000)})
    for number in range(IMAGE_COUNT):
        image = images.image(base, images.layer({f"srv/{number}": chance.randbytes(20_000)}))
        image.put(fake, "team/app", f"{number:03}")
        if number % 10 == 0:
            fake.fail(blob(image.layers[1].digest), SlowBody(pause=0.0005))

    def sometimes(_request: ServerRequest) -> bool:
        return chance.random() < 0.3

    fake.fail(sometimes, GATEWAY)


def run(console: Console, fake: FakeRegistry, seconds: float, chance: random.Random) -> None:
    """Load, faults and looks, then the recovery."""
    from console.jobs.models import State
    from demo.vulndb import install_demo_vulndb
    from inventory import tasks
    from inventory.models import Tag
    from registries.models import Registry, SyncRun
    from registries.sync_requests.start import start_sync
    from scanning.models import Scan
    from scanning.runs.cancel import cancel
    from scanning.runs.start import scan_now

    install_demo_vulndb()
    registry = Registry.objects.create(name="soak", address=fake.url)
    _fill(fake, chance)
    (first,) = start_sync(registries=[registry]).runs
    tasks.sync(first.pk)
    tags = list(Tag.objects.values_list("pk", flat=True))
    watch = ResourceWatch([console.worker(), console.worker()])
    began, killed, syncs = time.monotonic(), 0, 0
    kill_at, sync_at = began + 30, began + 15
    while time.monotonic() - began < seconds:
        now = time.monotonic()
        if Scan.objects.exclude(state__in=State.final()).count() < 10:
            started = scan_now(tag_ids=chance.sample(tags, min(10, len(tags))), requested_by=None)
            if started.queued and chance.random() < 0.3:
                cancel(scan_ids=[chance.choice(started.queued).pk])
        if now > sync_at:
            sync_at = now + 15
            syncs += len(start_sync(registries=[registry]).runs)
        if now > kill_at:
            kill_at = now + 20
            below = descendants(chance.choice(watch.workers).process.pid)
            if below:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(chance.choice(below), signal.SIGKILL)
                    killed += 1
        watch.look()
        time.sleep(2)
    fake.heal()
    healed = time.monotonic()
    jobs: tuple[Any, ...] = (Scan.objects, SyncRun.objects)
    while any(rows.exclude(state__in=State.final()).exists() for rows in jobs):
        if time.monotonic() - healed > 3 * RECOVERY_SECONDS:
            break
        watch.look()
        time.sleep(1)
    recovered = time.monotonic() - healed
    left = sum(rows.exclude(state__in=State.final()).count() for rows in jobs)
    codes = [worker.stop() for worker in watch.workers]
    states = Counter(Scan.objects.values_list("state", flat=True))
    reasons = Counter(Scan.objects.filter(state="failed").values_list("reason", flat=True))
    third = len(watch.memory) // 3
    print(
        f"{seconds:.0f} s: {len(tags)} tags of {IMAGE_COUNT}, {syncs} syncs, {killed} processes killed, {dict(states)}"
    )
    print(f"failed, by reason: {dict(reasons.most_common(4))}")
    for what, values in (("memory, MiB", watch.memory), ("descriptors", [float(each) for each in watch.files])):
        early, late = (statistics.median(some) for some in (values[third // 2 : third + third // 2], values[-third:]))
        print(f"{what}: {early:.0f} early, {late:.0f} late ({(late / early - 1) * 100:+.1f} %), most {max(values):.0f}")
    print(f"zombies: the longest was one for {watch.longest} looks; {len(watch.zombies)} at the end")
    print(f"all jobs had ended {recovered:.0f} s after the last fault; left: {left}; exit codes {codes}")
    files = [path for path in (console.folder / "layers").rglob("*") if path.is_file() and path.stat().st_size]
    print(f"layers left: {len(files)}; scratch left: {len(list((console.folder / 'scratch').glob('scan-*')))}")


if __name__ == "__main__":
    main()

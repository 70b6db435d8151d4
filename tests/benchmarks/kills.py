"""What becomes of 1,000 queued scans while one of two workers is killed every 5 seconds for a minute.

    python -m tests.benchmarks.kills [--scans 1000] [--seconds 60] [--categories malware]

Two ``manage.py worker`` with one database, of which one and all that it has started gets SIGKILL every 5 seconds and is
started again. Prints how the scans ended, how often scans were begun and lost, and whether any was lost or done twice
in effect. The database is SQLite in a temporary folder; leases are shortened as in the tests.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

from demo.registry_server import RegistryServer
from tests.benchmarks.console import Console
from tests.fakes import images

KILL_EVERY_SECONDS = 5.0
TIMEOUT_SECONDS = 480.0
EICAR = b"X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-" + b"STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scans", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--categories", nargs="+", default=["malware"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tallyman-kills-") as name, RegistryServer() as server:
        base = images.layer({"etc/os-release": b"ID=debian\n"})
        for number in range(options.scans):
            own = {"number": b"%d" % number, "srv/eicar.com": EICAR}
            images.image(base, own).put(server, "team/app", str(number))
        console = Console(
            Path(name),
            DJANGO_SETTINGS_MODULE="tests.console.jobs.cluster_settings",
            TALLYMAN_TEST_CHILD="1",
            TALLYMAN_SCAN_WORKERS="2",
        )
        run(console, server.url, options.scans, options.seconds, options.categories)


def run(console: Console, url: str, count: int, seconds: float, categories: list[str]) -> None:
    from console.jobs.models import Priority, State
    from console.models import JobEvent
    from demo.vulndb import install_demo_vulndb
    from inventory import tasks
    from inventory.models import Image, Tag
    from registries.models import Registry
    from registries.sync_requests.start import start_sync
    from scanning import tasks as scanning_tasks
    from scanning.models import CategoryResult, MalwareFinding, Scan
    from scanning.runs.start import scan_now

    install_demo_vulndb()
    (run,) = start_sync(registries=[Registry.objects.create(name="kills", address=url)]).runs
    tasks.sync(run.pk)
    tags = Tag.objects.values_list("pk", flat=True)
    started = scan_now(tag_ids=tags, requested_by=None, categories=categories, priority=Priority.SCHEDULE).run
    scanning_tasks.run(started.pk)
    if Scan.objects.count() != count:
        raise SystemExit(f"{Scan.objects.count()} scans are queued in place of {count}")
    began = time.monotonic()
    workers = [console.worker(), console.worker()]
    kills = 0
    last = began
    while Scan.objects.exclude(state__in=State.final()).exists() and time.monotonic() - began < TIMEOUT_SECONDS:
        time.sleep(0.5)
        if time.monotonic() - began <= seconds and time.monotonic() - last >= KILL_EVERY_SECONDS:
            last = time.monotonic()
            workers[kills % 2].kill()
            workers[kills % 2] = console.worker()
            kills += 1
    wall = time.monotonic() - began
    for worker in workers:
        worker.stop()
    states = Counter(Scan.objects.values_list("state", flat=True))
    ends = Counter(JobEvent.objects.filter(kind="scan", to_state__in=State.final()).values_list("job_id", flat=True))
    twice = sum(1 for number in ends.values() if number > 1)
    found = Counter(MalwareFinding.objects.values_list("image_id", flat=True))
    done = set(Scan.objects.filter(state=State.SUCCEEDED).values_list("image_id", flat=True))
    failed = Scan.objects.filter(state=State.FAILED)
    wrong = Scan.objects.exclude(image__scan_state__in=[Image.ScanState.SCANNED, Image.ScanState.FAILED])
    results = CategoryResult.objects.filter(outcome="done").count()
    left = [path for path in (console.folder / "layers").rglob("*") if path.is_file() and path.stat().st_size]
    scratch = list((console.folder / "scratch").glob("*"))
    print(f"{count} scans, {kills} kills, {wall:.0f} s: {dict(states)}")
    print(f"begun again after a lost worker: {sum(Scan.objects.values_list('losses', flat=True))}")
    reasons = Counter(re.sub(r"error \w{8}", "error …", reason) for reason in failed.values_list("reason", flat=True))
    print(f"failed, by reason: {dict(reasons)}")
    print(f"never ended: {count - len(ends)}; ended twice: {twice}; results: {results}")
    unlike = [image for image in done if found[image] != 1]
    print(f"succeeded without exactly one finding: {len(unlike)}; images in a wrong state: {wrong.count()}")
    print(f"layers left on disk: {len(left)}; scratch folders left: {len(scratch)}")


if __name__ == "__main__":
    main()

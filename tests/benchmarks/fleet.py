"""How fast a fleet of 50 images that share bases is scanned, beside ``trivy image`` in a loop on the same machine.

    python -m tests.benchmarks.fleet [--images 50] [--own 1] [--database FOLDER] [--keep FOLDER] [--only ours|one|two]
                                      [--without-malware] [--again]

The images lie in Debian's ``docker-registry``. Ours: two workers, all three categories. Trivy, which looks for no
malware: one loop with its cache, and two loops side by side with a cache each. ``--own`` is how many Python packages
each image has in a layer of its own: with 1, most of the time is that of starting Trivy for each image. ``--keep``
keeps the Debian root file system for the next run; ``--database`` is a folder with another vulnerability database than
the project's small one. With ``--without-malware`` ours looks for what Trivy does, to tell what malware costs. With
``--again`` each is done a second time, when nothing is new. Prints seconds, ratios, bytes pulled and peak memory.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.benchmarks import fleet_images
from tests.benchmarks.console import Console, MemoryWatch, clock, processor
from tests.fakes.certificates import Authority
from tests.fakes.docker_registry import PASSWORD, USER, DockerRegistry, docker_registry

GOAL_RATIOS = {"one": 0.6, "two": 0.9}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--own", type=int, default=1)
    parser.add_argument("--database", type=Path)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--only", choices=("ours", "one", "two"))
    parser.add_argument("--without-malware", action="store_true")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    seconds: dict[str, float] = {}
    processor_seconds: dict[str, float] = {}
    authority = Authority()
    with (
        tempfile.TemporaryDirectory(prefix="tallyman-fleet-") as name,
        docker_registry(authority.issue("127.0.0.1")) as registry,
    ):
        folder = Path(name)
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
        root = fleet_images.debian(options.keep or folder)
        layout, names = fleet_images.build(folder / "layout", root, options.images, own=options.own)
        with ThreadPoolExecutor(2) as pushers:
            list(pushers.map(lambda each: registry.copy_in(f"oci:{layout.folder}:{each}", f"fleet/{each}:1.0"), names))
        print(f"{len(names)} images, {layout.compressed / 1e6:.0f} MB of distinct layers", flush=True)
        console = Console(folder / "data", TALLYMAN_SCAN_WORKERS="2")
        database = _database(options.database)
        for what in ("ours", "one", "two"):
            if options.only in (None, what):
                rounds = 2 if options.again else 1
                if what == "ours":
                    malware = not options.without_malware
                    taken = _ours(console, registry, authority.pem, layout, malware=malware, rounds=rounds)
                else:
                    count = 1 if what == "one" else 2
                    taken = [_loops(count, registry, names, folder / what, database) for _round in range(rounds)]
                for number, (wall, used) in enumerate(taken):
                    again = ", again" if number else ""
                    seconds[what + again], processor_seconds[what + again] = wall, used
                    print(f"{what}{again}: {wall:.1f} s, of processor {used:.1f} s", flush=True)
    for what, goal in GOAL_RATIOS.items():
        if seconds.keys() >= {"ours", what}:
            loops = "one loop" if what == "one" else "two loops side by side"
            processors = processor_seconds["ours"] / processor_seconds[what]
            print(f"ratio to trivy in {loops}: {seconds['ours'] / seconds[what]:.2f} (goal {goal}),", end=" ")
            print(f"of processor time {processors:.2f}")
    if seconds.keys() >= {"ours, again", "one, again"}:
        own, theirs = processor_seconds["ours, again"], processor_seconds["one, again"]
        print(f"ratio of processor time to one loop when nothing is new: {own / theirs:.2f}")


def _database(folder: Path | None) -> Path:
    from demo.vulndb import install_demo_vulndb
    from scanning.vulndb import install as database

    if folder:
        database.install(folder)
    else:
        install_demo_vulndb()
    return database.folder()


def _ours(
    console: Console, server: DockerRegistry, bundle: str, layout: fleet_images.Layout, *, malware: bool, rounds: int
) -> list[tuple[float, float]]:
    """Scan all images with two workers, ``rounds`` times; return for each the seconds it took, and of processor."""
    from console.jobs.models import State
    from inventory import tasks
    from inventory.models import Tag
    from registries.models import Registry
    from registries.sync_requests.start import start_sync
    from scanning.engines.base import RiskCategory
    from scanning.models import MalwareFinding, Scan, SecretFinding
    from scanning.runs.start import scan_now

    registry = Registry(name="fleet", address=server.url, username=USER, ca_bundle=bundle)
    registry.set_password(PASSWORD)
    registry.save()
    (run,) = start_sync(registries=[registry]).runs
    tasks.sync(run.pk)
    already = _blobs_given(server)
    worker = console.worker()
    watch = MemoryWatch(worker.process.pid)
    while not console.rows("SELECT 1 FROM console_scanhealthprobe WHERE state = 'succeeded'"):
        time.sleep(0.1)
    categories = [category for category in RiskCategory if malware or category is not RiskCategory.MALWARE]
    taken = []
    for _round in range(rounds):
        began, used = time.monotonic(), processor(worker.process.pid)
        scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), categories=categories, requested_by=None)
        while Scan.objects.filter(state__in=[State.QUEUED, State.RUNNING]).exists():
            time.sleep(0.1)
        taken.append((time.monotonic() - began, processor(worker.process.pid) - used))
    watch.stop()
    given = _blobs_given(server) - already
    worker.stop()
    states = Counter(Scan.objects.values_list("state", flat=True))
    for scan in Scan.objects.exclude(state=State.SUCCEEDED)[:3]:
        print(f"  {scan} {scan.state}: {scan.reason}")
    pulled = sum(Scan.objects.values_list("bytes_pulled", flat=True))
    again = [digest for digest, count in given.items() if count > 1]
    print(f"  {dict(states)}; {MalwareFinding.objects.count()} viruses, {SecretFinding.objects.count()} secrets")
    print(f"  pulled {pulled / 1e6:.1f} MB of {layout.compressed / 1e6:.1f} MB; blobs asked for twice: {len(again)}")
    print(f"  peak memory of a worker: {watch.python} MiB, with its engine {watch.together} MiB")
    return taken


def _loops(count: int, server: DockerRegistry, names: list[str], folder: Path, database: Path) -> tuple[float, float]:
    """Run ``trivy image`` over all images in ``count`` loops side by side; return seconds on the clock and of CPU."""
    from scanning import configured_engines

    executable = configured_engines.trivy().executable()

    def loop(number: int) -> None:
        cache = folder / f"cache{number}"
        (cache / "db").mkdir(parents=True, exist_ok=True)
        for name in ("trivy.db", "metadata.json"):
            if not (cache / "db" / name).exists():
                (cache / "db" / name).symlink_to((database / name).resolve())
        for name in names[number::count]:
            subprocess.run(
                [
                    *(executable, "image", "--cache-dir", cache, "--insecure", "--image-src", "remote", "--quiet"),
                    *("--skip-db-update", "--skip-java-db-update", "--offline-scan", "--skip-version-check"),
                    *("--disable-telemetry", "--format", "json", "--list-all-pkgs", "--scanners", "vuln,secret"),
                    *("--output", folder / f"{name}.json", f"{server.host}/fleet/{name}:1.0"),
                ],
                env={
                    "HOME": str(folder),
                    "TMPDIR": str(folder),
                    "PATH": os.environ["PATH"],
                    "TRIVY_USERNAME": USER,
                    "TRIVY_PASSWORD": PASSWORD,
                },
                check=True,
                capture_output=True,
            )

    with clock() as taken, ThreadPoolExecutor(count) as pool:
        list(pool.map(loop, range(count)))
    return taken[0], taken[1]


def _blobs_given(server: DockerRegistry) -> Counter[str]:
    """Return how often the registry has given each blob, by its own log."""
    return Counter(re.findall(r'"GET /v2/\S+/blobs/(sha256:[0-9a-f]{64}) HTTP[^"]*" 20', server.log.read_text()))


if __name__ == "__main__":
    main()

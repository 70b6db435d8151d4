"""Two machines with one PostgreSQL scan 200 images, while the vulnerability database and the team's rules change.

    python -m tests.benchmarks.machines [--scans 200] [--seconds 300] [--tallyman FOLDER]

Each machine is a ``manage.py worker`` with a data folder of its own and the same keys. The second one begins with
neither a database nor rules. After a third of the scans the database is updated on the first machine, after two thirds
a rule is added there. Prints which machine has done how many scans, how they ended, and what each has at the end.
``--tallyman`` names the folder of another version of Tallyman to run in place of this one.
"""

from __future__ import annotations

import argparse
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import psycopg

from demo.registry_server import RegistryServer
from tests.console.jobs.conftest import ROOT, processes_of_folder, run_postgres
from tests.fakes import images
from tests.isolation.machines import Machine

DEBIAN = {
    "etc/os-release": b'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n',
    "etc/debian_version": b"12.6\n",
    "var/lib/dpkg/status": b"Package: libexpat1\nStatus: install ok installed\nArchitecture: amd64\n"
    b"Source: expat\nVersion: 2.5.0-1\nMaintainer: nobody\n\n",
}
BEGIN = """
from inventory import tasks
from inventory.models import Tag
from registries.models import Registry
from registries.credentials import read_keys
from registries.sync_requests.start import start_sync
from demo.vulndb import install_demo_vulndb as install_demo_database
from scanning.scanners import fingerprint_key
fingerprint_key(), read_keys()
install_demo_database()
(run,) = start_sync(registries=[Registry.objects.create(name="fleet", address="{url}")]).runs
tasks.sync(run.pk)
"""
LAUNCH = """
from console.jobs.models import Priority
from inventory.models import Tag
from scanning.runs.scan_now import scan_now
tags = Tag.objects.values_list("pk", flat=True)
scan_now(tag_ids=tags, requested_by=None, priority=Priority.SCHEDULE)
"""
UPDATE = """
import json, shutil, tempfile
from pathlib import Path
from scanning.vulndb import install as database
with tempfile.TemporaryDirectory() as name:
    folder = Path(name) / "db"
    shutil.copytree(database.folder(), folder)
    told = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(told | {"UpdatedAt": "2026-11-20T04:00:00Z"}))
    database.install(folder)
"""
ENDED = "SELECT count(*) FROM scanning_scan WHERE state NOT IN ('queued', 'running')"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scans", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--tallyman", type=Path, default=ROOT)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="tallyman-machines-") as name,
        RegistryServer() as registry,
        run_postgres() as postgres,
    ):
        base = images.layer(DEBIAN)
        for number in range(options.scans):
            images.image(base, {"number": b"%d" % number}).put(registry, "team/app", str(number))
        variables = {
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "TALLYMAN_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TALLYMAN_PLAIN_HTTP_HOSTS": "127.0.0.1",
            "TALLYMAN_TRIVY_DATABASE_AT": "off",
            "TALLYMAN_SCANS_PER_WORKER": "2",
            "TALLYMAN_SCAN_WORKERS": "1",
        }
        first = Machine(Path(name) / "first", postgres.url, root=options.tallyman, **variables)
        first.environment["TALLYMAN_SERVES"] = "true"  # so that rules come from there
        second = Machine(Path(name) / "second", postgres.url, root=options.tallyman, **variables)
        try:
            first.manage("migrate", "--verbosity", "0")
            first.manage("shell", "--no-imports", "--command", BEGIN.format(url=registry.url))
            second.copy_keys_of(first)
            _run(first, second, options.scans, options.seconds)
        finally:
            for machine in (first, second):
                machine.end()


def _run(first: Machine, second: Machine, scans: int, seconds: float) -> None:
    rules = first.folder / "rules"
    rules.mkdir()
    (rules / "team.yar").write_text('rule Team { strings: $a = "Debian" condition: $a }')
    first.manage("shell", "--no-imports", "--command", LAUNCH)
    pids: dict[int, str] = {}
    steps = [
        (scans // 3, lambda: first.manage("shell", "--no-imports", "--command", UPDATE)),
        (scans * 2 // 3, lambda: (rules / "more.yar").write_text('rule More { strings: $a = "Debian" condition: $a }')),
    ]
    for machine in (first, second):
        machine.start()
    began = time.monotonic()
    ended = 0
    while ended < scans and time.monotonic() - began < seconds:
        for machine in (first, second):
            pids |= dict.fromkeys(processes_of_folder(machine.folder), machine.folder.name)
        ended = int(first.rows(ENDED)[0][0])
        if steps and ended >= steps[0][0]:
            steps.pop(0)[1]()
        time.sleep(0.2)
    wall = time.monotonic() - began
    rows = first.rows("SELECT state, worker, reason FROM scanning_scan")
    by = Counter(pids.get(int(worker.rpartition(":")[2]), "?") if worker else "nobody" for _state, worker, _ in rows)
    states = Counter(state for state, _worker, _reason in rows)
    reasons = Counter(re.sub(r"error \w{8}", "error …", reason) for _state, _worker, reason in rows if reason)
    print(f"{scans} scans, {wall:.0f} s: {dict(states)}; by machine: {dict(by)}")
    print(f"reasons: {dict(reasons)}")
    outcomes = first.rows("SELECT category, outcome, count(*) FROM scanning_categoryresult GROUP BY 1, 2 ORDER BY 1, 2")
    print(f"results: {outcomes}")
    lacking = sum(count for _category, outcome, count in outcomes if outcome != "done")
    print(f"results that failed for lack of something: {lacking}")
    _settle(first, second)


def _settle(first: Machine, second: Machine) -> None:
    """Tell whether both machines come to have the same, within a minute after the last scan."""

    def differs() -> bool:
        return not first.database() or first.database() != second.database() or len(second.rules()) != 2

    began = time.monotonic()
    while differs() and time.monotonic() - began < 60:
        time.sleep(0.5)
    for machine in (first, second):
        current = (machine.folder / "trivy" / "current").resolve().name
        print(f"{machine.folder.name}: database {current or 'none'} {machine.database()[:12]}, rules {machine.rules()}")
    try:
        print(f"machines: {first.rows('SELECT folder, ready, reason FROM console_machine')}")
        size = first.rows("SELECT count(*), coalesce(sum(length(content)), 0) FROM console_filechunk")[0]
        print(f"in PostgreSQL: {size[0]} chunks, {size[1] / 1024:.0f} KiB")
    except psycopg.Error:
        print("this version has no table of machines")


if __name__ == "__main__":
    main()

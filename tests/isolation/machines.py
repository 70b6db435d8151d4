"""Machines for tests: processes with a data folder of their own, one PostgreSQL, and the same keys."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from tests.console.jobs.conftest import ROOT, RealWorker, processes_of_folder


class Machine(RealWorker):
    """A machine whose worker is not started yet. Its first command makes its keys where it has none."""

    def __init__(self, folder: Path, url: str, *, root: Path = ROOT, **variables: str) -> None:
        folder.mkdir()
        super().__init__(
            folder,
            os.environ
            | {
                "TALLYMAN_TEST_CHILD": "1",
                "TALLYMAN_DATA": str(folder),
                "DJANGO_SETTINGS_MODULE": "tests.console.jobs.cluster_settings",
                "DATABASE_URL": url,
                "REDIS_URL": "",
                "TALLYMAN_SCANS_PER_WORKER": "1",
                "TALLYMAN_SCAN_WORKERS": "1",
                "TALLYMAN_QUICK_WORKERS": "1",
                **variables,
            },
        )
        self.root = root

    def copy_keys_of(self, other: Machine) -> None:
        """Give this machine the keys of another one, as an operator does."""
        shutil.copytree(other.folder / "keys", self.folder / "keys", dirs_exist_ok=True)

    def manage(self, *words: str, text: str | None = None) -> str:
        """Run one management command to its end."""
        command = [sys.executable, str(self.root / "manage.py"), *words]
        done = subprocess.run(
            command, env=self.environment, cwd=self.root, capture_output=True, text=True, timeout=200, input=text
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, *prefix: str) -> None:
        """Start the worker, by the command ``prefix`` where there is one."""
        command = [*prefix, sys.executable, str(self.root / "manage.py"), "worker"]
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, env=self.environment, cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def execute(self, sql: str) -> None:
        """Change the database past the console."""
        with psycopg.connect(self.environment["DATABASE_URL"]) as connection:
            connection.execute(sql.encode())

    def end(self) -> None:
        """Stop the worker, and kill what is left of it."""
        self.close_shell()
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # others must be ended too
                self.stop()
        ends = time.monotonic() + 10
        while (left := processes_of_folder(self.folder)) and time.monotonic() < ends:
            time.sleep(0.1)
        for pid in left:
            os.kill(pid, signal.SIGKILL)

    def database(self) -> str:
        """Return the SHA-256 that the database of this machine was shared by, "" where it has none."""
        note = self.folder / "trivy" / "current" / "archive.sha256"
        return note.read_text() if note.exists() else ""

    def rules(self) -> set[str]:
        """Return the names of the team's rules that scans on this machine use."""
        root = (self.folder / "shared-rules" / "current").resolve()
        return {str(path.relative_to(root)) for path in root.rglob("*.yar")} if root.exists() else set()

    def row(self) -> tuple[bool, str, str] | None:
        """Return what this machine has reported: whether it takes scans, and why not with what to do."""
        rows = self.rows(f"SELECT ready, reason, remedy FROM console_machine WHERE folder = '{self.folder}'")
        return rows[0] if rows else None  # type: ignore[return-value]

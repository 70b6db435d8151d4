"""A demo as a process of its own, as ``make demo`` starts it, for tests that look at it from outside."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class RunningDemo:
    """A running demo and what it has said so far."""

    def __init__(self, data: Path, *options: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TALLYMAN_")}
        self.output = data.with_suffix(".output")
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "demo", "--data", str(data), "--database", "small", *options],
                cwd=ROOT,
                env=environment | {"DATABASE_URL": "postgres://nobody@203.0.113.1/not-for-the-demo"},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self, pattern: str, *, seconds: float = 200) -> re.Match[str]:
        """Return the first match of ``pattern`` in the output; wait for it."""
        deadline = time.monotonic() + seconds
        while not (found := re.search(pattern, self.output.read_text(), re.MULTILINE)):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline, self.output.read_text()
            time.sleep(0.1)
        return found


def processes_of(data: Path) -> set[int]:
    """Return the live processes that have to do with the data folder: by environment, arguments or working folder.

    Engines have an emptied environment, but work in a folder below it.
    """
    mark = str(data).encode()
    found = set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            told = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            if mark in told or (folder / "cwd").readlink().is_relative_to(data):
                found.add(int(folder.name))
        except OSError:  # it has ended; the dead that nobody has buried have none of these either
            continue
    return found


@contextmanager
def running(data: Path) -> Iterator[Callable[..., RunningDemo]]:
    """Give a function that starts a demo in ``data`` on a free port; end all that it has started."""
    started: list[RunningDemo] = []

    def start(*options: str) -> RunningDemo:
        demo = RunningDemo(data, "--port", str(free_port()), *options)
        started.append(demo)
        return demo

    try:
        yield start
    finally:
        for demo in started:
            demo.process.kill()
            demo.process.wait()
        for pid in processes_of(data):
            os.kill(pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

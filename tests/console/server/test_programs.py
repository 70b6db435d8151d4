"""``manage.py serve`` as people run it, and each of its processes killed."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.benchmarks.console import descendants
from tests.console.jobs.conftest import process_name

ROOT = Path(__file__).resolve().parents[3]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Served:
    """A console with a data folder of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.log = folder / "log"
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TALLYMAN_")},
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "TALLYMAN_DATA": str(folder / "data"),
            "TALLYMAN_STATIC": str(folder / "static"),
            "TALLYMAN_URL": self.url,
            "TALLYMAN_LISTEN": self.url.removeprefix("http://"),
            "TALLYMAN_TRIVY_DATABASE_AT": "off",
            "TALLYMAN_SCAN_WORKERS": "1",
            "TALLYMAN_QUICK_WORKERS": "1",
        }
        with self.log.open("w") as log:
            command = [sys.executable, "manage.py", "serve"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    def children(self) -> dict[int, str]:
        """Return the processes that serve has started itself, by the names that ps shows."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {pid: name for pid in map(int, path.read_text().split()) if (name := process_name(pid))}

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/sign-in/", timeout=20).ok
        except requests.RequestException:
            return False

    def wait(self, condition: Callable[[], bool], seconds: float = 200) -> None:
        ends = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < ends, self.log.read_text()
            time.sleep(0.1)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    console = Served(tmp_path)
    try:
        console.wait(console.answers)
        yield console
    finally:
        console.process.terminate()
        console.process.wait()


def test_each_process_that_is_killed_is_started_again_and_the_page_stays(served: Served) -> None:
    served.wait(lambda: len(served.children()) == 3)
    for killed, command in served.children().items():
        before = set(served.children())
        os.kill(killed, signal.SIGKILL)
        served.wait(lambda command=command, before=before: any(  # type: ignore[misc]
            now == command and pid not in before for pid, now in served.children().items()
        ))  # fmt: skip
        assert served.answers()
    assert len(served.children()) == 3
    assert len(re.findall("is started again", served.log.read_text())) == 3


def test_when_all_web_servers_are_killed_at_once_who_comes_waits_and_is_served(served: Served) -> None:
    servers = [pid for pid, command in served.children().items() if command.startswith("tallyman-web")]
    assert len(servers) == 2
    for pid in servers:
        os.kill(pid, signal.SIGKILL)
    assert served.answers(), "the socket is held by who starts them again"


def test_the_end_leaves_no_process_and_refuses_who_comes(served: Served) -> None:
    pids = descendants(served.process.pid)
    assert len(pids) >= 3
    served.process.terminate()
    assert served.process.wait(60) == 0
    assert not served.answers()
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]

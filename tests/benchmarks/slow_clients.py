"""How quick a person signs in while hundreds of clients are as slow as they can be.

    python -m tests.benchmarks.slow_clients [--clients 200] [--seconds 40] [--folder ANOTHER_CHECKOUT]

Runs ``manage.py serve`` of a checkout with SQLite in a data folder of its own, and no proxy. A quarter of the clients
each sends its headers one byte a second; sends the body of a sign-in one byte a second; asks for a large file 40 times
and reads the answers one byte a second; asks once and keeps the connection. A client that is cut off comes again. A
person signs in every second, each time with a new connection. Prints the times from the first connection to the answer
that leads on, before and while the slow clients are there, and the memory of the web server.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import requests

from tests.benchmarks.console import descendants
from tests.console.jobs.conftest import process_name

ROOT = Path(__file__).resolve().parent.parent.parent
CLIENT_KINDS = ("headers", "body", "reader", "idle")
ATTEMPT_SECONDS = 15.0  # after which a sign-in counts as failed
START_SECONDS = 300.0


@dataclass
class SlowClients:
    """Connections that hold what they can of a web server, from one thread."""

    host: str
    port: int
    count: int
    large: str  # path of a large file
    came_again: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> SlowClients:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        selector = selectors.DefaultSelector()
        wanted = [CLIENT_KINDS[number % len(CLIENT_KINDS)] for number in range(self.count)]
        while not self._stop.is_set():
            for kind in wanted:
                self._open(selector, kind)
            wanted = []
            until = time.monotonic() + 1
            for key in list(selector.get_map().values()):
                if key.data in {"headers", "body"}:
                    with contextlib.suppress(OSError):
                        key.fileobj.send(b"x")
            while (left := until - time.monotonic()) > 0 and not self._stop.is_set():
                for key, _events in selector.select(min(left, 0.2)):
                    if self._ended(key):
                        wanted.append(key.data)
                        self.came_again[key.data] += 1
                        selector.unregister(key.fileobj)
                        key.fileobj.close()
                if not wanted:
                    time.sleep(min(0.2, max(until - time.monotonic(), 0)))
        for key in list(selector.get_map().values()):
            key.fileobj.close()
        selector.close()

    def _ended(self, key: selectors.SelectorKey) -> bool:
        """Read one byte (all that an idle client got); return whether the server has cut the connection."""
        try:
            return not key.fileobj.recv(65536 if key.data == "idle" else 1)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def _open(self, selector: selectors.BaseSelector, kind: str) -> None:
        sock = socket.socket()
        sock.settimeout(0.5)
        if kind == "reader":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        try:
            sock.connect((self.host, self.port))
            host = f"Host: {self.host}:{self.port}\r\n"
            large = f"GET {self.large} HTTP/1.1\r\n{host}Accept-Encoding: identity\r\n\r\n"
            # Without the cookie Django refuses the form before it reads the body.
            cookie = f"Cookie: csrftoken={'a' * 32}\r\n"
            sign_in = f"POST /sign-in/ HTTP/1.1\r\n{host}{cookie}Content-Length: 100000\r\n"
            first = {
                "headers": f"GET /sign-in/ HTTP/1.1\r\n{host}X-Slow: ",
                "body": f"{sign_in}Content-Type: application/x-www-form-urlencoded\r\n\r\n",
                "reader": large * 40,
                "idle": f"GET /sign-in/ HTTP/1.1\r\n{host}\r\n",
            }[kind]
            sock.sendall(first.encode())
        except OSError:
            self.refused += 1
            sock.close()
            return
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, kind)


def sign_in(url: str, password: str) -> float | None:
    """Return the seconds that a sign-in takes, None where it does not succeed in ATTEMPT_SECONDS."""
    began = time.monotonic()
    try:
        with requests.Session() as session:
            page = session.get(f"{url}/sign-in/", timeout=ATTEMPT_SECONDS)
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
            data = {"csrfmiddlewaretoken": token and token[1], "username": "admin", "password": password}
            left = max(ATTEMPT_SECONDS - (time.monotonic() - began), 0.1)
            answer = session.post(f"{url}/sign-in/", data, timeout=left, allow_redirects=False)
    except requests.RequestException:
        return None
    return time.monotonic() - began if answer.status_code == 302 else None


def measure(url: str, password: str, seconds: float) -> list[float | None]:
    """Sign in about every second for ``seconds``."""
    ends = time.monotonic() + seconds
    taken = []
    while time.monotonic() < ends:
        taken.append(sign_in(url, password))
        time.sleep(max(0.0, 1 - (taken[-1] or 1)))
    return taken


def report(name: str, taken: list[float | None]) -> None:
    """Print one line."""
    good = sorted(each for each in taken if each is not None)
    times = f"median {statistics.median(good):.2f} s, longest {good[-1]:.2f} s" if good else "no sign-in succeeded"
    within = sum(each <= 1 for each in good)
    print(f"{name:>24}: {len(taken)} sign-ins, {len(taken) - len(good)} failed, {within} within 1 s; {times}")


def memory(pid: int) -> float:
    """Return the MiB that the processes below ``pid`` which serve pages hold for themselves."""
    total = 0
    for each in descendants(pid):
        with contextlib.suppress(OSError):
            if process_name(each).startswith("tallyman-web"):
                found = re.search(r"Pss:\s+(\d+)", Path(f"/proc/{each}/smaps_rollup").read_text())
                total += int(found[1]) if found else 0
    return total / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--folder", type=Path, default=ROOT)
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data, (Path(data) / "log").open("w+") as log:
        environment = os.environ | {
            "TALLYMAN_DATA": f"{data}/data",
            "TALLYMAN_STATIC": f"{data}/static",
            "TALLYMAN_URL": url,
            "TALLYMAN_LISTEN": f"127.0.0.1:{port}",
            "TALLYMAN_TRIVY_DATABASE_AT": "off",
            "TALLYMAN_SCAN_WORKERS": "1",
        }
        console = subprocess.Popen(
            [sys.executable, "manage.py", "serve"], cwd=options.folder, env=environment, stdout=log, stderr=log
        )
        try:
            password = _password(Path(data) / "log", console)
            page = _page(url, console)
            large = re.search(r'href="(/static/console[\w.]*\.css)"', page)
            report("without slow clients", measure(url, password, 8))
            print(f"{'memory of the web server':>24}: {memory(console.pid):.0f} MiB")
            with SlowClients("127.0.0.1", port, options.clients, large[1] if large else "/static/console.css") as slow:
                time.sleep(2)
                report(f"with {options.clients} slow clients", measure(url, password, options.seconds))
                print(f"{'memory of the web server':>24}: {memory(console.pid):.0f} MiB")
            again = ", ".join(f"{kind} {slow.came_again[kind]}" for kind in CLIENT_KINDS)
            print(f"{'cut off and come again':>24}: {again}; not let in: {slow.refused}")
            report("afterwards", measure(url, password, 8))
        finally:
            console.terminate()
            console.wait()


def _password(log: Path, console: subprocess.Popen[bytes]) -> str:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and console.poll() is None:
        if found := re.search(r"Password: (\S+)", log.read_text()):
            return found[1]
        time.sleep(0.2)
    raise SystemExit(f"The console did not start:\n{log.read_text()}")


def _page(url: str, console: subprocess.Popen[bytes]) -> str:
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends and console.poll() is None:
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{url}/sign-in/", timeout=5).text
        time.sleep(0.2)
    raise SystemExit("The web server does not answer.")


if __name__ == "__main__":
    main()

"""``make audit`` finds a locked package that has a known vulnerability, and unsafe code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
ADVISORY = {
    "id": "GHSA-test-test-test",
    "summary": "Made up",
    "details": "Made up",
    "published": "2026-01-02T03:04:05Z",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "django"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


def command(program: str) -> list[str]:
    """Return how the Makefile calls ``program``."""
    (words,) = re.findall(rf"^\t\$\(BIN\)/{program} (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return [str(BIN / program), *words.split()]


@contextmanager
def advisories(vulnerable: str) -> Iterator[tuple[str, list[str]]]:
    """Serve OSV's API; ``vulnerable`` is the one package that it knows something of. Gives its address, who asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            name = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
            asked.append(name)
            body = json.dumps({"vulns": [ADVISORY]} if name == vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query", asked
        server.shutdown()


@pytest.mark.parametrize("vulnerable", ["", "django"])
def test_every_locked_package_is_looked_up_and_a_vulnerable_one_fails_it(vulnerable: str, tmp_path: Path) -> None:
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    with advisories(vulnerable) as (address, asked):
        there = ["--vulnerability-service", "osv", "--osv-url", address, "--cache-dir", str(tmp_path)]
        done = subprocess.run([*command("pip-audit"), *there], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert len(set(asked)) >= len(locked) - 1, "a package for another machine may be left out"
    assert done.returncode == (1 if vulnerable else 0), done.stderr
    assert ("GHSA-test-test-test" in done.stdout) == bool(vulnerable)


def test_unsafe_code_is_found_where_no_reason_stands_beside_it(tmp_path: Path) -> None:
    unsafe = 'connection.cursor().execute(f"SELECT id FROM names WHERE name = {input()}")'
    (tmp_path / "unsafe.py").write_text(f"{unsafe}\n")
    (tmp_path / "reasoned.py").write_text(f"{unsafe}  # nosec B608\n")
    words = command("bandit")
    options = words[: words.index("-r")]
    for name, code in (("unsafe.py", 1), ("reasoned.py", 0)):
        done = subprocess.run([*options, str(tmp_path / name)], cwd=ROOT, capture_output=True, text=True, timeout=100)
        assert done.returncode == code, done.stdout


def test_all_code_is_clean_or_has_its_reason_beside_it() -> None:
    done = subprocess.run(command("bandit"), cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout

"""Debian's ``docker-registry`` on loopback, with TLS by a certificate of its own and a password file."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.certificates import Certificate

USER, PASSWORD = "tester", "only-for-tests"
HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuDt8u8tY.Zm8YU.pieFNyF5h5afvnc0a\n"  # bcrypt of PASSWORD
START_SECONDS = 20


@dataclass(frozen=True)
class DockerRegistry:
    """A running registry: ``host`` is ``127.0.0.1:port``, ``log`` a line for each request, ``storage`` its files."""

    host: str
    log: Path
    storage: Path

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    def copy_in(self, source: str, name: str, *options: str) -> None:
        """Copy the image ``source`` (in skopeo's notation) to ``name`` of this registry."""
        login = f"--dest-creds={USER}:{PASSWORD}"
        _skopeo("copy", "--quiet", "--dest-tls-verify=false", login, *options, source, f"docker://{self.host}/{name}")

    def delete(self, name: str) -> None:
        """Delete the manifest of ``name``."""
        login = f"--creds={USER}:{PASSWORD}"
        _skopeo("delete", "--tls-verify=false", login, f"docker://{self.host}/{name}")


def program(name: str) -> str:
    """Return the path of a program of Debian's; without it skip the test, but fail it on a build machine."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        message = f"{name} is missing. Run: sudo apt-get install -y {name}"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return path


@contextmanager
def docker_registry(certificate: Certificate) -> Iterator[DockerRegistry]:
    """Run the registry until the block ends."""
    executable = program("docker-registry")
    with tempfile.TemporaryDirectory(prefix="docker-registry-") as name:
        folder = Path(name)
        pem, key = certificate.write(folder)
        (folder / "htpasswd").write_text(HTPASSWD)
        host = f"127.0.0.1:{_free_port()}"
        configuration = folder / "config.yml"
        configuration.write_text(
            f"""
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder / "storage"}}}, delete: {{enabled: true}}}}
http: {{addr: "{host}", tls: {{certificate: {pem}, key: {key}}}}}
auth: {{htpasswd: {{realm: tests, path: {folder / "htpasswd"}}}}}
"""
        )
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([executable, "serve", str(configuration)], stdout=log, stderr=log)
        try:
            _wait_for(host, process, folder / "log")
            yield DockerRegistry(host, folder / "log", folder / "storage")
        finally:
            process.terminate()
            process.wait(timeout=10)


def _skopeo(*words: str) -> None:
    done = subprocess.run(
        [program("skopeo"), "--insecure-policy", *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    name, port = host.split(":")
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection((name, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"docker-registry did not start: {log.read_text(errors='replace')[-500:]}")

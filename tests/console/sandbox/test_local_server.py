"""A server in the sandbox that was taken over reaches nothing, and nobody but its owner reaches it."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.processes.control import children
from console.sandbox import local_server
from console.sandbox import run as sandbox_run
from console.sandbox.local_server import HOST, LocalServer, ServerNotReached

pytestmark = pytest.mark.skipif(not local_server.can_serve(), reason="this system grants nothing to shut a server in")

SECRET = "planted-secret-of-the-server"

# Listens where it is told, and answers each connection with what it could do, or with what kept it from it.
SERVER = r"""
import json, os, socket, sys
host, _colon, port = sys.argv[1].partition(":")
port, outside, unix = int(port), int(sys.argv[2]), sys.argv[3]
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind((host, port))
server.listen()
got = {}
def attempt(name, call):
    try:
        got[name] = str(call())
    except OSError as error:
        got[name] = type(error).__name__
def udp(send):
    return send(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
while True:
    connection, _address = server.accept()
    attempt("tcp", lambda: socket.create_connection((host, outside), timeout=2))
    attempt("tcp to itself", lambda: socket.create_connection((host, port), timeout=2))
    attempt("fast open", lambda: socket.socket().sendto(b"x", 0x20000000, (host, outside)))
    attempt("udp", lambda: udp(lambda way: way.sendto(b"x", (host, outside))))
    attempt("udp by a message", lambda: udp(lambda way: way.sendmsg([b"x"], [], 0, (host, outside))))
    attempt("ipv6", lambda: socket.socket(socket.AF_INET6))
    attempt("socket of a file", lambda: socket.socket(socket.AF_UNIX).connect(unix))
    attempt("another port", lambda: socket.socket().bind((host, 0)))
    attempt("read", lambda: open(unix + ".txt").read())
    got["environment"] = sorted(os.environ)
    os.write(connection.fileno(), json.dumps(got).encode())
    connection.close()
"""


@pytest.fixture(params=["apart", "at a port of the machine"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[LocalServer, socket.socket]]:
    """The server in a network of its own, and as it is where the system grants none; and what listens outside."""
    support = sandbox_run.sandbox_support()
    if request.param == "apart" and not support.network:
        pytest.skip("this system grants no namespaces")
    if request.param != "apart":
        if not support.calls:
            pytest.skip("this kernel has no seccomp, or its numbers differ")
        limited = dataclasses.replace(support, network=False)
        for module in (sandbox_run, local_server):
            monkeypatch.setattr(module, "sandbox_support", lambda: limited)
    work = tmp_path / "work"
    work.mkdir()
    unix = tmp_path / "socket"
    unix.with_name("socket.txt").write_text(SECRET)
    with socket.create_server((HOST, 0)) as outside, socket.socket(socket.AF_UNIX) as file:
        file.bind(str(unix))
        file.listen()
        started = LocalServer(
            lambda address: [
                *(Path(sys.executable).resolve(), "-I", "-S", "-c", SERVER, address),
                *(str(outside.getsockname()[1]), str(unix)),
            ],
            memory_bytes=512 * 1024**2,
            file_bytes=0,
            env={"TOKEN": SECRET},
            cwd=work,
            reads=[Path(sys.base_prefix)],
            writes=[],
        )
        try:
            yield started, outside
        finally:
            started.kill()


def answer(way: socket.socket) -> dict[str, Any]:
    told = b""
    while chunk := way.recv(65536):
        told += chunk
    return dict(json.loads(told))


def test_a_server_that_was_taken_over_reaches_nothing(server: tuple[LocalServer, socket.socket]) -> None:
    started, outside = server
    with started.connect(check=lambda: None, timeout=30) as way:
        got = answer(way)
    assert set(got.pop("environment")) <= {"TOKEN", "LC_CTYPE"}  # which Python itself adds
    if started.is_apart:
        (child,) = children(started.pid)
        interfaces = Path(f"/proc/{child}/net/dev").read_text().splitlines()[2:]
        assert [line.partition(":")[0].strip() for line in interfaces] == ["lo"]
    if not sandbox_run.sandbox_support().files:
        del got["read"], got["another port"]
    if sandbox_run.sandbox_support().calls:
        assert got == dict.fromkeys(got, "PermissionError")
    outside.settimeout(0.1)
    with pytest.raises(TimeoutError):
        outside.accept()


def test_nobody_else_reaches_a_server_that_is_apart(server: tuple[LocalServer, socket.socket]) -> None:
    started, _outside = server
    if not started.is_apart:
        pytest.skip("this one asks for a secret instead")
    with started.connect(check=lambda: None, timeout=30):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((HOST, local_server.OWN_PORT), timeout=2)
        listening = Path("/proc/net/tcp").read_text()
        assert f"{local_server.OWN_PORT:04X} 00000000:0000 0A" not in listening


def test_the_ways_in_are_all_there_are(server: tuple[LocalServer, socket.socket]) -> None:
    started, _outside = server
    if not started.is_apart:
        pytest.skip("this one is reached by as many connections as one likes")
    for _number in range(local_server.WAYS_IN):
        with started.connect(check=lambda: None, timeout=30) as way:
            assert answer(way)
    with pytest.raises(ServerNotReached):
        started.connect(check=lambda: None, timeout=1)


def test_another_program_at_the_port_is_not_taken_for_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    support = sandbox_run.sandbox_support()
    limited = dataclasses.replace(support, network=False)
    for module in (sandbox_run, local_server):
        monkeypatch.setattr(module, "sandbox_support", lambda: limited)
    with socket.create_server((HOST, 0)) as impostor:
        monkeypatch.setattr(local_server, "_free_port", lambda: impostor.getsockname()[1])
        started = LocalServer(
            lambda _address: ["/bin/sleep", "60"],
            memory_bytes=512 * 1024**2,
            file_bytes=0,
            env={},
            cwd=tmp_path,
            reads=[],
            writes=[],
        )
        try:
            with pytest.raises(ServerNotReached, match="another program"):
                started.connect(check=lambda: None, timeout=5)
        finally:
            started.kill()


def test_a_server_that_ends_is_not_waited_for_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    started = LocalServer(
        lambda _address: ["/bin/sh", "-c", "echo broken >&2; exit 3"],
        memory_bytes=512 * 1024**2,
        file_bytes=0,
        env={},
        cwd=tmp_path,
        reads=[],
        writes=[],
    )
    began = time.monotonic()
    try:
        with pytest.raises(ServerNotReached, match="broken"):
            started.connect(check=lambda: None, timeout=60)
        assert time.monotonic() - began < 30
    finally:
        started.kill()
    assert started.pid not in children(os.getpid())

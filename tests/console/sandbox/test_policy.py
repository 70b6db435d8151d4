"""What an engine could do that has been taken over by what it reads: nothing outside of its cage."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from console.sandbox import policy
from console.sandbox import run as sandbox_run

pytestmark = pytest.mark.skipif(not sandbox_run.sandbox_support().network, reason="this system grants no namespaces")

needs_filter = pytest.mark.skipif(
    not sandbox_run.sandbox_support().calls, reason="this kernel has no seccomp, or its numbers differ"
)


def signals_are_held() -> bool:
    version: int = ctypes.CDLL(None).syscall(policy.LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))
    return version >= 6


PLANTED = "planted-canary-in-our-environment"

# Each attempt names what it got, or the error that it met.
ATTACK = r"""
import ctypes, json, os, resource, socket, sys
port, parent, server, calls = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
libc = ctypes.CDLL(None, use_errno=True)
got = {}
def attempt(name, call):
    try:
        got[name] = str(call())[:200]
    except BaseException as error:
        got[name] = type(error).__name__
def tcp(host):
    return socket.create_connection((host, port), timeout=2)
for host in ("127.0.0.1", "localhost", "169.254.169.254", "8.8.8.8"):
    attempt("tcp " + host, lambda: tcp(host))
def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return sock.sendto(b"x", ("8.8.8.8", 53))
attempt("udp", udp)
attempt("name", lambda: socket.getaddrinfo("registry.example.com", 443))
attempt("environment of the worker", lambda: open(f"/proc/{parent}/environ").read())
attempt("memory of the worker", lambda: open(f"/proc/{parent}/mem", "rb").read(1))
attempt("files of the worker", lambda: open(f"/proc/{parent}/fd/0").read())
attempt("signal to the worker", lambda: os.kill(parent, 0))
attempt("root again", lambda: os.setgroups([0]))
names = ("CapPrm", "CapEff", "CapBnd")
got["rights"] = [line.split()[1] for line in open("/proc/self/status") if line.startswith(names)]
def call(*words):
    return [libc.syscall(*words, 0, 0, 0, 0, 0), ctypes.get_errno()]
got["calls"] = [call(number) for number in calls["denied"]]
got["call for a namespace"] = call(calls["clone"], 0x10000011)
got["calls in other words"] = [call(435), call(41 + 0x40000000)]
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    attempt(f"socket of a file {kind}", lambda: socket.socket(socket.AF_UNIX, kind).connect(server))
attempt("socket pair", lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", server))
attempt("mode of a file", lambda: os.chmod(server, 0o777))
attempt("time of a file", lambda: os.utime(server))
attempt("owner of a file", lambda: os.chown(server, os.getuid(), os.getgid()))
attempt("mark of a file", lambda: os.setxattr(server, "user.x", b"x"))
got["own environment"] = dict(os.environ)
got["limits"] = [resource.getrlimit(getattr(resource, "RLIMIT_" + n))[1] for n in ("NOFILE", "FSIZE", "NPROC", "CORE")]
got["interfaces"] = [line.split(":")[0].strip() for line in open("/proc/self/net/dev").read().splitlines()[2:]]
json.dump(got, sys.stdout)
"""


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("cage")
    os.environ["TALLYMAN_PLANTED"] = PLANTED
    server = tmp_path_factory.mktemp("outside") / "socket"
    machine = os.uname().machine
    denied = [*policy.DENIED_CALLS[machine], *policy.COMMON_DENIED_CALLS, *policy.ATTRIBUTE_CALLS[machine]]
    calls = {"denied": denied, "clone": policy.CLONE_CALLS[machine]}
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as database,
    ):
        database.bind(str(server))
        database.listen()
        before = server.stat()
        finished = sandbox_run.run(
            [
                *(sys.executable, "-I", "-c", ATTACK, str(listener.getsockname()[1]), str(os.getpid())),
                *(server, json.dumps(calls)),
            ],
            check=lambda: None,
            timeout=60,
            env={"HOME": str(folder)},
            cwd=folder,
            stdout_limit=1024**2,
            memory_bytes=512 * 1024**2,
            file_bytes=1024**2,
            writes=(),
        )
        for listening in (listener, *([database] if sandbox_run.sandbox_support().calls else [])):
            listening.settimeout(0.1)
            with pytest.raises(TimeoutError):
                listening.accept()
        after = server.stat()
        assert (after.st_mode, after.st_mtime_ns, after.st_ctime_ns) == (
            before.st_mode,
            before.st_mtime_ns,
            before.st_ctime_ns,
        )
    del os.environ["TALLYMAN_PLANTED"]
    assert finished.returncode == 0, finished.stderr_tail
    return json.loads(finished.stdout)


def test_it_reaches_nothing_by_network(attack: dict[str, Any]) -> None:
    tried = {name: got for name, got in attack.items() if name.startswith(("tcp", "udp", "name"))}
    assert len(tried) == 6
    assert set(tried.values()) <= {"OSError", "gaierror", "ConnectionRefusedError", "PermissionError"}
    assert attack["interfaces"] == ["lo"]


@needs_filter
def test_it_reaches_no_service_by_a_socket_that_is_a_file(attack: dict[str, Any]) -> None:
    tried = {name: got for name, got in attack.items() if name.startswith("socket ")}
    assert len(tried) == 3
    assert set(tried.values()) == {"PermissionError"}


@needs_filter
def test_it_changes_nothing_of_files_that_it_may_not_even_write(attack: dict[str, Any]) -> None:
    tried = [attack[f"{what} of a file"] for what in ("mode", "time", "owner", "mark")]
    assert tried == ["PermissionError"] * 4


@needs_filter
def test_calls_that_no_engine_needs_are_refused_by_whatever_number(attack: dict[str, Any]) -> None:
    assert len(attack["calls"]) > 50
    assert {tuple(each) for each in attack["calls"]} == {(-1, errno.EPERM)}
    assert attack["call for a namespace"] == [-1, errno.EPERM]
    assert attack["calls in other words"] in ([[-1, errno.ENOSYS], [-1, errno.EPERM]], [[-1, errno.ENOSYS]] * 2)


@pytest.mark.skipif(not signals_are_held(), reason="this kernel's Landlock does not hold signals (before 6.12)")
def test_it_sends_the_worker_no_signal(attack: dict[str, Any]) -> None:
    assert attack["signal to the worker"] == "PermissionError"


def test_it_reads_nothing_of_the_worker(attack: dict[str, Any]) -> None:
    tried = [attack[f"{what} of the worker"] for what in ("environment", "memory", "files")]
    assert tried == ["PermissionError"] * 3
    assert PLANTED not in json.dumps(attack)


def test_its_environment_is_the_one_it_was_given(attack: dict[str, Any]) -> None:
    assert attack["own environment"].keys() <= {"HOME", "LC_CTYPE"}


def test_its_files_processes_and_dumps_are_bounded(attack: dict[str, Any]) -> None:
    assert attack["limits"] == [sandbox_run.MAX_DESCRIPTORS, 1024**2, sandbox_run.MAX_PROCESSES, 0]


def test_it_gains_no_rights(attack: dict[str, Any]) -> None:
    assert attack["root again"] == "PermissionError"
    assert set(attack["rights"]) == {"0" * 16}


def test_what_must_download_has_a_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = f"import socket; socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), 5)"
        finished = sandbox_run.run(
            [sys.executable, "-c", code],
            check=lambda: None,
            timeout=60,
            env={},
            cwd=tmp_path,
            stdout_limit=1024,
            memory_bytes=None,
            file_bytes=None,
            network=True,
        )
    assert finished.returncode == 0


FILES = """
import json, os, sys
inside, outside = sys.argv[1:]
got = {}
def attempt(name, call):
    try:
        call()
        got[name] = "done"
    except OSError as error:
        got[name] = type(error).__name__
for place, folder in (("inside", inside), ("outside", outside)):
    attempt("read " + place, lambda: open(folder + "/file").read())
    attempt("list " + place, lambda: os.listdir(folder))
    attempt("write " + place, lambda: open(folder + "/file", "a").write("x"))
    attempt("truncate " + place, lambda: os.truncate(folder + "/file", 1))
    attempt("make " + place, lambda: open(folder + "/new", "w"))
    attempt("link " + place, lambda: os.link(folder + "/file", inside + "/linked-" + place))
    os.symlink(folder + "/file", inside + "/to-" + place)
    attempt("point " + place, lambda: open(inside + "/to-" + place).read())
    attempt("rename " + place, lambda: os.rename(folder + "/file", folder + "/renamed"))
    attempt("remove " + place, lambda: os.remove(folder + "/new" if place == "inside" else folder + "/file"))
attempt("null", lambda: open("/dev/null", "w").write("x"))
json.dump(got, sys.stdout)
"""


@pytest.mark.skipif(not sandbox_run.sandbox_support().files, reason="this kernel has no Landlock")
@pytest.mark.parametrize("reads", [True, False], ids=["reads what it is told", "reads anything"])
def test_its_files_are_those_it_was_given(tmp_path: Path, reads: bool) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text(PLANTED)
    finished = sandbox_run.run(
        [sys.executable, "-I", "-c", FILES, str(inside), str(outside)],
        check=lambda: None,
        timeout=60,
        env={},
        cwd=inside,
        stdout_limit=1024**2,
        memory_bytes=None,
        file_bytes=None,
        reads=[Path(sys.prefix), Path(sys.base_prefix)] if reads else (),
    )
    assert finished.returncode == 0, finished.stderr_tail
    got = json.loads(finished.stdout)
    done = {name for name, how in got.items() if how == "done"}
    assert {name for name in done if name.endswith("outside")} == (
        set() if reads else {"read outside", "list outside", "point outside"}
    )
    assert {name for name in got if name.endswith("inside")} | {"null"} <= done
    assert [path.name for path in outside.iterdir()] == ["file"]
    assert (outside / "file").read_text() == PLANTED

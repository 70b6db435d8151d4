"""What an engine could do that has been taken over by what it reads: nothing outside of its cage."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from console.jobs import process

pytestmark = pytest.mark.skipif(not process.cage().network, reason="this system grants no namespaces")

PLANTED = "planted-canary-in-our-environment"

# Each attempt names what it got, or the error that it met.
ATTACK = r"""
import json, os, resource, socket, sys
port, parent = int(sys.argv[1]), int(sys.argv[2])
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
attempt("root again", lambda: os.setgroups([0]))
attempt("mount", lambda: __import__("ctypes").CDLL(None, use_errno=True).mount(b"/", b"/mnt", b"", 4096, None) and 1/0)
got["own environment"] = dict(os.environ)
got["limits"] = [resource.getrlimit(getattr(resource, "RLIMIT_" + n))[1] for n in ("NOFILE", "FSIZE", "NPROC", "CORE")]
got["interfaces"] = [name for _index, name in socket.if_nameindex()]
json.dump(got, sys.stdout)
"""


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("cage")
    os.environ["TALLYMAN_PLANTED"] = PLANTED
    with socket.create_server(("127.0.0.1", 0)) as listener:
        finished = process.run(
            [sys.executable, "-I", "-c", ATTACK, str(listener.getsockname()[1]), str(os.getpid())],
            check=lambda: None,
            timeout=60,
            env={"HOME": str(folder)},
            cwd=folder,
            stdout_limit=1024**2,
            memory_bytes=512 * 1024**2,
            file_bytes=1024**2,
        )
        listener.settimeout(0.1)
        with pytest.raises(TimeoutError):
            listener.accept()
    del os.environ["TALLYMAN_PLANTED"]
    assert finished.returncode == 0, finished.stderr_tail
    return json.loads(finished.stdout)


def test_it_reaches_nothing_by_network(attack: dict[str, Any]) -> None:
    tried = {name: got for name, got in attack.items() if name.startswith(("tcp", "udp", "name"))}
    assert len(tried) == 6
    assert not {
        name: got for name, got in tried.items() if got not in {"OSError", "gaierror", "ConnectionRefusedError"}
    }
    assert attack["interfaces"] == ["lo"]


def test_it_reads_nothing_of_the_worker(attack: dict[str, Any]) -> None:
    tried = [attack[f"{what} of the worker"] for what in ("environment", "memory", "files")]
    assert tried == ["PermissionError"] * 3
    assert PLANTED not in json.dumps(attack)


def test_its_environment_is_the_one_it_was_given(attack: dict[str, Any]) -> None:
    assert attack["own environment"].keys() <= {"HOME", "LC_CTYPE"}


def test_its_files_processes_and_dumps_are_bounded(attack: dict[str, Any]) -> None:
    assert attack["limits"] == [process.DESCRIPTORS, 1024**2, process.PROCESSES, 0]


def test_it_gains_no_rights(attack: dict[str, Any]) -> None:
    assert attack["root again"] == "PermissionError"


def test_what_must_download_has_a_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        code = f"import socket; socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), 5)"
        finished = process.run(
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


@pytest.mark.skipif(not process.cage().files, reason="this kernel has no Landlock")
@pytest.mark.parametrize("reads", [True, False], ids=["reads what it is told", "reads anything"])
def test_its_files_are_those_it_was_given(tmp_path: Path, reads: bool) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "file").write_text(PLANTED)
    finished = process.run(
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

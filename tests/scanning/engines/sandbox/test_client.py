"""What reads layers for the engines against malware is taken over by a layer: it gets nowhere, and the next is read."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest
from django.conf import settings

from console.sandbox import run as sandbox_run
from scanning.engines.base import EngineError
from scanning.engines.sandbox import client as module
from scanning.engines.sandbox.client import SandboxClient
from scanning.engines.yara.engine import Yara
from tests.console.jobs.conftest import ROOT
from tests.scanning.compromised_child import (
    RULES,
    _before,
    assert_reads,
    attack,
    no_stop,
    own_processes,
    sandbox,
    yara,
)
from tests.scanning.layer import EICAR, layer

__all__ = ["_before", "sandbox", "yara"]

needs_cage = pytest.mark.skipif(
    not (
        sandbox_run.sandbox_support().network
        and sandbox_run.sandbox_support().files
        and sandbox_run.sandbox_support().calls
    ),
    reason="this system has no namespaces, no Landlock or no seccomp",
)


TRIES = """
import ctypes, json, os, socket, stat
places = json.loads(PLACES)
libc = ctypes.CDLL(None, use_errno=True)
got = {}
def attempt(name, call):
    try:
        got[name] = str(call())[:60]
    except BaseException as error:
        got[name] = type(error).__name__
for name, path in places["read"].items():
    attempt("read " + name, lambda: open(path, "rb").read(10))
    attempt("list " + name, lambda: os.listdir(os.path.dirname(path)))
    attempt("append to " + name, lambda: open(path, "ab").write(b"x"))
    attempt("mode of " + name, lambda: os.chmod(path, 0o777))
    attempt("remove " + name, lambda: os.remove(path))
for path in ("/tmp/tally-x", "/dev/shm/tally-x", "/var/tmp/tally-x", "/tally-x", places["folder"] + "/tally-x"):
    attempt("make " + path, lambda: open(path, "w"))
def is_file(number):
    try:
        return stat.S_ISREG(os.fstat(number).st_mode)
    except OSError:
        return False
held = [number for number in range(1024) if is_file(number)]  # pipes and sockets lead to the worker alone
look.bytes = len(held)
for number in held:
    for how in (os.O_WRONLY, os.O_RDONLY):
        attempt(f"open {number} again {how}", lambda: os.open(f"/proc/self/fd/{number}", how))
    attempt(f"write to {number}", lambda: os.pwrite(number, b"x", 0))
    attempt(f"cut {number}", lambda: os.ftruncate(number, 0))
    attempt(f"mode by {number}", lambda: os.fchmod(number, 0o777))
    attempt(f"time by {number}", lambda: os.utime(number))
def tcp(host):
    return socket.create_connection((host, places["port"]), timeout=2)
attempt("tcp", lambda: tcp("127.0.0.1"))
attempt("socket of a file", lambda: socket.socket(socket.AF_UNIX).connect(places["socket"]))
attempt("fork", os.fork)
attempt("exec", lambda: os.execv("/bin/true", ["true"]))
attempt("spawn", lambda: os.posix_spawn("/bin/true", ["true"], {}))
attempt("signal to the worker", lambda: os.kill(places["worker"], 0))
attempt("environment of the worker", lambda: open(f"/proc/{places['worker']}/environ").read())
attempt("memory of what has forked it", lambda: open(f"/proc/{os.getppid()}/mem", "rb").read(1))
def trace():
    if libc.ptrace(16, os.getppid(), 0, 0) != 0:
        raise PermissionError
attempt("trace what has forked it", trace)
from console.i18n.message_codes import MessageText, NoteText
NOTE = NoteText(
    MessageText("test.one", "1 file {name} = {answer}: {path}"), MessageText("test.many", "{count} files {path}")
)
look.files = len(got)
got["environment"] = str(dict(os.environ))
for name, answer in got.items():
    if answer not in {"PermissionError", "OSError"}:
        look.notes.add(NOTE(name=name, answer=answer), "")
"""


@needs_cage
def test_it_has_no_network_no_files_no_processes_and_writes_nothing(
    yara: Yara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setenv("TALLYMAN_PLANTED", "planted-canary")
    key = settings.DATA_DIR / "keys" / "planted"
    other = settings.DATA_DIR / "layers" / "planted"
    server = tmp_path / "socket"
    for path in (key, other):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("planted-canary")
        request.addfinalizer(path.unlink)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX) as database:
        database.bind(str(server))
        database.listen()
        places = {
            "read": {
                "key": str(key),
                "other layer": str(other),
                "own layer": str(tmp_path / "attack"),
                "console": str(ROOT / "console" / "settings.py"),
                "passwords": "/etc/passwd",
                "environment": "/proc/1/environ",
            },
            "folder": str(tmp_path),
            "port": listener.getsockname()[1],
            "socket": str(server),
            "worker": os.getpid(),
        }
        script = attack(tmp_path, TRIES.replace("PLACES", repr(json.dumps(places))))
        before = script.read_bytes(), script.stat().st_mode
        report = yara.scan_layer(script, check=no_stop)
        for listening in (listener, database):
            listening.settimeout(0.1)
            with pytest.raises(TimeoutError):
                listening.accept()
    got = [line.removeprefix("1 file ").removesuffix(": ") for line in report.skipped]
    assert (report.files > 40, report.bytes) == (True, 1)
    assert (script.read_bytes(), script.stat().st_mode) == before
    assert (key.read_text(), other.read_text()) == ("planted-canary", "planted-canary")
    assert got == ["environment = {'LC_CTYPE': 'C.UTF-8'}"]


@needs_cage
def test_its_network_is_another_one_than_ours(yara: Yara, tmp_path: Path) -> None:
    assert_reads(yara, tmp_path)
    _supervisor, program = own_processes()
    for kind in ("net", "user", "ipc"):
        assert os.readlink(f"/proc/{program}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    assert Path(f"/proc/{program}/environ").read_bytes() == b""


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "signal 11"),
        ("import os; os._exit(3)", "before it responded"),
        ("raise RuntimeError('a hole')", "before it responded"),
        (
            "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(9)",
            "before it responded",
        ),
        ("x = [bytearray(1 << 20) for _ in range(10_000)]", "300 MiB of memory"),
        ("import time\nx = [bytearray(b'x' * (400 << 20)) and time.sleep(900)]", "300 MiB of memory"),
        ("def down(n): return down(n + 1)\ndown(0)", "before it responded"),
    ],
    ids=["crash", "end", "exception", "kills what forked it", "memory", "memory held", "stack"],
)
def test_a_layer_that_breaks_it_says_so_and_the_next_is_read(
    yara: Yara, sandbox: SandboxClient, tmp_path: Path, script: str, reason: str
) -> None:
    assert_reads(yara, tmp_path)
    with pytest.raises(EngineError, match=reason) as raised:
        yara.scan_layer(attack(tmp_path, script), check=no_stop)
    assert raised.value.remedy
    assert own_processes() == []
    assert_reads(yara, tmp_path)


@pytest.mark.parametrize(
    "script",
    [
        "wire.send(channel, {'done': [1]})",
        "channel.send(b'\\xff' * 1000)",
        'while True: channel.send(b\'{"skipped":["x"]}\')',
    ],
)
def test_nonsense_ends_it_and_the_next_layer_is_read(yara: Yara, tmp_path: Path, script: str) -> None:
    preamble = "import socket\nchannel = next(c for c in map(held, range(1, 99)) if c)\n"
    find = (
        "import socket\ndef held(number):\n try:\n  found = socket.socket(fileno=number); found.getpeername()\n"
        "  return found\n except OSError: pass\n"
    )
    with pytest.raises(EngineError, match="invalid response") as raised:
        yara.scan_layer(attack(tmp_path, find + preamble + script), check=no_stop)
    assert "who pushed" in raised.value.remedy
    assert_reads(yara, tmp_path)


def test_one_that_answers_and_stays_is_ended(yara: Yara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXIT_TIMEOUT_SECONDS", 0.5)
    script = (
        "import socket, time\nfor n in range(1, 99):\n try: wire.send(socket.socket(fileno=n), {'done': [7, 7]})\n"
        " except OSError: pass\n else: time.sleep(900)\n"
    )
    assert yara.scan_layer(attack(tmp_path, script), check=no_stop).files == 7
    assert own_processes() == []
    assert_reads(yara, tmp_path)


def test_a_file_that_a_rule_takes_long_for_is_given_up_in_each_layer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What watches the time of YARA-X is a thread: one that was there before the fork would watch no layer."""
    hurried = "from scanning.engines.yara import scan; scan.PIECE_TIMEOUT_SECONDS = 1"
    start = module._CHILD_SCRIPT.replace("\nmain()", f"\n{hurried}\nmain()")
    assert hurried in start
    monkeypatch.setattr(module, "_CHILD_SCRIPT", start)
    rules = tmp_path / "rules"
    rules.mkdir()
    endless = "for all i in (0..2000000000) : ( uint8(i % filesize) < 255 )"
    (rules / "slow.yar").write_text(f'rule slow {{ strings: $a = "slow" condition: $a and {endless} }}')
    sandbox = SandboxClient()
    slow = Yara(rules=RULES, extra=rules, sandbox=sandbox)
    path = layer(tmp_path, {"file": b"slow", "srv/eicar.com": EICAR})
    try:
        for _number in range(2):
            report = slow.scan_layer(path, check=no_stop)
            assert report.skipped == ("1 file whose scan was stopped after 1 s: file",)
            assert [found.path for found in report.findings] == ["srv/eicar.com"]
    finally:
        sandbox._kill()

"""What reads layers for the engines against malware is taken over by a layer: it gets nowhere, and the next is read."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings

import scanning
from console.jobs import process
from scanning.engines import caged as module
from scanning.engines.answers import Answers
from scanning.engines.base import EngineError
from scanning.engines.caged import Caged
from scanning.engines.wire import PACKET, Malformed
from scanning.engines.yara import Yara
from tests.console.jobs.conftest import ROOT, eventually
from tests.scanning.layer import EICAR, layer

RULES = Path(scanning.__file__).parent / "rules"
GOOD = {"srv/eicar.com": EICAR}
TAKEN_OVER = """
from scanning.engines import inside, wire
class Look(inside.Look):
    def layer(self, data):
        if data[:9] == b"#!python\\n":
            exec(data[9:].decode(), {"look": self, "wire": wire})
        else:
            super().layer(data)
inside.Look = Look
"""
needs_cage = pytest.mark.skipif(
    not (process.cage().network and process.cage().files and process.cage().calls),
    reason="this system has no namespaces, no Landlock or no seccomp",
)


class Stop(Exception):
    """What ``check`` raises in these tests."""


def go_on() -> None:
    pass


BEFORE: set[int] = set()  # what other tests have left below this process


def ours() -> list[int]:
    """Return the processes below this one that the test has started."""
    return [pid for pid in descendants(os.getpid()) if pid not in BEFORE]


@pytest.fixture(autouse=True)
def _before() -> None:
    BEFORE.clear()
    BEFORE.update(ours())


@pytest.fixture
def caged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Caged]:
    """The program, in which a layer of Python is executed as if it had taken over what reads it."""
    start = module._START.replace("\nmain()", f"{TAKEN_OVER}\nmain()")
    assert "exec" in start
    monkeypatch.setattr(module, "_START", start)
    program = Caged(memory_bytes=300 << 20)
    yield program
    program._kill()


@pytest.fixture
def yara(caged: Caged) -> Yara:
    return Yara(rules=RULES, caged=caged)


def attack(folder: Path, script: str) -> Path:
    """Return a layer that does what ``script`` says where it is read."""
    path = folder / "attack"
    path.write_text(f"#!python\n{script}")
    return path


def descendants(pid: int) -> list[int]:
    """Return the processes below ``pid``, those that have ended and are not collected left out."""
    found = []
    for child in process._children(pid):
        found += [child, *descendants(child)]
    return [each for each in found if not is_gone(each)]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def assert_reads(yara: Yara, folder: Path) -> None:
    """The next layer is read as ever."""
    report = yara.scan_layer(layer(folder, GOOD), check=go_on)
    assert [(found.rule, found.path, report.files) for found in report.findings] == [
        ("EICAR_Test_File", "srv/eicar.com", 1)
    ]


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
for path in ("/tmp/x", "/dev/shm/x", "/var/tmp/x", "/x", places["folder"] + "/x"):
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
look.files = len(got)
got["environment"] = str(dict(os.environ))
for name, answer in got.items():
    if answer not in {"PermissionError", "OSError"}:
        look.notes.add(f"{name} = {answer}", "")
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
        report = yara.scan_layer(script, check=go_on)
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
    _supervisor, program = ours()
    for kind in ("net", "user", "ipc"):
        assert os.readlink(f"/proc/{program}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
    assert Path(f"/proc/{program}/environ").read_bytes() == b""


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import ctypes; ctypes.string_at(0)", "signal 11"),
        ("import os; os._exit(3)", "before it had answered"),
        ("raise RuntimeError('a hole')", "before it had answered"),
        (
            "import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(9)",
            "before it had answered",
        ),
        ("x = [bytearray(1 << 20) for _ in range(10_000)]", "300 MiB of memory"),
        ("import time\nx = [bytearray(b'x' * (400 << 20)) and time.sleep(900)]", "300 MiB of memory"),
        ("def down(n): return down(n + 1)\ndown(0)", "before it had answered"),
    ],
    ids=["crash", "end", "exception", "kills what forked it", "memory", "memory held", "stack"],
)
def test_a_layer_that_breaks_it_says_so_and_the_next_is_read(
    yara: Yara, caged: Caged, tmp_path: Path, script: str, reason: str
) -> None:
    assert_reads(yara, tmp_path)
    with pytest.raises(EngineError, match=reason) as raised:
        yara.scan_layer(attack(tmp_path, script), check=go_on)
    assert raised.value.remedy
    assert ours() == []
    assert_reads(yara, tmp_path)


ANSWERS = {
    "no JSON": b"{",
    "no object": b"[]",
    "another kind": b'{"ready":[]}',
    "two kinds": b'{"hits":[],"done":[0,0]}',
    "too deep": b"[" * 60_000,
    "too long": b'{"skipped":["' + b"x" * PACKET + b'"]}',
    "an endless number": b'{"done":[0,' + b"9" * 5000 + b"]}",
    "below zero": b'{"done":[0,-1]}',
    "no whole number": b'{"done":[0,1.0]}',
    "no number": b'{"done":[0,true]}',
    "one number": b'{"done":[0]}',
    "no list": b'{"hits":{}}',
    "another rule": b'{"hits":[["team/x.yar","Made_Up","a",1,"' + b"0" * 64 + b'"]]}',
    "a rule that is none": b'{"hits":[[[],{},"a",1,"' + b"0" * 64 + b'"]]}',
    "no hash": b'{"hits":[["tallyman/test_file.yar","EICAR_Test_File","a",1,"' + b"g" * 64 + b'"]]}',
    "a path that is no text": b'{"hits":[["tallyman/test_file.yar","EICAR_Test_File","a\\n",1,"' + b"0" * 64 + b'"]]}',
    "half a character": b'{"skipped":["\\ud800"]}',
    "a zero": b'{"skipped":["\\u0000"]}',
    "a long path": b'{"hits":[["tallyman/test_file.yar","EICAR_Test_File","'
    + b"a" * 1001
    + b'",1,"'
    + b"0" * 64
    + b'"]]}',
    "many lines": b'{"skipped":[' + b",".join([b'"x"'] * 51) + b"]}",
    "files, which nobody asked for": b'{"files":[["a",1,0]]}',
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_answer_that_cannot_be_meant_is_refused(answer: bytes) -> None:
    with pytest.raises(Malformed):
        list(Answers(iter([answer, b'{"done":[0,0]}']).__next__).look({("tallyman/test_file.yar", "EICAR_Test_File")}))


WALKS = {
    "behind the end": b'{"files":[["a",2,99]]}',
    "a piece behind the end": b'{"segments":[[0,99,2]]}',
    "a piece beyond the file": b'{"segments":[[5,0,2]]}',
    "pieces of a whole file": b'{"segments":[[0,0,1]]}',
    "no place": b'{"files":[["a",1,"0"]]}',
    "hits": b'{"hits":[]}',
    "two damages": b'{"damaged":["a","b"]}',
}


@pytest.mark.parametrize("answer", WALKS.values(), ids=WALKS.keys())
def test_a_place_outside_of_the_layer_is_refused(answer: bytes) -> None:
    last = b'{"files":[["a",6,null]]}' if b"[5," in answer else b'{"files":[["a",6,0]]}'
    with pytest.raises(Malformed):
        list(Answers(iter([answer, last, b'{"done":[0]}']).__next__).walk(100))


def test_pieces_without_end_are_refused() -> None:
    packet = b'{"segments":[' + b",".join([b"[0,0,0]"] * 6000) + b"]}"
    with pytest.raises(Malformed):
        list(Answers(lambda: packet).walk(100))


def test_findings_without_end_are_refused() -> None:
    hit = b'["a","b","c",1,"' + b"0" * 64 + b'"]'
    packet = b'{"hits":[' + b",".join([hit] * 500) + b"]}"
    with pytest.raises(Malformed):
        list(Answers(lambda: packet).look({("a", "b")}))


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
    with pytest.raises(EngineError, match="cannot mean") as raised:
        yara.scan_layer(attack(tmp_path, find + preamble + script), check=go_on)
    assert "who pushed" in raised.value.remedy
    assert_reads(yara, tmp_path)


def test_one_that_answers_and_stays_is_ended(yara: Yara, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "END_SECONDS", 0.5)
    script = (
        "import socket, time\nfor n in range(1, 99):\n try: wire.send(socket.socket(fileno=n), {'done': [7, 7]})\n"
        " except OSError: pass\n else: time.sleep(900)\n"
    )
    assert yara.scan_layer(attack(tmp_path, script), check=go_on).files == 7
    assert ours() == []
    assert_reads(yara, tmp_path)


@pytest.mark.parametrize("script", ["while True: pass", "import time; time.sleep(900)", "x = 7 ** 7 ** 9"])
def test_a_cancel_ends_it_whatever_it_is_at(yara: Yara, tmp_path: Path, script: str) -> None:
    assert_reads(yara, tmp_path)
    began: list[float] = []

    def check() -> None:
        if ours():
            began.append(time.monotonic())
        if began and time.monotonic() - began[0] > 0.5:
            raise Stop

    with pytest.raises(Stop):
        yara.scan_layer(attack(tmp_path, script), check=check)
    assert ours() == []
    assert_reads(yara, tmp_path)


def test_a_walk_that_is_broken_off_leaves_nothing(caged: Caged, tmp_path: Path) -> None:
    files = layer(tmp_path, {f"file{number}": b"x" for number in range(5000)})
    walk = caged.walk(files, check=go_on)
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert ours() == []
    assert len(list(caged.walk(files, check=go_on))) == 5000


def test_one_that_was_killed_while_it_had_nothing_to_do_is_started_anew(yara: Yara, tmp_path: Path) -> None:
    for victim in (0, 1):  # its supervisor, the program
        assert_reads(yara, tmp_path)
        below = ours()
        os.kill(below[victim], signal.SIGKILL)
        eventually(lambda: all(map(is_gone, below)))  # noqa: B023 (called at once)
        assert_reads(yara, tmp_path)


def test_it_stays_for_the_next_layer_and_starts_nothing_before_the_first(yara: Yara, tmp_path: Path) -> None:
    yara.ready()
    assert ours() == []
    assert_reads(yara, tmp_path)
    first = ours()
    assert len(first) == 2
    assert_reads(yara, tmp_path)
    assert ours() == first


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        folder = tmp_path / f"{number}"
        folder.mkdir()
        try:
            for _ in range(5):
                assert_reads(yaras[number % 2], folder)
        except BaseException as error:
            failed.append(error)

    programs = [Caged(), Caged()]
    yaras = [Yara(rules=RULES, caged=program) for program in programs]
    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]  # two to each
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for program in programs:
        program._kill()
    assert failed == []


OWNER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from scanning.engines import caged
caged._START = {start!r}
from scanning.engines.yara import Yara
Yara(rules=Path({rules!r}), caged=caged.Caged()).scan_layer(Path({layer!r}), check=lambda: None)
"""


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "at work"])
def test_it_dies_with_its_worker(caged: Caged, tmp_path: Path, idle: bool) -> None:
    path = layer(tmp_path, GOOD) if idle else attack(tmp_path, "while True: pass")
    code = OWNER.format(root=str(ROOT), start=module._START, rules=str(RULES), layer=str(path))
    owner = subprocess.Popen([sys.executable, "-c", f"{code}\nprint('read', flush=True)\nimport time; time.sleep(900)"])
    processes = 2 if idle else 3
    below = eventually(lambda: found if len(found := descendants(owner.pid)) >= processes else None)
    owner.kill()
    owner.wait()
    eventually(lambda: all(map(is_gone, below)), seconds=10)


def test_what_a_fork_inherits_is_not_used_nor_ended(yara: Yara, tmp_path: Path) -> None:
    assert_reads(yara, tmp_path)
    before = ours()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert_reads(yara, tmp_path)
            yara._caged._kill()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert ours() == before
    assert_reads(yara, tmp_path)

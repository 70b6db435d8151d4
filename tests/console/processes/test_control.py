"""What the kernel does with a process and with those below it. Each test asks a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]


def answer(code: str, *options: str) -> Any:
    """Run ``code`` in a Python that knows only the project, and return what it prints as JSON."""
    before = f"import json, os, signal, subprocess, sys; sys.path.append({str(ROOT)!r})\n"
    before += "from console.processes.control import *\n"
    command = [sys.executable, "-I", "-S", *options, "-c", before + code]
    return json.loads(subprocess.run(command, check=True, capture_output=True, timeout=100).stdout)


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_all_that_a_subreaper_has_started_ends_whatever_session_it_is_in() -> None:
    found = answer("""
become_subreaper()
shell = "setsid sleep 900 & echo $!; sleep 901 & echo $!; trap '' TERM; echo; wait"
program = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, text=True, start_new_session=True)
started = [int(line) for line in iter(program.stdout.readline, "\\n")]
below = children(program.pid)
status = kill_descendants(program.pid)
print(json.dumps({"started": started, "below": below, "left": children(os.getpid()), "status": status}))
""")
    assert len(found["started"]) == 2
    assert sorted(found["below"]) == sorted(found["started"])
    assert not found["left"]
    assert all(is_gone(pid) for pid in found["started"])
    assert found["status"] == 9


def test_orphans_are_ended_too_and_a_status_that_is_collected_already_is_not_told_again() -> None:
    found = answer("""
become_subreaper()
shell = "sleep 900 & echo $!"
program = subprocess.Popen(["sh", "-c", shell], stdout=subprocess.PIPE, text=True, start_new_session=True)
orphan = int(program.stdout.readline())
program.wait()
adopted = children(os.getpid())
print(json.dumps([orphan, adopted, kill_descendants(program.pid), kill_descendants()]))
""")
    orphan, adopted, *statuses = found
    assert adopted == [orphan]
    assert is_gone(orphan)
    assert statuses == [None, None]


def test_a_process_whose_parent_is_gone_already_ends_at_once() -> None:
    code = f"import sys; sys.path.append({str(ROOT)!r})\n"
    code += "from console.processes.control import die_with_parent\ndie_with_parent(1)\nprint('lives')"
    ended = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, timeout=100, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")


def test_the_kernel_sends_the_signal_that_was_asked_for() -> None:
    found = answer("""
import ctypes
PR_GET_PDEATHSIG = 2
number, numbers = ctypes.c_int(), []
def ask():
    prctl(PR_GET_PDEATHSIG, ctypes.byref(number))
    numbers.append(number.value)
ask()
die_with_parent(os.getppid())
ask()
die_with_parent(os.getppid(), signal.SIGTERM)
ask()
print(json.dumps(numbers))
""")
    assert found == [0, 9, 15]


def test_each_process_that_is_forked_ends_with_its_parent() -> None:
    found = answer("""
import ctypes, time
die_with_parent_after_fork()
ours, theirs = os.pipe()
middle = os.fork()
if middle == 0:
    child = os.fork()
    if child == 0:
        number = ctypes.c_int()
        prctl(2, ctypes.byref(number))
        os.write(theirs, f"{os.getpid()} {number.value}".encode())
    time.sleep(900)
pid, number = map(int, os.read(ours, 100).split())
become_subreaper()
os.kill(middle, signal.SIGKILL)
os.waitpid(middle, 0)
ended = os.waitpid(pid, 0)
print(json.dumps([number, ended == (pid, 9)]))
""")
    assert found == [9, True]


def test_no_new_privileges_are_gained() -> None:
    found = answer("""
lines = lambda: [line.split()[1] for line in open("/proc/self/status") if line.startswith("NoNewPrivs")]
before = lines()
set_no_new_privs()
print(json.dumps(before + lines()))
""")
    assert found[-1] == "1"
    assert len(found) == 2


def test_a_group_that_is_gone_gets_no_signal_and_raises_nothing() -> None:
    assert (
        answer("""
program = subprocess.Popen(["sleep", "900"], start_new_session=True)
signal_group(program.pid, signal.SIGTERM)
code = program.wait()
signal_group(program.pid, signal.SIGKILL)
print(json.dumps(code))
""")
        == -15
    )


def test_children_of_no_process_are_none() -> None:
    assert answer("print(json.dumps(children(2**22 + 1)))") == []


def test_it_loads_nothing_that_takes_long() -> None:
    """The supervisor of the sandbox starts for each run of an engine."""
    code = f"import sys; sys.path.append({str(ROOT)!r}); import console.sandbox.supervisor; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, check=True, timeout=100)
    slow = {"signal", "contextlib", "subprocess", "pathlib", "argparse", "threading", "typing", "enum", "re"}
    assert not slow & set(loaded.stdout.decode().split())

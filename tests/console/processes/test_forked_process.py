"""A function in a process of its own. Each test asks a process that forks: the one of the tests has threads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
BEFORE = """
import json, os, signal, sys, threading, time
from console.processes.forked_process import ForkedProcess
"""


def answer(code: str) -> Any:
    """Run ``code`` in a fresh Python and return what it prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", BEFORE + code], check=True, capture_output=True, timeout=100, cwd=ROOT, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_it_shares_what_is_loaded_and_says_how_it_ended() -> None:
    found = answer("""
big = list(range(1000))
fine = ForkedProcess(lambda: print(len(big), os.getsid(0) == os.getpid(), sys.stdin.read() == ""), name="fine")
code = fine.wait(10)
fails = ForkedProcess(lambda: 1 / 0, name="fails")
exits = ForkedProcess(lambda: sys.exit(3), name="exits")
refuses = ForkedProcess(lambda: sys.exit("no"), name="refuses")
print(json.dumps([code, fails.wait(10), exits.wait(10), refuses.wait(10), exits.poll()]))
""")
    assert found == [0, 1, 3, 1, 3]


def test_no_handler_of_its_parent_runs_in_it() -> None:
    found = answer("""
signal.signal(signal.SIGTERM, lambda *_: print("handled", os.getpid(), flush=True))
waits = ForkedProcess(lambda: time.sleep(60), name="waits")
name = ""
while name != "waits":
    name = open(f"/proc/{waits.pid}/comm").read().strip()
before = waits.poll()
waits.terminate()
print(json.dumps([before, waits.wait(10), name]))
""")
    assert found == [None, -15, "waits"]


def test_it_ends_with_the_process_that_made_it() -> None:
    found = answer("""
def parent():
    child = ForkedProcess(lambda: time.sleep(60), name="child")
    os.write(theirs, str(child.pid).encode())
    os.close(theirs)
    time.sleep(60)

ours, theirs = os.pipe()
between = ForkedProcess(parent, name="parent")
os.close(theirs)
pid = int(os.read(ours, 100))
os.kill(between.pid, signal.SIGKILL)
ends = time.monotonic() + 10
while os.path.exists(f"/proc/{pid}") and open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] != "Z":
    assert time.monotonic() < ends
    time.sleep(0.05)
print(json.dumps(between.wait(10)))
""")
    assert found == -9


def test_a_process_with_threads_does_not_fork() -> None:
    found = answer("""
end = threading.Event()
thread = threading.Thread(target=end.wait)
thread.start()
try:
    ForkedProcess(lambda: None, name="never")
except RuntimeError as error:
    print(json.dumps(str(error)))
end.set()
""")
    assert "must not fork" in found


def test_output_that_nobody_takes_does_not_let_it_run_the_code_of_its_parent() -> None:
    found = answer("""
def breaks():
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)
    sys.stdout = open(1, "w", closefd=False)
    print("for nobody")  # raises when it is flushed, at the end

ours, theirs = os.pipe()
try:
    child = ForkedProcess(breaks, name="breaks")
except OSError:
    pass
os.write(theirs, b"here ")
os.close(theirs)
code = child.wait(10) if "child" in globals() else None
said = b""
while chunk := os.read(ours, 100):
    said += chunk
print(json.dumps([code, said.decode()]))
""")
    assert found == [0, "here "]

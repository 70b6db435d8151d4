"""The supervisor, in a process of its own with real programs below it."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

SUPERVISOR = """
import sys, time
from pathlib import Path
from console.server.process_manager import ProcessManager, Program, ProgramEndedError, StopRequested
from console.server.process_manager import on_stop_signals, raise_stop_requested

folder = Path(sys.argv[1])
grace = float(sys.argv[2])
programs = [Program(name.removesuffix("!"), ("sh", "-c", script), restart=name.endswith("!"))
            for name, script in zip(sys.argv[3::2], sys.argv[4::2])]
with on_stop_signals(raise_stop_requested):
    try:
        report = lambda text: print(text, flush=True)
        with ProcessManager(programs, folder=folder, grace=grace, report=report) as manager:
            print("started", flush=True)
            while True:
                manager.check()
                time.sleep(0.05)
    except StopRequested:
        print("stopped", flush=True)
    except ProgramEndedError as error:
        print(error, flush=True)
"""
WAITS = "echo $$ > waits; exec sleep 300"
STUBBORN = "trap '' TERM; echo $$ > stubborn; sleep 300 & echo $! > stubborn-child; while :; do sleep 1; done"
# A grandchild in a session of its own, as engines have: no signal to a group reaches it.
FORKS = "setsid sleep 300 & echo $! > stranger; echo $$ > forks; exec sleep 300"

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(*programs: str, grace: float = 5, below: Sequence[str] = ()) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*below, sys.executable, "-c", SUPERVISOR, str(tmp_path), str(grace), *programs],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "started\n"
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


def pid_in(path: Path) -> int:
    """Return the process id that a program writes into ``path`` once it runs."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


def rest_of_output(process: subprocess.Popen[str]) -> str:
    """Return what ``process`` says until its end. Not ``communicate()``: it drops what came with the first line."""
    assert process.stdout
    rest = process.stdout.read()
    process.wait()
    return rest


def lives(pid: int) -> bool:
    """Whether the process does anything yet; a dead one that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_programs(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    supervisor = start("one", WAITS, "two", FORKS)
    pids = [pid_in(tmp_path / name) for name in ("waits", "forks", "stranger")]
    os.killpg(supervisor.pid, number)
    assert rest_of_output(supervisor) == "stopped\n"
    assert not [pid for pid in pids if lives(pid)]


def test_a_terminal_that_is_gone_ends_all_programs(tmp_path: Path) -> None:
    """As below ``ssh -t host make run``: the signal reaches the first program of the session and no other."""
    leader, terminal = pty.fork()
    if leader == 0:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        os.execvp(
            "sh", ["sh", "-c", '"$@"; :', "sh", sys.executable, "-c", SUPERVISOR, str(tmp_path), "5", "one", WAITS]
        )
    try:
        pid = pid_in(tmp_path / "waits")
        os.close(terminal)
        wait_until(lambda: not lives(pid))
    finally:
        os.killpg(leader, signal.SIGKILL)  # the shell and, where it still lives, the supervisor
        os.waitpid(leader, 0)


def test_a_program_that_ignores_the_end_is_killed_with_its_children(start: Start, tmp_path: Path) -> None:
    supervisor = start("stubborn", STUBBORN, grace=0.2)
    pids = [pid_in(tmp_path / name) for name in ("stubborn", "stubborn-child")]
    supervisor.terminate()
    assert rest_of_output(supervisor) == "stopped\n"
    assert not [pid for pid in pids if lives(pid)]


def test_children_that_are_reaped_already_do_not_keep_the_others(start: Start, tmp_path: Path) -> None:
    """As below a service manager that ignores SIGCHLD, which is inherited: the kernel itself reaps."""
    supervisor = start("one", WAITS, "two", FORKS, below=("env", "--ignore-signal=CHLD"))
    pids = [pid_in(tmp_path / name) for name in ("waits", "forks", "stranger")]
    supervisor.terminate()
    assert rest_of_output(supervisor) == "stopped\n"
    assert not [pid for pid in pids if lives(pid)]


def test_a_second_signal_does_not_wait_for_a_stubborn_program(start: Start, tmp_path: Path) -> None:
    supervisor = start("stubborn", STUBBORN, grace=3600)
    pid = pid_in(tmp_path / "stubborn")
    supervisor.terminate()
    time.sleep(0.3)
    supervisor.terminate()
    assert rest_of_output(supervisor) == "stopped\n"
    assert not lives(pid)


def test_programs_end_when_the_supervisor_is_killed(start: Start, tmp_path: Path) -> None:
    supervisor = start("one", WAITS)
    pid = pid_in(tmp_path / "waits")
    supervisor.kill()
    supervisor.wait()
    wait_until(lambda: not lives(pid))


def test_the_end_of_a_program_that_must_run_is_the_end_of_all(start: Start, tmp_path: Path) -> None:
    supervisor = start("one", WAITS, "web server", "while [ ! -s waits ]; do sleep 0.05; done; exit 3")
    pid = pid_in(tmp_path / "waits")
    assert rest_of_output(supervisor).startswith("The web server ended by itself (exit code 3).")
    assert not lives(pid)


def test_a_program_that_may_end_is_started_again(start: Start, tmp_path: Path) -> None:
    supervisor = start("worker!", "echo $$ >> starts; [ $(wc -l < starts) = 1 ] || exec sleep 300")
    starts = tmp_path / "starts"
    wait_until(lambda: starts.exists() and len(starts.read_text().split()) == 2)
    supervisor.terminate()
    assert "The worker ended (exit code 0) and is started again.\n" in rest_of_output(supervisor)
    assert not lives(int(starts.read_text().split()[-1]))


def test_a_program_that_ends_again_and_again_is_started_ever_more_rarely(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from console.server.process_manager import Program, ProcessManager

program = Program("web server", ("true",), restart=True)
with ProcessManager([program], folder=Path(sys.argv[1]), grace=1, report=print) as supervisor:
    print([supervisor._pause(program) for _ in range(9)])
    supervisor._started[program] -= 100
    print(supervisor._pause(program))
"""
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True, text=True)
    pauses, after_a_while = ended.stdout.splitlines()
    assert pauses == "[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]"
    assert after_a_while == "1.0", "one that has run for a while is started at once"

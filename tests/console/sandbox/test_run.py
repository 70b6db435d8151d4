"""An engine as a child process: its bounds, and that nothing of it survives."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from console.sandbox import run as sandbox_run
from console.sandbox.run import (
    FinishedProcess,
    ProcessFailed,
    ProcessNotStarted,
    ProcessOutOfMemory,
    ProcessOutputTooLarge,
    ProcessTimeout,
)
from tests.console.jobs.conftest import ROOT, processes_of_folder, wait_for

MIB = 1024**2


def run(script: str, folder: Path, **options: Any) -> FinishedProcess:
    """Run a shell script whose processes can be found by ``folder`` in their environment."""
    bounds: dict[str, Any] = {
        "check": lambda: None,
        "timeout": 60,
        "env": {"PATH": os.environ["PATH"], "MARK": str(folder)},
        "cwd": folder,
        "stdout_limit": 1000,
        "memory_bytes": None,
        "file_bytes": None,
    }
    return sandbox_run.run(["/bin/sh", "-c", script], **(bounds | options))


class Stop(Exception):
    """What ``check`` raises in these tests."""


def stop_when_ready(folder: Path) -> Callable[[], None]:
    """Return a ``check`` that stops the process once it has made the file ``ready``."""

    def check() -> None:
        if (folder / "ready").exists():
            raise Stop

    return check


def test_a_process_that_ends_tells_its_code_and_both_outputs(tmp_path: Path) -> None:
    assert run("cat; echo trouble >&2; exit 3", tmp_path, stdin=b"given") == FinishedProcess(3, b"given", "trouble\n")


def test_a_process_killed_by_a_signal_has_its_negative_number(tmp_path: Path) -> None:
    assert run("kill -KILL $$", tmp_path).returncode == -9


def test_the_environment_is_exactly_what_was_given(tmp_path: Path) -> None:
    assert run("cat /proc/$$/environ", tmp_path, env={"A": "b=c"}).stdout == b"A=b=c\0"


def test_without_input_it_reads_nothing(tmp_path: Path) -> None:
    assert run("wc -c", tmp_path).stdout.strip() == b"0"


def test_large_input_and_output_do_not_block_each_other(tmp_path: Path) -> None:
    data = os.urandom(3 * MIB)
    assert run("cat; cat /dev/zero | head -c 300000 >&2", tmp_path, stdin=data, stdout_limit=4 * MIB).stdout == data


def test_a_program_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(ProcessNotStarted, match="No such file"):
        sandbox_run.run(
            [tmp_path / "trivy"],
            check=lambda: None,
            timeout=9,
            env={},
            cwd=tmp_path,
            stdout_limit=1,
            memory_bytes=None,
            file_bytes=None,
        )


def test_a_time_limit_ends_the_whole_tree_even_a_grandchild_with_its_own_session(tmp_path: Path) -> None:
    with pytest.raises(ProcessTimeout):
        run("setsid sleep 900 & sleep 901 & sleep 902", tmp_path, timeout=0.5)
    assert processes_of_folder(tmp_path) == {}


def test_what_a_finished_process_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    assert run("(setsid sleep 900 >/dev/null 2>&1 &); sleep 900 & echo done", tmp_path).stdout == b"done\n"
    assert processes_of_folder(tmp_path) == {}


def test_one_that_ignores_term_is_killed_after_the_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_run, "GRACE_SECONDS", 0.3)
    with pytest.raises(Stop):
        run("trap '' TERM; touch ready; sleep 900 & wait; sleep 901", tmp_path, check=stop_when_ready(tmp_path))
    assert processes_of_folder(tmp_path) == {}


def test_term_comes_first_so_that_an_engine_can_tidy_up(tmp_path: Path) -> None:
    script = "trap 'echo tidy > tidied; exit' TERM; touch ready; sleep 900 & wait"
    with pytest.raises(Stop):
        run(script, tmp_path, check=stop_when_ready(tmp_path))
    assert (tmp_path / "tidied").read_text() == "tidy\n"


def test_what_check_raises_ends_it_and_passes_on(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        run("sleep 900 & touch ready; wait", tmp_path, check=stop_when_ready(tmp_path))
    assert processes_of_folder(tmp_path) == {}


def test_endless_output_is_cut_at_the_limit(tmp_path: Path) -> None:
    with pytest.raises(ProcessOutputTooLarge, match="1000 bytes"):
        run("yes", tmp_path)
    assert processes_of_folder(tmp_path) == {}
    assert len(run("head -c 1000 /dev/zero", tmp_path).stdout) == 1000


def test_of_endless_complaints_the_last_are_kept(tmp_path: Path) -> None:
    tail = run("head -c 500000 /dev/zero | tr '\\0' x >&2; echo last >&2", tmp_path).stderr_tail
    assert len(tail) <= sandbox_run.STDERR_TAIL_BYTES
    assert tail.endswith("xlast\n")


def test_the_memory_of_the_whole_tree_is_bounded(tmp_path: Path) -> None:
    eater = f"{sys.executable} -c 'x = bytearray({60 * MIB}); import time; time.sleep(900)'"
    with pytest.raises(ProcessOutOfMemory, match="100 MiB"):
        run(f"{eater} & {eater}", tmp_path, memory_bytes=100 * MIB)
    assert processes_of_folder(tmp_path) == {}


def test_a_sudden_demand_for_memory_is_refused_by_the_kernel(tmp_path: Path) -> None:
    ended = run(f"{sys.executable} -c 'bytearray({500 * MIB})'", tmp_path, memory_bytes=100 * MIB)
    assert ended.returncode == 1
    assert "MemoryError" in ended.stderr_tail


def test_the_size_of_files_is_bounded(tmp_path: Path) -> None:
    assert run("head -c 2000000 /dev/zero > big", tmp_path, file_bytes=MIB).returncode != 0
    assert (tmp_path / "big").stat().st_size == MIB


def test_it_is_the_first_that_the_kernel_kills_and_dumps_no_core(tmp_path: Path) -> None:
    lines = run("cat /proc/$$/oom_score_adj; ulimit -c; ulimit -n", tmp_path).stdout.split()
    assert lines == [b"800", b"0", str(sandbox_run.MAX_DESCRIPTORS).encode()]


def test_no_descriptor_of_the_worker_reaches_the_engine(tmp_path: Path) -> None:
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    try:
        listed = run("ls /proc/$$/fd", tmp_path).stdout.split()
    finally:
        os.close(secret)
    assert sorted(listed)[:3] == [b"0", b"1", b"2"]
    assert len(listed) == 3


def test_a_killed_supervisor_takes_the_engine_along(tmp_path: Path) -> None:
    def kill_supervisor() -> None:
        (supervisor,) = wait_for(
            lambda: (
                [pid for pid, line in processes_of_folder(tmp_path).items() if "supervisor.py" in line]
                if (tmp_path / "ready").exists()
                else []
            )
        )
        os.kill(supervisor, signal.SIGKILL)

    killer = threading.Thread(target=kill_supervisor)
    killer.start()
    with pytest.raises(ProcessFailed, match="supervisor"):
        run("sleep 900 & touch ready; wait", tmp_path)
    killer.join()
    wait_for(lambda: not processes_of_folder(tmp_path), seconds=10)


def start_owner(script: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a process that runs ``script`` as its engine, and wait for the file ``ready``."""
    code = f"""
from pathlib import Path
from console.sandbox.run import run
folder = Path({str(folder)!r})
run(["/bin/sh", "-c", {script!r}], check=lambda: None, timeout=60, env={{"PATH": "/usr/bin:/bin", "MARK": str(folder)}},
    cwd=folder, stdout_limit=9, memory_bytes=None, file_bytes=None)
"""
    owner = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    wait_for((folder / "ready").exists)
    return owner


def test_a_killed_owner_takes_the_whole_tree_along(tmp_path: Path) -> None:
    owner = start_owner("trap '' TERM; setsid sleep 900 & touch ready; sleep 901; sleep 902", tmp_path)
    assert len(processes_of_folder(tmp_path)) >= 3
    owner.kill()
    owner.wait()
    wait_for(lambda: not processes_of_folder(tmp_path), seconds=10)


def test_the_kernel_ends_the_engine_where_nobody_else_can(tmp_path: Path) -> None:
    owner = start_owner("touch ready; exec sleep 900", tmp_path)
    owner.send_signal(signal.SIGSTOP)
    (supervisor,) = (pid for pid, line in processes_of_folder(tmp_path).items() if "supervisor.py" in line)
    os.kill(supervisor, signal.SIGKILL)
    wait_for(lambda: not processes_of_folder(tmp_path), seconds=10)
    owner.kill()
    owner.wait()


def test_processes_run_side_by_side_in_threads(tmp_path: Path) -> None:
    ended: list[FinishedProcess] = []
    threads = [threading.Thread(target=lambda n=n: ended.append(run(f"sleep 0.2; echo {n}", tmp_path))) for n in "123"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.stdout for one in ended) == [b"1\n", b"2\n", b"3\n"]


def test_no_zombie_and_no_file_is_left(tmp_path: Path) -> None:
    before = set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    run("true", tmp_path)
    with pytest.raises(ProcessTimeout):
        run("sleep 900", tmp_path, timeout=0.2)
    assert set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()) == before
    assert list(tmp_path.iterdir()) == []


def test_the_module_knows_no_django() -> None:
    code = "import sys, console.sandbox.run; sys.exit(any(m.split('.')[0].startswith('django') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0

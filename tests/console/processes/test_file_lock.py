"""One holder at a time, whoever ends how; nobody holds the lock of a file that is no longer there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from console.processes.file_lock import FileLock, LockTimeout, lock, try_lock

HOLD = """
import sys
from pathlib import Path
from console.processes.file_lock import lock
with lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def is_free(path: Path) -> bool:
    if held := try_lock(path):
        held.release()
    return held is not None


def wait_in_thread(path: Path) -> tuple[threading.Thread, list[FileLock]]:
    """Start a thread that waits for the lock; it is in the list as soon as it is held."""
    held: list[FileLock] = []
    thread = threading.Thread(target=lambda: held.append(lock(path)))
    thread.start()
    return thread, held


def test_one_holds_it_until_the_end_of_the_block_or_its_release(path: Path) -> None:
    with lock(path) as held:
        assert not is_free(path)
        held.release()
        assert is_free(path)
        with lock(path):
            held.release()  # once more, which must not close what is another's by now
            assert not is_free(path)
    assert is_free(path)


def test_the_file_belongs_to_its_owner_alone_and_keeps_its_content(path: Path) -> None:
    with lock(path):
        path.write_text("mine")
        assert try_lock(path) is None
    with lock(path):
        assert path.read_text() == "mine"
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_waits_goes_on_when_the_holder_is_killed(path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert not is_free(path)
        waiter, held = wait_in_thread(path)
        waiter.join(0.2)
        assert not held
        holder.kill()
        waiter.join(60)
        assert held
        held[0].release()


@pytest.mark.parametrize("polls", [False, True])
def test_the_lock_of_a_removed_file_is_none(path: Path, polls: bool) -> None:
    """Its remover was the last to hold it; who waited for that file must ask for the one that is there now."""
    first = lock(path)
    opened, held = threading.Event(), []

    def wait() -> None:
        held.append(lock(path, check=opened.set) if polls else lock(path))

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert opened.wait(60 if polls else 0.3) == polls
    path.unlink()
    first.release()
    waiter.join(60)
    assert path.exists()
    assert not is_free(path)
    held[0].release()


def test_what_the_check_raises_passes_on(path: Path) -> None:
    def check() -> None:
        raise KeyError("stop")

    with lock(path), pytest.raises(KeyError):
        lock(path, check=check)


def test_waiting_ends_in_time(path: Path) -> None:
    checks: list[int] = []
    with lock(path), pytest.raises(LockTimeout):
        lock(path, check=lambda: checks.append(1), timeout=0.2)
    assert len(checks) > 1
    with lock(path), pytest.raises(LockTimeout):
        lock(path, timeout=0)


def test_a_missing_folder_is_made_for_who_waits_and_no_lock_for_who_does_not(tmp_path: Path) -> None:
    below = tmp_path / "one" / "two" / "lock"
    assert try_lock(below) is None
    with lock(below):
        assert not is_free(below)
    below.parent.joinpath("file").touch()
    assert try_lock(below.parent / "file" / "lock") is None


def test_a_forked_process_holds_it_too(path: Path) -> None:
    held = lock(path)
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    try:
        held.release()
        assert not is_free(path)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert is_free(path)


def test_a_program_that_is_started_does_not(path: Path) -> None:
    with lock(path):
        program = subprocess.Popen(["sleep", "900"], close_fds=False)
    try:
        assert is_free(path)
    finally:
        program.kill()
        program.wait()


def test_an_error_of_the_system_is_not_taken_for_a_held_lock(path: Path) -> None:
    path.mkdir()
    with pytest.raises(IsADirectoryError):
        try_lock(path)
    with pytest.raises(IsADirectoryError):
        lock(path)

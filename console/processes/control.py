"""What a process has the kernel do with itself and with those below it: prctl(2), children, process groups.

The supervisor of the sandbox imports this at each of its starts, so it imports little.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # "signal" takes as long as all else
import ctypes
import os
import time
from types import TracebackType

PR_SET_PDEATHSIG = 1  # linux/prctl.h, like the others
PR_SET_NAME = 15
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

libc = ctypes.CDLL(None, use_errno=True)
_prctl = getattr(libc, "prctl", None)  # looked up here and not between fork and exec


class suppress:
    """``contextlib.suppress``, whose module takes as long to import as all else."""

    def __init__(self, *errors: type[BaseException]) -> None:
        self._errors = errors

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> bool:
        return kind is not None and issubclass(kind, self._errors)


def prctl(option: int, first: object, second: object = 0) -> int:
    """Call prctl(2) and return what it does: negative where it fails, or the system has no such call."""
    return -1 if _prctl is None else int(_prctl(option, first, second, 0, 0))


def set_no_new_privs() -> None:
    """Give up what programs with rights of their own would add. Landlock and seccomp ask for it."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def set_process_name(name: str) -> None:
    """Have ps and top call this process by the first 15 characters of ``name``, and those that it forks from now on."""
    prctl(PR_SET_NAME, ctypes.create_string_buffer(name.encode()[:15]))


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel send signal ``number`` to this process when its parent thread ends.

    Exit at once if the process ``parent`` is not the parent any more.
    """
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def die_with_parent_after_fork() -> None:
    """Have ``die_with_parent()`` called in every process that this one and its children fork from now on."""
    parent = os.getpid()

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with_parent(parent))


def become_subreaper() -> None:
    """Become the parent of whatever this process has started and whose own parent ends."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def children(pid: int) -> list[int]:
    """Return the processes that the main thread of ``pid`` has started or adopted; none if the system does not tell."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
            return [int(child) for child in file.read().split()]
    except OSError:
        return []


def signal_group(group: int, number: int) -> None:
    """Send signal ``number`` to the process group ``group``; nothing where it is gone."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def kill_descendants(group: int | None = None) -> int | None:
    """Kill the process group ``group`` and all children of this process, and wait until it has none.

    A subreaper gets the children of those that end, so it reaches all that it has started. Returns the wait status of
    the child ``group`` where that had not been collected yet.
    """
    status = None
    while True:
        if group is not None:
            signal_group(group, signal.SIGKILL)
        for pid in children(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status
        if pid == group:
            status = ended
        if pid == 0:
            time.sleep(0.01)

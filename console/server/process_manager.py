"""Runs the programs that make up the console (web server, worker) and ends all of them together.

Each program gets a session of its own, so that Ctrl-C in a terminal reaches the supervisor alone, which then stops
them in order. They are told to end when the supervisor dies, however it dies, and what they leave behind (a worker of
a worker) is handed to the supervisor and ended too. The last two need Linux; elsewhere sessions are all there is.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from console.processes.control import become_subreaper, die_with_parent, kill_descendants, signal_group
from console.processes.forked_process import ForkedProcess, Process

# Seconds between the end of a program and its next start: twice as many each time that it ended soon after its start.
MIN_RESTART_PAUSE_SECONDS, MAX_RESTART_PAUSE_SECONDS = 1.0, 60.0
SHORT_RUN_SECONDS = 60.0  # seconds


class StopRequested(BaseException):
    """Somebody asked for the end: Ctrl-C, SIGTERM, or a closed terminal. Not an Exception: nobody handles it early."""


class ProgramEndedError(Exception):
    """A program that must run has ended by itself."""


@dataclass(frozen=True)
class Program:
    """A program to keep running. ``restart``: start it again when it ends; otherwise its end is the end of all.

    It is a ``command``, which gets the open file ``descriptors`` under their own numbers; or a function, ``run``, in a
    process that is forked from that of the manager and has all of its open files. For the latter the process of the
    manager has one thread, and no connection that both would use (:class:`ForkedProcess`).
    """

    name: str
    command: tuple[str, ...] = ()
    restart: bool = False
    descriptors: tuple[int, ...] = ()
    run: Callable[[], None] | None = None


@contextmanager
def on_stop_signals(handler: Callable[[], None]) -> Iterator[None]:
    """Call ``handler`` in the main thread on SIGINT, SIGTERM and SIGHUP while the block runs."""

    def handle(number: int, frame: FrameType | None) -> None:
        handler()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def raise_stop_requested() -> None:
    """Raise StopRequested: what most programs do on a signal."""
    raise StopRequested


class ProcessManager:
    """Starts ``programs`` on entry and leaves none of them, nor what they started, on exit.

    ``grace`` is the time in seconds that programs get between SIGTERM and SIGKILL. Their output is added to the file
    ``log``; without it, it goes where that of the supervisor goes.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        folder: Path,
        grace: float,
        report: Callable[[str], None],
        log: Path | None = None,
    ) -> None:
        self._programs, self._folder, self._grace, self._report, self._log = programs, folder, grace, report, log
        self._running: dict[Program, Process] = {}
        self._started: dict[Program, float] = {}  # when, by the monotonic clock
        self._start_again: dict[Program, float] = {}  # likewise
        self._pauses: dict[Program, float] = {}  # seconds before the last start
        self._foreground = _in_foreground()

    def __enter__(self) -> Self:
        become_subreaper()
        try:
            for program in self._programs:
                self._start(program)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()

    def check(self) -> None:
        """Look after the programs; call it about once a second.

        Raises ProgramEndedError where one is lost, and StopRequested where the terminal in whose foreground this
        process was started is gone: below ``ssh -t host make demo`` the signal that tells of it reaches ``make`` alone.
        """
        if self._foreground and not os.isatty(0):
            raise StopRequested
        for program, process in list(self._running.items()):
            if (code := process.poll()) is not None:
                del self._running[program]
                if not program.restart:
                    raise ProgramEndedError(f"The {program.name} ended by itself (exit code {code}).")
                self._report(f"The {program.name} ended (exit code {code}) and is started again.")
                self._start_again[program] = time.monotonic() + self._pause(program)
        for program, due in list(self._start_again.items()):
            if time.monotonic() >= due:
                del self._start_again[program]
                self._start(program)
        self._reap_orphans()

    def _pause(self, program: Program) -> float:
        """Return how many seconds to wait before ``program``, which has ended, is started again."""
        soon = time.monotonic() - self._started[program] < SHORT_RUN_SECONDS
        self._pauses[program] = (
            min(2 * self._pauses[program], MAX_RESTART_PAUSE_SECONDS) if soon else MIN_RESTART_PAUSE_SECONDS
        )
        return self._pauses[program]

    def _start(self, program: Program) -> None:
        self._started[program] = time.monotonic()
        self._pauses.setdefault(program, MIN_RESTART_PAUSE_SECONDS / 2)
        with self._log.open("ab") if self._log else nullcontext() as log:
            output = log.fileno() if log else None
            self._running[program] = self._fork(program, output) if program.run else self._execute(program, output)

    def _execute(self, program: Program, output: int | None) -> Process:
        return subprocess.Popen(
            program.command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            start_new_session=True,
            pass_fds=program.descriptors,
            preexec_fn=functools.partial(die_with_parent, os.getpid(), signal.SIGTERM),
        )

    def _fork(self, program: Program, output: int | None) -> Process:
        def run() -> None:
            os.chdir(self._folder)
            if output is not None:
                os.dup2(output, 1)
                os.dup2(output, 2)
            assert program.run is not None  # noqa: S101 (narrows the type)
            program.run()

        name = f"tallyman-{program.name.replace(' server ', '-')}"
        return ForkedProcess(run, name=name, parent_death_signal=signal.SIGTERM)

    def _stop(self) -> None:
        """TERM, a while, KILL. A second signal cuts the while short."""

        deadline = time.monotonic() + self._grace

        def hurry() -> None:
            nonlocal deadline
            deadline = 0.0

        with on_stop_signals(hurry):
            for process in self._running.values():
                process.terminate()
            while time.monotonic() < deadline and any(process.poll() is None for process in self._running.values()):
                time.sleep(0.05)
            for process in self._running.values():
                if process.poll() is None:
                    signal_group(process.pid, signal.SIGKILL)
                    process.wait()
            if sys.platform == "linux":
                kill_descendants()
            self._running.clear()

    def _reap_orphans(self) -> None:
        """Reap ended processes that were handed to us, as init would."""
        own = {process.pid for process in self._running.values()}
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None or ended.si_pid in own:
                return
            with suppress(ChildProcessError):
                os.waitpid(ended.si_pid, os.WNOHANG)


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # there is no terminal
        return False

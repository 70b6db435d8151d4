"""A function in a process of its own, forked from this one: it shares what is loaded here, and loads nothing again."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

from console.processes.control import die_with_parent, set_process_name

log = logging.getLogger(__name__)

WAIT_POLL_SECONDS = 0.02


class Process(Protocol):
    """What :class:`ForkedProcess` and :class:`subprocess.Popen` have in common."""

    @property
    def pid(self) -> int:
        """The process, which leads a group of its own."""

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when there is one. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""

    def terminate(self) -> None:
        """Send SIGTERM to this process alone."""


class ForkedProcess:
    """Runs ``run()`` in a process of its own, from the moment this is made.

    Its exit code is 0 where ``run`` returns, and 1, with the error in the log, where it raises. The process leads a
    session of its own, reads no input, is called ``name`` (the first 15 characters) by ps and top, and gets signal
    ``parent_death_signal`` when this process ends. Signals end it until ``run`` handles them.

    The process that makes it must have one thread, and no connection that both would use.
    """

    def __init__(self, run: Callable[[], None], *, name: str, parent_death_signal: int = signal.SIGKILL) -> None:
        if threading.active_count() > 1:
            raise RuntimeError("A process with threads must not fork: another thread may hold a lock.")
        sys.stdout.flush()
        sys.stderr.flush()
        if not gc.get_freeze_count():
            gc.collect()
        gc.freeze()  # for good: a collection, here or there, would write to the memory that both share, and so copy it
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _HANDLED)  # no handler of ours in the child
        try:
            self.pid = os.fork()
            if self.pid == 0:
                _run(run, name, parent, parent_death_signal, before)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the process runs."""
        if self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code when there is one. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        ends = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if ends is not None and time.monotonic() >= ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(WAIT_POLL_SECONDS)
        return code

    def terminate(self) -> None:
        """Send SIGTERM to this process alone."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGTERM)


_HANDLED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}


def _run(
    run: Callable[[], None], name: str, parent: int, parent_death_signal: int, mask: set[int | signal.Signals]
) -> NoReturn:
    code = 1
    try:
        os.setsid()
        die_with_parent(parent, parent_death_signal)
        set_process_name(name)
        for number in _HANDLED:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with open(os.devnull) as nothing:  # noqa: PTH123
            os.dup2(nothing.fileno(), 0)
        run()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        log.exception("The process %s failed", name)
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # whatever that raises: beyond here is the code of the parent
            os._exit(code)

"""A program in the sandbox that serves one request after the other, by messages. Knows neither Django nor jobs.

Its standard input is one end of a pair of sockets that keep messages whole (SOCK_SEQPACKET); the other end is
``channel``. It has the sandbox of an engine (see run.py), writes nothing, and ends when its owner does.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from console.sandbox.run import GRACE_SECONDS, STDERR_TAIL_BYTES, descendant_memory_bytes, supervisor_command


class PersistentProcess:
    """A program under a supervisor of its own. Belongs to the process that started it, and to it alone."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        control: socket.socket,
        theirs: socket.socket,
        stdin: int,
        env: Mapping[str, str],
        cwd: Path | str,
        passed: Sequence[int] = (),
    ) -> None:
        """Start ``command``, which ``supervisor_command()`` has made: it listens at ``theirs``, we at ``control``."""
        self.owner = os.getpid()
        self._control = control
        self._supervisor = subprocess.Popen(
            command,
            stdin=stdin,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(env),
            cwd=cwd,
            pass_fds=[theirs.fileno(), *passed],
            start_new_session=True,
        )
        assert self._supervisor.stderr is not None  # noqa: S101 (narrows the type)
        self.errors = self._supervisor.stderr
        os.set_blocking(self.errors.fileno(), False)
        self._tail = b""

    @property
    def pid(self) -> int:
        """The supervisor's process ID; the program is below it."""
        return self._supervisor.pid

    @property
    def has_ended(self) -> bool:
        """Whether the program has ended."""
        return self._supervisor.poll() is not None

    def memory(self) -> int:
        """Return the resident memory of the program and what it started, in bytes."""
        return descendant_memory_bytes(self._supervisor.pid)

    def tail(self) -> str:
        """Return the last that it has said of errors. Call it now and then, lest it wait for somebody to read them."""
        while True:
            try:
                chunk = os.read(self.errors.fileno(), STDERR_TAIL_BYTES)
            except BlockingIOError:
                break
            if not chunk:
                break
            self._tail = (self._tail + chunk)[-STDERR_TAIL_BYTES:]
        return self._tail.decode("utf-8", "replace")

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        self._control.close()  # its supervisor takes that for our death
        try:
            self._supervisor.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()  # the program goes with it, by its parent death signal
            self._supervisor.wait()
        self.errors.close()

    def detach(self) -> None:
        """Let go of what was inherited by a fork, without ending it: the program is another process's."""
        self._control.close()
        self.errors.close()
        self._supervisor.returncode = 0  # else Popen would complain of a child that is none


class ResidentProcess(PersistentProcess):
    """One that is spoken to by messages, started by making this."""

    def __init__(self, argv: Sequence[str | Path], *, memory_bytes: int, reads: Sequence[Path]) -> None:
        """Start ``argv`` with an empty environment, reading below ``reads`` alone where the system has Landlock.

        ``memory_bytes`` is what the kernel holds it to twice over; who asks it looks at ``memory()``.
        """
        self.channel, stdin = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        control, theirs = socket.socketpair()
        with stdin, theirs:
            command = supervisor_command(
                argv, control=theirs, memory_bytes=memory_bytes, file_bytes=0, network=False, reads=reads, writes=()
            )
            super().__init__(command, control=control, theirs=theirs, stdin=stdin.fileno(), env={}, cwd="/")

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        self.channel.close()
        super().kill()

    def detach(self) -> None:
        """Let go of what was inherited by a fork, without ending it: the program is another process's."""
        self.channel.close()
        super().detach()

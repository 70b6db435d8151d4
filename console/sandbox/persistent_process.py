"""A program in the sandbox that serves one request after the other, by messages. Knows neither Django nor jobs.

Its standard input is one end of a pair of sockets that keep messages whole (SOCK_SEQPACKET); the other end is
``channel``. It has the sandbox of an engine (see run.py), writes nothing, and ends when its owner does.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from console.sandbox.run import GRACE_SECONDS, STDERR_TAIL_BYTES, descendant_memory_bytes, supervisor_command


class ResidentProcess:
    """One such program, started by making this. Belongs to the process that made it, and to it alone."""

    def __init__(self, argv: Sequence[str | Path], *, memory_bytes: int, reads: Sequence[Path]) -> None:
        """Start ``argv`` with an empty environment, reading below ``reads`` alone where the system has Landlock.

        ``memory_bytes`` is what the kernel holds it to twice over; who asks it looks at ``memory()``.
        """
        self.owner = os.getpid()
        self.channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control, control = socket.socketpair()
        with theirs, control:
            command = supervisor_command(
                argv, control=control, memory_bytes=memory_bytes, file_bytes=0, network=False, reads=reads, writes=()
            )
            self._supervisor = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env={},
                cwd="/",
                pass_fds=[control.fileno()],
                start_new_session=True,
            )
        assert self._supervisor.stderr is not None  # noqa: S101 (narrows the type)
        self.errors = self._supervisor.stderr
        os.set_blocking(self.errors.fileno(), False)
        self._tail = b""

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
        self.channel.close()
        self._control.close()  # its supervisor takes that for our death
        try:
            self._supervisor.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()  # the program goes with it, by its parent death signal
            self._supervisor.wait()
        self.errors.close()

    def detach(self) -> None:
        """Let go of what was inherited by a fork, without ending it: the program is another process's."""
        self.channel.close()
        self._control.close()
        self.errors.close()
        self._supervisor.returncode = 0  # else Popen would complain of a child that is none

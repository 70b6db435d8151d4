"""A program in the sandbox that listens for TCP, and that its owner alone can reach. Knows neither Django nor jobs.

Where the system grants namespaces, it listens in a network of its own that has nothing but itself. Its supervisor makes
some sockets in there before the program starts, and gives them to us, not connected yet: these are the one way in.
Elsewhere it listens at a port of this machine's loopback, where everybody on the machine can connect: then it must ask
for a secret, and we look whether the one that listens is ours. It may connect to nothing in either case.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from console.processes.control import children
from console.sandbox.persistent_process import PersistentProcess
from console.sandbox.run import sandbox_support, supervisor_command
from console.sandbox.supervisor import WAYS_IN

HOST = "127.0.0.1"
OWN_PORT = 4954  # in a network of its own
CONNECT_POLL_SECONDS = 0.01
WAYS_TIMEOUT_SECONDS = 30.0
_LISTENS = "0A"  # state of a socket in /proc/net/tcp


class ServerNotReached(Exception):
    """The program has ended, or cannot be reached."""


def can_serve() -> bool:
    """Return whether this system lets a program listen that can do nothing else with its network."""
    return sandbox_support().network or sandbox_support().calls


class LocalServer(PersistentProcess):
    """One such program. ``argv`` is made of the address at which it is to listen, ``host:port``."""

    def __init__(
        self,
        argv: Callable[[str], Sequence[str | Path]],
        *,
        memory_bytes: int,
        file_bytes: int,
        env: Mapping[str, str],
        cwd: Path,
        reads: Sequence[Path],
        writes: Sequence[Path],
    ) -> None:
        """Start it in ``cwd`` with exactly the environment ``env``; bounds and paths are those of :func:`run.run`."""
        self._ways: list[socket.socket] = []
        self.is_apart = sandbox_support().network
        self._port = OWN_PORT if self.is_apart else _free_port()
        control, theirs = socket.socketpair()
        ours, ways = socket.socketpair()
        with theirs, ours, ways:
            command = supervisor_command(
                argv(f"{HOST}:{self._port}"),
                control=theirs,
                memory_bytes=memory_bytes,
                file_bytes=file_bytes,
                network=False,
                reads=[*reads, cwd],
                writes=writes,
                port=self._port,
                ways=ways if self.is_apart else None,
            )
            passed = [ways.fileno()] if self.is_apart else []
            stdin = subprocess.DEVNULL
            super().__init__(command, control=control, theirs=theirs, stdin=stdin, env=env, cwd=cwd, passed=passed)
            if self.is_apart:
                ways.close()
                self._receive_ways(ours)

    def connect(self, *, check: Callable[[], None], timeout: float) -> socket.socket:
        """Return a connection to it, as soon as it listens. Raises ServerNotReached, and what ``check`` raises."""
        if not self.is_apart:
            way = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        elif self._ways:
            way = self._ways.pop()
        else:
            raise ServerNotReached("no way in is left")
        try:
            self._connect(way, check=check, ends=time.monotonic() + timeout)
        except BaseException:
            way.close()
            raise
        return way

    def kill(self) -> None:
        """End it and all that it has started, at once."""
        self._close_ways()
        super().kill()

    def detach(self) -> None:
        """Let go of what was inherited by a fork, without ending it: the program is another process's."""
        self._close_ways()
        super().detach()

    def _connect(self, way: socket.socket, *, check: Callable[[], None], ends: float) -> None:
        while True:
            check()
            try:
                way.connect((HOST, self._port))
            except ConnectionRefusedError as error:
                if self.has_ended or time.monotonic() > ends:
                    raise ServerNotReached(self.tail()[-300:] or "it does not listen") from error
                time.sleep(CONNECT_POLL_SECONDS)
            except OSError as error:
                raise ServerNotReached(str(error)) from error
            else:
                break
        if not self.is_apart and not _listens(self._port, below=self.pid):
            raise ServerNotReached("another program listens at its port")
        way.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _receive_ways(self, ours: socket.socket) -> None:
        ours.settimeout(WAYS_TIMEOUT_SECONDS)
        try:
            _data, descriptors, _flags, _address = socket.recv_fds(ours, 1, WAYS_IN, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            descriptors = []
        self._ways = [socket.socket(fileno=descriptor) for descriptor in descriptors]

    def _close_ways(self) -> None:
        for way in self._ways:
            way.close()
        self._ways = []


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def _listens(port: int, *, below: int) -> bool:
    """Return whether it is a process below ``below`` that listens at ``port`` of this machine."""
    local = f"{int.from_bytes(socket.inet_aton(HOST), 'little'):08X}:{port:04X}"
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {f"socket:[{row[9]}]" for row in rows if row[1] == local and row[3] == _LISTENS}
    todo = children(below)
    while todo:
        pid = todo.pop()
        todo += children(pid)
        with contextlib.suppress(OSError):
            for descriptor in Path(f"/proc/{pid}/fd").iterdir():
                with contextlib.suppress(OSError):
                    if str(descriptor.readlink()) in inodes:
                        return True
    return False

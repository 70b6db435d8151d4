"""Run an engine as a child process with bounds; nothing of it survives this call. Knows neither Django nor jobs.

persistent_process.py keeps one for longer.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from console.processes.control import children, signal_group
from console.sandbox import messages, policy

SUPERVISOR = Path(__file__).with_name("supervisor.py")
# Imported rather than run as a script, since what is imported is compiled once. At the end of the path, so that no
# folder of ours hides a name of the standard library.
_SUPERVISOR_CODE = (
    "import sys; sys.path.append(sys.argv.pop(1).rsplit('/', 3)[0]);"
    " from console.sandbox import policy, supervisor; sys.exit(%s)"
)
GRACE_SECONDS = 5.0  # between TERM and KILL
POLL_SECONDS = 0.1
STDERR_TAIL_BYTES = 64 * 1024
MAX_DESCRIPTORS = 1024
MAX_PROCESSES = 512  # and threads, of one engine
_READ_BYTES = 64 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class ProcessFailed(Exception):
    """The process did not come to an end of its own. ``stderr_tail`` is the last that it said."""

    def __init__(self, message: str, *, stderr_tail: str = "") -> None:
        super().__init__(message)
        self.stderr_tail = stderr_tail


class ProcessNotStarted(ProcessFailed):
    """There is no such program, or it may not be executed."""


class ProcessTimeout(ProcessFailed):
    """It ran longer than allowed and was ended."""


class ProcessOutputTooLarge(ProcessFailed):
    """It wrote more to its standard output than allowed and was ended."""


class ProcessOutOfMemory(ProcessFailed):
    """It and what it started took more memory than allowed and were ended."""


@dataclass(frozen=True)
class FinishedProcess:
    """A process that ended by itself, with whatever code: negative for a signal, as in ``subprocess``."""

    returncode: int
    stdout: bytes
    stderr_tail: str


@dataclass(frozen=True)
class SandboxSupport:
    """What this system allows an engine to be shut into: a network namespace of its own, Landlock for its files, and a
    filter of the calls it makes to the kernel.

    ``why``, ``files_error`` and ``calls_error`` say why not.
    """

    network: bool
    files: bool
    calls: bool
    why: str = ""
    files_error: str = ""
    calls_error: str = ""


@functools.cache
def sandbox_support() -> SandboxSupport:
    """Return what this system allows, found out once by trying it in processes that end at once."""
    parts = (policy.unshare_namespaces, policy.probe_landlock, policy.probe_seccomp)
    network, files, calls = (_try_policy(f"policy.{part.__name__}()") for part in parts)
    return SandboxSupport(not network, not files, not calls, network, files, calls)


def _try_policy(call: str) -> str:
    """Return "" where ``call`` of the supervisor is granted, else the name of the error."""
    try:
        tried = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _SUPERVISOR_CODE % call, SUPERVISOR],
            capture_output=True,
            timeout=30,
            env={},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return errno.errorcode.get(tried.returncode, str(tried.returncode)) if tried.returncode else ""


def run(
    argv: Sequence[str | Path],
    *,
    check: Callable[[], None],
    timeout: float,
    env: Mapping[str, str],
    cwd: Path,
    stdout_limit: int,
    memory_bytes: int | None,
    file_bytes: int | None,
    stdin: bytes | None = None,
    network: bool = False,
    reads: Sequence[Path] = (),
    writes: Sequence[Path] | None = None,
) -> FinishedProcess:
    """Run ``argv`` (an absolute path first) in ``cwd`` with exactly the environment ``env`` and wait for its end.

    It has no network and sees no process of ours, where the system allows that (see ``sandbox_support``); with
    ``network`` it has both, for what must download. Where the system has Landlock, it writes below ``writes`` alone
    (``cwd`` where that is None), and with ``reads`` it reads there, below those, its own file, ``cwd``, and the
    libraries of the system.

    ``check`` is called about every 0.1 s; what it raises ends the process tree (TERM, 5 s, KILL) and passes on.
    ``timeout`` in seconds. ``memory_bytes`` bounds the resident memory of the whole tree, and ``file_bytes`` each file
    that it writes. Raises a ProcessFailed; when this returns or raises, nothing of the tree is left.
    """
    with (
        tempfile.TemporaryFile(dir=cwd) as source,
        tempfile.SpooledTemporaryFile(max_size=1024 * 1024, dir=str(cwd)) as spool,
    ):
        if stdin:
            source.write(stdin)
            source.seek(0)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = supervisor_command(
                argv,
                control=theirs,
                memory_bytes=memory_bytes,
                file_bytes=file_bytes,
                network=network,
                reads=[*reads, cwd] if reads else (),
                writes=(cwd,) if writes is None else writes,
            )
            with subprocess.Popen(
                command,
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=dict(env),
                cwd=cwd,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            ) as supervisor:
                theirs.close()
                watch = _SupervisedProcess(
                    supervisor, ours, spool, stdout_limit=stdout_limit, memory_bytes=memory_bytes
                )
                try:
                    return watch.wait(check=check, timeout=timeout)
                finally:
                    watch.end()


def supervisor_command(
    argv: Sequence[str | Path],
    *,
    control: socket.socket,
    memory_bytes: int | None,
    file_bytes: int | None,
    network: bool,
    reads: Sequence[Path],
    writes: Sequence[Path],
    port: int | None = None,
    ways: socket.socket | None = None,
) -> list[str | Path]:
    """Return the command that runs ``argv`` under a supervisor which listens at ``control``: see :func:`run`.

    With ``port`` it may listen there for TCP. If the system grants a network namespace, ``ways`` is where sockets are
    sent by which it can be reached.
    """
    options = [f"--control={control.fileno()}", f"--grace={GRACE_SECONDS}", f"--descriptors={MAX_DESCRIPTORS}"]
    if not network and sandbox_support().network:
        options += ["--cage=1", f"--processes={MAX_PROCESSES}"]
    if port is not None:
        options.append(f"--port={port}")
    if ways is not None:
        options.append(f"--ways={ways.fileno()}")
    if not network:
        options += ["--offline=1", *(["--calls=1"] if sandbox_support().calls else [])]
    if sandbox_support().files:
        options.append("--files=1")
        options += [f"--write={path}" for path in writes]
        options += [f"--read={path}" for path in (*reads, argv[0]) if reads]
    if memory_bytes is not None:
        options.append(f"--data={2 * memory_bytes}")  # a burst between two looks at the resident memory
    if file_bytes is not None:
        options.append(f"--file={file_bytes}")
    return [sys.executable, "-I", "-S", "-c", _SUPERVISOR_CODE % "supervisor.main()", SUPERVISOR, *options, "--", *argv]


class _SupervisedProcess:
    """One running supervisor with its three streams: the control socket, the engine's output and its errors."""

    def __init__(
        self,
        supervisor: subprocess.Popen[bytes],
        control: socket.socket,
        spool: tempfile.SpooledTemporaryFile[bytes],
        *,
        stdout_limit: int,
        memory_bytes: int | None,
    ) -> None:
        assert supervisor.stdout is not None  # noqa: S101 (narrows the type)
        assert supervisor.stderr is not None  # noqa: S101
        self._supervisor, self._control, self._spool = supervisor, control, spool
        self._stdout_limit, self._memory_bytes = stdout_limit, memory_bytes
        self._stdout_size = 0
        self._stderr = b""
        self._messages = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._read_message)
        self._selector.register(supervisor.stdout, selectors.EVENT_READ, self._read_stdout)
        self._selector.register(supervisor.stderr, selectors.EVENT_READ, self._read_stderr)

    def wait(self, *, check: Callable[[], None], timeout: float) -> FinishedProcess:
        """Return when the supervisor has said how the engine ended and all output is read."""
        ends = time.monotonic() + timeout
        checked_at = 0.0
        while self._selector.get_map():
            for key, _events in self._selector.select(POLL_SECONDS):
                chunk = os.read(key.fd, _READ_BYTES)
                if chunk:
                    key.data(chunk)
                else:
                    self._selector.unregister(key.fileobj)
                    if key.fileobj is self._control and self._reported("exited", "failed") is None:
                        self._kill_group()  # it would hold its output open
                        raise ProcessFailed(messages.SUPERVISOR_KILLED(), stderr_tail=self._tail())
            now = time.monotonic()
            if now - checked_at < POLL_SECONDS:
                continue
            checked_at = now
            check()
            if now >= ends:
                raise ProcessTimeout(messages.RAN_TOO_LONG(timeout=f"{timeout:g}"), stderr_tail=self._tail())
            if self._memory_bytes is not None and descendant_memory_bytes(self._supervisor.pid) > self._memory_bytes:
                message = messages.TOO_MUCH_MEMORY(value=self._memory_bytes // 1024**2)
                raise ProcessOutOfMemory(message, stderr_tail=self._tail())
        return self._finished()

    def end(self) -> None:
        """Make sure that nothing is left, whatever has happened before."""
        self._selector.close()
        if self._supervisor.poll() is not None:
            return
        for stream in (self._supervisor.stdout, self._supervisor.stderr):
            if stream is not None:
                stream.close()  # an engine that is blocked on a full pipe goes on to its end
        with contextlib.suppress(OSError):  # it is ending already
            self._control.send(b"T")
        try:
            self._supervisor.wait(timeout=GRACE_SECONDS + 5)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()  # the engine goes with it, by its parent death signal
        self._kill_group()

    def _finished(self) -> FinishedProcess:
        number = self._reported("failed")
        if number is not None:
            name = errno.errorcode.get(number, str(number))
            raise ProcessNotStarted(messages.NOT_STARTED(value=os.strerror(number), name=name))
        code = self._reported("exited")
        assert code is not None  # noqa: S101 (else wait() has raised)
        self._spool.seek(0)
        return FinishedProcess(code, self._spool.read(), self._tail())

    def _reported(self, *words: str) -> int | None:
        """Return the number that the supervisor has sent after one of ``words``, None while it has not."""
        for line in self._messages.decode("ascii").splitlines():
            word, _space, number = line.partition(" ")
            if word in words:
                return int(number)
        return None

    def _kill_group(self) -> None:
        """Kill what a killed supervisor may have left."""
        group = self._reported("started")
        if group is not None and self._reported("exited") is None:
            signal_group(group, signal.SIGKILL)

    def _read_message(self, chunk: bytes) -> None:
        self._messages += chunk

    def _read_stdout(self, chunk: bytes) -> None:
        self._stdout_size += len(chunk)
        if self._stdout_size > self._stdout_limit:
            message = messages.WROTE_TOO_MUCH(stdout_limit=self._stdout_limit)
            raise ProcessOutputTooLarge(message, stderr_tail=self._tail())
        self._spool.write(chunk)

    def _read_stderr(self, chunk: bytes) -> None:
        self._stderr = (self._stderr + chunk)[-STDERR_TAIL_BYTES:]

    def _tail(self) -> str:
        return self._stderr.decode("utf-8", "replace")


def descendant_memory_bytes(pid: int) -> int:
    """Return the resident memory of the descendants of ``pid`` that is theirs alone (no file mappings)."""
    total, todo = 0, children(pid)
    while todo:
        pid = todo.pop()
        todo += children(pid)
        try:
            _size, resident, shared, *_rest = Path(f"/proc/{pid}/statm").read_text().split()
        except (OSError, ValueError):
            continue
        total += (int(resident) - int(shared)) * _PAGE_BYTES
    return total

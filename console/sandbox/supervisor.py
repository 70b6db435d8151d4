"""The small program between a worker and an engine: one engine process tree, bounded, and never outliving its owner.

Run as a process of its own, with the standard library and no other: the worker has threads, and between fork and
exec a process with threads may do almost nothing. It becomes the "subreaper" of all that the engine starts, so even a
grandchild that makes a session of its own is found and ended.

Owner to supervisor, over the socket ``--control``: ``T`` asks for the end (TERM, a pause, KILL); end of file means that
the owner is dead (KILL at once). Supervisor to owner: ``started <pid>``, then ``exited <code>``, or ``failed <errno>``.

It starts for each run of an engine, so it imports little (argparse and pathlib alone would double its time), and its
owner imports it, so that it is not compiled each time.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # "signal" and contextlib take as long as all else
import os
import resource
import select
import sys
import time
from types import SimpleNamespace

from console.processes.control import (
    become_subreaper,
    die_with_parent,
    kill_descendants,
    set_no_new_privs,
    signal_group,
    suppress,
)
from console.sandbox import policy

OOM_SCORE = "800"
WAYS_IN = 16  # connections to a server in a network namespace of its own, over its life


def main() -> int:
    """Run the engine and return when nothing of it is left."""
    options = _options()
    control = options.control
    os.set_inheritable(control, False)
    become_subreaper()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)

    error, child = _start(options)
    if options.ways is not None:
        os.close(options.ways)
    if error:
        os.write(control, f"failed {error}\n".encode())
        return 1
    for stream in (0, 1, 2):
        os.close(stream)  # else the owner would wait for the end of the engine's output for ever
    _report(control, f"started {child}")
    status: int | None = None
    deadline: float | None = None
    while status is None:
        pause = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready = select.select([control, wake] if deadline is None else [wake], [], [], pause)[0]
        if wake in ready:
            with suppress(BlockingIOError):
                os.read(wake, 4096)
        status = _reap(child)
        if deadline is not None and time.monotonic() >= deadline:
            break
        if deadline is None and control in ready:
            requested = _read(control)
            signal_group(child, signal.SIGTERM if requested else signal.SIGKILL)
            deadline = time.monotonic() + (options.grace if requested else 0)
    ended = kill_descendants(child)
    if status is None:
        status = signal.SIGKILL if ended is None else ended
    _report(control, f"exited {os.waitstatus_to_exitcode(status)}")
    return 0


def _options() -> SimpleNamespace:
    """Return the options, each ``--name=number`` or absent (None), and the engine's own words, which follow ``--``."""
    mine = sys.argv[1 : sys.argv.index("--")]
    given = dict(word.removeprefix("--").split("=", 1) for word in mine)
    return SimpleNamespace(
        control=int(given["control"]),
        data=int(given["data"]) if "data" in given else None,
        file=int(given["file"]) if "file" in given else None,
        descriptors=int(given["descriptors"]),
        processes=int(given["processes"]) if "processes" in given else None,
        cage="cage" in given,
        calls="calls" in given,
        files="files" in given,
        offline="offline" in given,
        port=int(given["port"]) if "port" in given else None,
        ways=int(given["ways"]) if "ways" in given else None,
        reads=[os.fsencode(word[7:]) for word in mine if word.startswith("--read=")],
        writes=[os.fsencode(word[8:]) for word in mine if word.startswith("--write=")],
        grace=float(given["grace"]),
        engine=sys.argv[len(mine) + 2 :],
    )


def _start(options: SimpleNamespace) -> tuple[int, int]:
    """Fork and exec the engine; return (0, pid), or (errno, 0) where it could not be executed."""
    failure, report = os.pipe2(os.O_CLOEXEC)
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _exec_engine(options, supervisor)
        except OSError as error:
            os.write(report, str(error.errno or 1).encode())
        finally:
            os._exit(127)
    os.close(report)
    number = os.read(failure, 16)
    os.close(failure)
    if number:
        os.waitpid(child, 0)
        return int(number), 0
    return 0, child


def _exec_engine(options: SimpleNamespace, supervisor: int) -> None:
    """Turn this forked child into the engine: own session, limits, first choice of the out-of-memory killer."""
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write(OOM_SCORE)
    set_no_new_privs()
    if options.cage and (failed := policy.unshare_namespaces()):
        raise OSError(failed, os.strerror(failed))
    if options.ways is not None:
        if failed := policy.start_loopback():
            raise OSError(failed, os.strerror(failed))
        policy.send_sockets(options.ways, WAYS_IN)
    environment = _environment()  # before /proc is closed
    files = {"reads": options.reads, "writes": options.writes, "offline": options.offline, "port": options.port}
    if options.files and (failed := policy.restrict_paths(**files)):
        raise OSError(failed, os.strerror(failed))
    limits = [
        (resource.RLIMIT_NPROC, options.processes),  # counted in the namespace alone
        (resource.RLIMIT_DATA, options.data),
        (resource.RLIMIT_FSIZE, options.file),
        (resource.RLIMIT_NOFILE, options.descriptors),
        (resource.RLIMIT_CORE, 0),
    ]
    for limit, value in limits:
        if value is not None:
            hard = resource.getrlimit(limit)[1]
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(limit, (bound, bound))
    die_with_parent(supervisor)
    calls = {"allow_attributes": bool(options.writes), "serves": options.port is not None}
    if options.calls and (failed := policy.install_seccomp_filter(**calls)):
        raise OSError(failed, os.strerror(failed))
    os.execve(options.engine[0], options.engine, environment)  # noqa: S606  # nosec B606  # what we were started for


def _environment() -> dict[bytes, bytes]:
    """Return the environment as the owner gave it: Python itself adds LC_CTYPE to ``os.environ`` (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:  # noqa: PTH123
        lines = file.read().split(b"\0")
    return {name: value for name, equals, value in (line.partition(b"=") for line in lines) if equals}


def _reap(child: int) -> int | None:
    """Collect whatever has ended; return the wait status of ``child`` if it was among it."""
    found = None
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return found
        if pid == child:
            found = status


def _read(control: int) -> bytes:
    try:
        return os.read(control, 16)
    except OSError:
        return b""


def _report(control: int, message: str) -> None:
    with suppress(OSError):
        os.write(control, message.encode() + b"\n")

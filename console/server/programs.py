"""The programs of the console in real use: the web server and the worker, both from this installation."""

from __future__ import annotations

import contextlib
import socket
import stat
import sys
from pathlib import Path

from django.conf import settings

from console.jobs.worker import Worker
from console.server import web
from console.server.preload import load_views_and_templates
from console.server.process_manager import Program

BASE_FOLDER = Path(__file__).resolve().parents[2]
LISTEN_BACKLOG = 1024


class ListenError(Exception):
    """The console cannot listen where it should; the message says why, and what to do."""


def listen_at(where: str) -> socket.socket:
    """Return a socket that listens at ``host:port``, ``[address]:port`` or ``unix:/path``. Raises ListenError.

    It belongs to the process that supervises the web servers, so no connection is refused while one of them starts.
    """
    try:
        if where.startswith("unix:"):
            return _listen_at_file(Path(where.removeprefix("unix:")))
        host, separator, port = where.rpartition(":")
        if not separator or not port.isascii() or not port.isdecimal() or int(port) > 65535:
            raise ListenError(f"TALLYMAN_LISTEN is {where!r}. Write host:port or unix:/path.")
        host = host.strip("[]") or "0.0.0.0"  # noqa: S104  # nosec B104  # what ":8000" means everywhere
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, int(port)), family=family, backlog=LISTEN_BACKLOG)
    except OSError as error:
        raise ListenError(
            f"The console cannot listen at {where}: {error.strerror or error}. End what listens there, or set"
            " TALLYMAN_LISTEN to another host:port or unix:/path."
        ) from error


def _listen_at_file(path: Path) -> socket.socket:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise ListenError(f"{path} is there and is no socket. Set TALLYMAN_LISTEN to another path.")
        with socket.socket(socket.AF_UNIX) as other:
            try:
                other.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()  # of a console that was killed
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        path.chmod(0o666)  # who may connect is for the folder to say: the proxy is another user
        listener.listen(LISTEN_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def programs(*, listener: socket.socket, web_workers: int) -> list[Program]:
    """Return what to supervise: ``web_workers`` web servers at one socket that listens already, and the worker.

    Each loads Django by itself, for whoever has threads or connections of its own.
    """
    command = (sys.executable, "-m", "console.server.web", str(listener.fileno()))
    servers = [
        Program(_web_name(number), command, restart=True, descriptors=(listener.fileno(),))
        for number in range(1, web_workers + 1)
    ]
    # Its watchdog ends it when its clusters hang, so it is started again (rule J7).
    worker = Program("worker", (sys.executable, str(BASE_FOLDER / "manage.py"), "worker"), restart=True)
    return [*servers, worker]


def forked_programs(*, listener: socket.socket, web_workers: int) -> list[Program]:
    """Return the same, forked from this process, so that all share what is loaded here."""
    load_views_and_templates()

    def serve() -> None:
        web.serve(listener)

    def work() -> None:
        listener.close()
        sys.exit(Worker(settings.JOB_TIMES).run())

    servers = [Program(_web_name(number), run=serve, restart=True) for number in range(1, web_workers + 1)]
    return [*servers, Program("worker", run=work, restart=True)]


def _web_name(number: int) -> str:
    return f"web server {number}"

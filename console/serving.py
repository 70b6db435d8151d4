"""The programs of the console in real use: the web server and the worker, both from this installation."""

from __future__ import annotations

import sys
from pathlib import Path
from socket import socket

from console.supervision import Program

FOLDER = Path(__file__).resolve().parent.parent


def programs(*, listen: str | socket, web_workers: int) -> list[Program]:
    """Return what to supervise. ``listen`` is ``host:port``, ``unix:path``, or a socket that listens already."""
    return [web_server(listen=listen, workers=web_workers), worker()]


def web_server(*, listen: str | socket, workers: int) -> Program:
    """gunicorn with threads: pages wait for the database, not for the processor."""
    address, descriptors = (listen, ()) if isinstance(listen, str) else (f"fd://{listen.fileno()}", (listen.fileno(),))
    # gunicorn's workers touch a file to show that they live; on a disk that can block for seconds (gunicorn FAQ).
    memory = Path("/dev/shm")  # noqa: S108  # nosec B108  # a folder of the system, not a file in it
    return Program(
        "web server",
        (
            *(sys.executable, "-m", "gunicorn", "console.wsgi:application"),
            *("--bind", address, "--worker-class", "gthread", "--workers", str(workers), "--threads", "4"),
            *("--timeout", "60", "--graceful-timeout", "8", "--keep-alive", "5"),
            *("--max-requests", "5000", "--max-requests-jitter", "500"),
            *("--log-level", "warning", "--no-control-socket"),
            *(("--worker-tmp-dir", str(memory)) if memory.is_dir() else ()),
        ),
        descriptors=descriptors,
    )


def worker() -> Program:
    """All work outside of requests. Its watchdog ends it when its clusters hang, so it is started again (rule J7)."""
    return Program("worker", (sys.executable, str(FOLDER / "manage.py"), "worker"), restart=True)

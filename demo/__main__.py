"""``python -m demo``: the console with sample images, in a data folder of its own.

Settings are read when Django starts, so this sets the demo's own first and imports everything else afterwards.
"""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import django

from console.processes.control import die_with_parent
from console.processes.file_lock import try_lock
from console.server.process_manager import (
    ProgramEndedError,
    StopRequested,
    on_stop_signals,
    raise_stop_requested,
)
from demo.images import sample_registry
from demo.registry_server import RegistryServer

PAGE_PORT, REGISTRY_PORT = 8000, 5055  # where they are free
REGISTRY_USER = "tallyman"
KEPT_SETTINGS = {  # of the settings around it the demo takes over these, and not where the real console keeps its data
    "TALLYMAN_LOG_LEVEL",
    "TALLYMAN_PROXY",
    "TALLYMAN_SCAN_WORKERS",
    "TALLYMAN_TIME_ZONE",
    "TALLYMAN_TRIVY",
    "TALLYMAN_TRIVY_DATABASE",
    "TALLYMAN_TRIVY_DATABASE_PLAIN_HTTP",
}


class DemoError(Exception):
    """The demo cannot start; the message says why and what to do."""


def main() -> int:
    options = _options()
    if options.end_with_parent:
        die_with_parent(os.getppid(), signal.SIGTERM)
    folder: Path = options.data.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with on_stop_signals(raise_stop_requested):
        try:
            password = secrets.token_urlsafe(18)
            with _lock_folder(folder), _listen(options.port) as page:
                server = _sample_registry({REGISTRY_USER: password})
                wanted = environment(os.environ, folder=folder, port=page.getsockname()[1], registry=server.host)
                os.environ.clear()
                os.environ.update(wanted)
                django.setup()
                from demo.run import run  # needs the settings

                run(
                    say=print_line,
                    folder=folder,
                    page=page,
                    server=server,
                    credentials=(REGISTRY_USER, password),
                    database_choice=options.database,
                )
        except StopRequested:
            print_line("Stopped.")
        except DemoError as error:
            print_line(str(error), to=sys.stderr)
            return 1
        except ProgramEndedError as error:
            print_line(f"{error} Its messages are in {folder / 'demo.log'}.", to=sys.stderr)
            return 1
    return 0


def print_line(line: str, *, to: TextIO = sys.stdout) -> None:
    with suppress(OSError):  # the terminal may be gone, and the end goes on
        to.write(f"{line}\n")
        to.flush()


def environment(around: Mapping[str, str], *, folder: Path, port: int, registry: str) -> dict[str, str]:
    """Return ``around`` without its settings of the console, and with those of the demo: a registry on loopback."""
    foreign = ("TALLYMAN_", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in around.items() if name in KEPT_SETTINGS or not name.startswith(foreign)}
    return kept | {
        "TALLYMAN_DATA": str(folder),
        "TALLYMAN_STATIC": str(folder / "static"),
        "TALLYMAN_URL": f"http://127.0.0.1:{port}",
        "TALLYMAN_ALLOWED_NETWORKS": "127.0.0.1/32",
        "TALLYMAN_PLAIN_HTTP_HOSTS": registry,
        "TALLYMAN_TRIVY_DATABASE_AT": "off",
        "DJANGO_SETTINGS_MODULE": "console.settings",
    }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description="Shows the console with sample images.")
    parser.add_argument(
        "--port", type=int, help=f"port of the page; by default {PAGE_PORT}, or a free one where that is taken"
    )
    parser.add_argument("--data", type=Path, default=Path("data/demo"), help="folder of the demo (data/demo)")
    parser.add_argument(
        "--database",
        choices=("auto", "small"),
        default="auto",
        help="small: do not try to download the public vulnerability database",
    )
    parser.add_argument("--end-with-parent", action="store_true", help="stop when the program that started it ends")
    return parser.parse_args()


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of the data folder. Raises DemoError where another demo has it."""
    path = folder / "lock"
    lock = try_lock(path)
    if lock is None:
        holder = path.read_text().strip()
        raise DemoError(f"A demo runs already in {folder} (process {holder}). Stop it with Ctrl-C first.")
    with lock:
        path.write_text(f"{os.getpid()}\n")
        yield


def _listen(wanted: int | None) -> socket.socket:
    """Return a socket for the page: on the port ``wanted``, else on the usual one, else on any that is free.

    Raises DemoError where ``wanted`` cannot be had.
    """
    try:
        return socket.create_server(("127.0.0.1", wanted or PAGE_PORT), backlog=128)
    except OSError as error:
        if wanted:
            raise DemoError(f"Port {wanted} cannot be used: {error.strerror}. Choose another one.") from error
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def _sample_registry(users: Mapping[str, str]) -> RegistryServer:
    """Return the sample registry on its usual port, which keeps the addresses of images, or else on a free one."""
    try:
        return sample_registry(port=REGISTRY_PORT, users=users)
    except OSError:
        return sample_registry(port=0, users=users)


if __name__ == "__main__":
    sys.exit(main())

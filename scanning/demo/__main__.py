"""``python -m scanning.demo``: the console with sample images, in a data folder of its own.

Settings are read when Django starts, so this sets the demo's own first and imports everything else afterwards.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import django

from console.supervision import ProgramEndedError, Stopped, die_with_parent, on_stop_signals, stop

PORT, REGISTRY_PORT = 8000, 5055  # where they are free
KEPT = {  # of the settings around it the demo takes over these; above all not where the real console keeps its data
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
        die_with_parent()
    folder: Path = options.data.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with on_stop_signals(stop):
        try:
            with _alone_in(folder):
                port = _free_port(options.port or PORT, required=options.port is not None)
                registry_port = _free_port(REGISTRY_PORT)
                _set_environment(environment(os.environ, folder=folder, port=port, registry_port=registry_port))
                django.setup()
                from scanning.demo.run import run  # needs the settings

                run(
                    say=say,
                    folder=folder,
                    listen=f"127.0.0.1:{port}",
                    registry_port=registry_port,
                    database_choice=options.database,
                )
        except Stopped:
            say("Stopped.")
        except (DemoError, ProgramEndedError) as error:
            say(str(error), to=sys.stderr)
            return 1
    return 0


def say(line: str, *, to: TextIO = sys.stdout) -> None:
    with suppress(OSError):  # the terminal may be gone, and the end goes on
        to.write(f"{line}\n")
        to.flush()


def environment(around: Mapping[str, str], *, folder: Path, port: int, registry_port: int) -> dict[str, str]:
    """Return ``around`` without its settings of the console, and with those of the demo: a registry on loopback."""
    foreign = ("TALLYMAN_", "DATABASE_URL", "REDIS_URL")
    kept = {name: value for name, value in around.items() if name in KEPT or not name.startswith(foreign)}
    return kept | {
        "TALLYMAN_DATA": str(folder),
        "TALLYMAN_STATIC": str(folder / "static"),
        "TALLYMAN_URL": f"http://127.0.0.1:{port}",
        "TALLYMAN_ALLOWED_NETWORKS": "127.0.0.1/32",
        "TALLYMAN_PLAIN_HTTP_HOSTS": f"127.0.0.1:{registry_port}",
        "DJANGO_SETTINGS_MODULE": "console.settings",
    }


def _set_environment(wanted: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(wanted)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scanning.demo", description="Shows the console with sample images."
    )
    parser.add_argument(
        "--port", type=int, help=f"port of the page; by default {PORT}, or a free one where that is taken"
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
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold the lock of the data folder. Raises DemoError where another demo has it."""
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise DemoError(
                f"A demo runs already in {folder} (process {lock.read().strip()}). Stop it with Ctrl-C first."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _free_port(wanted: int, *, required: bool = False) -> int:
    """Return ``wanted`` where it is free, else any free port. Raises DemoError where it is ``required`` and taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if required:
                    raise DemoError(f"Port {port} cannot be used: {error.strerror}. Choose another one.") from error
                continue
            return int(probe.getsockname()[1])
    raise DemoError("This machine has no free port on 127.0.0.1.")


if __name__ == "__main__":
    sys.exit(main())

"""Which machine this is: a random id in the data folder, which a copy of the folder does not share."""

from __future__ import annotations

import functools
import json
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import connection

MACHINE_ID_FILE = Path("/etc/machine-id")  # machine-id(5); clones of a virtual machine differ in it


def has_shared_database() -> bool:
    """Whether other machines may use the same database. SQLite means one machine, which then shares nothing."""
    return connection.vendor != "sqlite"


def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()[:120]


def machine_id() -> str:
    """Return the id of this machine: 32 hex digits. The first call on a data folder makes it."""
    return _read_or_make(Path(settings.DATA_DIR) / "machine.json")


@functools.cache
def _read_or_make(path: Path) -> str:
    for _try in range(3):
        if found := _read(path):
            return found
        partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        with partial.open("x") as file:
            inode = os.fstat(file.fileno()).st_ino
            file.write(json.dumps({"id": secrets.token_hex(16), "made_as": _origin(inode)}))
        try:
            if path.exists():
                partial.replace(path)  # of the folder that this one was copied from
            else:
                os.link(partial, path)  # whoever is faster decides
        except FileExistsError:
            pass
        finally:
            partial.unlink(missing_ok=True)
    raise RuntimeError(f"{path} cannot be read again after it was written.")


def _read(path: Path) -> str:
    """Return the id in the file; "" where there is none, or where the file was copied from another data folder."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        with path.open() as file:
            found = json.load(file)
            inode = os.fstat(file.fileno()).st_ino
        if found["made_as"] == _origin(inode):
            return str(found["id"])
    return ""


def _origin(inode: int) -> str:
    """Return what a copy of the file does not have."""
    with suppress(OSError):
        return f"{inode} {MACHINE_ID_FILE.read_text().strip()}"
    return str(inode)

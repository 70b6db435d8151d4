"""Turns to write: SQLite lets one write at a time and has the others look again after a while, at random.

Who waits in a line instead goes on the moment that the one before is done. PostgreSQL needs none of this.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from console.processes.file_lock import lock


@contextmanager
def write_lock() -> Iterator[None]:
    """Hold the turn of this machine's writers, for one short transaction that begins and ends within.

    Within a transaction there is nothing to wait for: it may have the right to write already.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with lock(Path(settings.DATA_DIR) / "turn"):
        yield

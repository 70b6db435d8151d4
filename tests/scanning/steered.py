"""A rematch in a real worker that is killed where a test wants it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from pathlib import Path

from django.conf import settings

from scanning import tasks
from scanning.rematch import run as rematching

PARTS_BEFORE_KILL = 2  # that are matched and written before the kill


def rematch(rematch_id: int) -> None:
    """Match two packages at a time; with a file ``kill`` in the data folder the first worker dies while it writes."""
    real, mark = rematching.findings_store.mark_matched, Path(settings.DATA_DIR, "kill")
    parts = 0

    def mark_matched(packages: Iterable[int], *, matched_with: str) -> None:
        nonlocal parts
        parts += 1
        if parts > PARTS_BEFORE_KILL and mark.exists():
            mark.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        real(packages, matched_with=matched_with)

    chunk, rematching.CHUNK_PACKAGES = rematching.CHUNK_PACKAGES, 2
    rematching.findings_store.mark_matched = mark_matched
    try:
        tasks.rematch(rematch_id)
    finally:
        rematching.CHUNK_PACKAGES, rematching.findings_store.mark_matched = chunk, real

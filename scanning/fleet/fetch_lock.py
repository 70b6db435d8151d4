"""One process of a machine at a time fetches what the machine lacks; its failure holds for all of them for a while."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from console.i18n.explained import Message, stored
from console.jobs.errors import JobFailure
from console.processes.file_lock import LockTimeout, lock
from scanning.fleet import messages

LOCK_WAIT_SECONDS = 120.0  # for another process of this machine
RETRY_DELAY_SECONDS = 60.0  # after a failure, unless something else is wanted by then
MAX_FAILURE_BYTES = 65536


class NotReadyError(JobFailure):
    """This machine takes no scans now."""


def copying_error() -> NotReadyError:
    """Return why a machine takes no scans while it fetches something."""
    return NotReadyError(messages.BEING_COPIED(), messages.WAIT_A_MOMENT(), retry=True)


class FetchFailure:
    """What the last try to fetch has ended with, for all processes of this machine: in the file that they lock."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def raise_if_recent(self, missing: str) -> None:
        """Raise the last failure where it is recent, and nothing else is wanted by now."""
        with suppress(ValueError, KeyError, TypeError):
            failure = json.loads(self._path.read_bytes())
            recent = 0 <= time.time() - failure["at"] < RETRY_DELAY_SECONDS
            if recent and failure["lacks"] == missing:
                raise NotReadyError(Message.from_stored(failure["reason"]), Message.from_stored(failure["remedy"]))

    def note(self, missing: str, error: JobFailure) -> None:
        """Have the others know of this failure to fetch what is lacking."""
        failure = {
            "lacks": missing,
            "at": time.time(),
            "reason": stored(error.reason),
            "remedy": stored(error.remedy),
        }
        self._path.write_bytes(json.dumps(failure).encode()[:MAX_FAILURE_BYTES])


@contextmanager
def hold_fetch_lock(check: Callable[[], None]) -> Iterator[FetchFailure]:
    """Be the one process of this machine that fetches, and wait for another one.

    Raises NotReadyError, and whatever ``check`` raises.
    """
    path = Path(settings.DATA_DIR) / "run" / "fetch.lock"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        held = lock(path, check=check, timeout=LOCK_WAIT_SECONDS)
    except LockTimeout:
        raise copying_error() from None
    with held:
        yield FetchFailure(path)

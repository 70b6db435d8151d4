"""What this machine has run out of: space on a disk, or open files. Both end many kinds of work in many places."""

from __future__ import annotations

import errno
from enum import Enum

from console.i18n.message_codes import Message, MessageText

DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT})
FILE_ERRORS = frozenset({errno.EMFILE, errno.ENFILE})
SQLITE_DISK_MESSAGES = ("database or disk is full", "disk i/o error")  # https://sqlite.org/rescode.html: FULL, IOERR
POSTGRESQL_DISK_FULL = "53100"  # SQLSTATE disk_full


class Exhausted(Enum):
    """What there is no more of, with a reason and a remedy for a person."""

    DISK = "disk"
    FILES = "files"

    @property
    def reason(self) -> Message:
        """Why the work could not be done."""
        return _REASONS[self]

    @property
    def remedy(self) -> Message:
        """What whoever runs the console can do."""
        return _REMEDIES[self]


NO_SPACE = MessageText("exhausted.no-space", "There is no space left on a disk of the console.")
FREE_SPACE = MessageText(
    "exhausted.free-space",
    "Free space on the disks of the data folder and the database, or move them to a larger disk.",
)
NO_FILES = MessageText("exhausted.no-files", "The console has too many open files and connections.")
RAISE_OPEN_FILES = MessageText(
    "exhausted.raise-open-files",
    "Raise the limit of open files of the service (LimitNOFILE in systemd, ulimit -n), and restart it.",
)
_REASONS = {Exhausted.DISK: NO_SPACE(), Exhausted.FILES: NO_FILES()}
_REMEDIES = {Exhausted.DISK: FREE_SPACE(), Exhausted.FILES: RAISE_OPEN_FILES()}


def exhausted_by(error: BaseException | None) -> Exhausted | None:
    """Return what ``error``, or what has led to it, says there is no more of; None where it says nothing like that."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            return Exhausted.DISK
        if isinstance(error, OSError) and error.errno in FILE_ERRORS:
            return Exhausted.FILES
        if getattr(error, "sqlstate", None) == POSTGRESQL_DISK_FULL:
            return Exhausted.DISK
        if type(error).__module__ == "sqlite3" and str(error).lower().startswith(SQLITE_DISK_MESSAGES):
            return Exhausted.DISK
        error = error.__cause__ or error.__context__
    return None

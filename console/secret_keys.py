"""Keys that the console makes for itself at first start and keeps in the data folder.

Each key is a file below ``<data>/keys``, a folder only the owner may enter; the files are readable by the owner only.
Nothing has a default key: a lost file means a new key, so the folder belongs into every backup.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path


class KeyFileError(RuntimeError):
    """A key file cannot be used; the message says why and what to do."""


def read_or_make(path: Path, *, make: str | None = None) -> str:
    """Return the text of the key file at ``path``, making it first where there is none.

    ``make`` is the text to write into a new file; without it 64 random bytes in URL-safe base64 are used.
    Two processes that start together agree: the one that comes second reads what the first has written.
    Raises KeyFileError where other users of the machine may read the file, or where it is empty.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not path.exists():
        _write_once(path, make or secrets.token_urlsafe(64))
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeyFileError(f"{path} may be read by other users of this machine. Run: chmod 600 {path}")
    text = path.read_text(encoding="ascii").strip()
    if not text:
        raise KeyFileError(f"{path} is empty. Restore it from a backup, or delete it to have a new key made.")
    return text


def _write_once(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` whole or not at all; leave a file that is already there alone."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(partial, path)
        except FileExistsError:
            return
    finally:
        partial.unlink(missing_ok=True)

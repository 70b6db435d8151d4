"""Credentials at rest: encrypted with keys from the data folder, newest first, so that keys can be rotated.

Nothing decrypts by itself: a row, a form, the admin and an export only ever meet the encrypted token.
"""

from __future__ import annotations

from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from console import keys


class SecretUnreadableError(RuntimeError):
    """A stored secret was encrypted with a key that is no longer in the key file."""

    reason = "The stored password cannot be read with the keys in the data folder."
    remedy = "Restore keys/credential_keys from the backup, or edit the registry and type the password again."


@lru_cache(maxsize=1)
def cipher() -> MultiFernet:
    """Return the cipher over all keys of ``<data>/keys/credential_keys`` (one a line, newest first)."""
    text = keys.read_or_make(settings.DATA_DIR / "keys" / "credential_keys", make=Fernet.generate_key().decode())
    return MultiFernet([Fernet(line.strip()) for line in text.splitlines() if line.strip()])


def encrypt(text: str) -> str:
    """Return ``text`` encrypted with the newest key."""
    return cipher().encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """Return the text behind ``token``. Raises SecretUnreadableError where no key fits."""
    try:
        return cipher().decrypt(token.encode()).decode()
    except InvalidToken as error:
        raise SecretUnreadableError(SecretUnreadableError.reason) from error

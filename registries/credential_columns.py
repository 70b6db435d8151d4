"""All stored credentials: which columns hold them, and whether a key reads them."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.fernet import InvalidToken, MultiFernet
from django.db import models

from registries.models import CloudAccount, Registry

# every column that holds an encrypted credential
CREDENTIAL_COLUMNS: tuple[tuple[type[models.Model], str], ...] = (
    (Registry, "password_token"),
    (Registry, "pull_password_token"),
    (CloudAccount, "secret_key_token"),
    (CloudAccount, "pull_password_token"),
)


def stored_tokens() -> Iterator[tuple[type[models.Model], str, models.Model, str]]:
    """Yield (model, column, row, token) for every stored credential."""
    for model, column in CREDENTIAL_COLUMNS:
        for row in model._default_manager.exclude(**{column: ""}).iterator():
            yield model, column, row, getattr(row, column)


def can_decrypt(cipher: MultiFernet, token: str) -> bool:
    """Whether ``cipher`` decrypts ``token``."""
    try:
        cipher.decrypt(token.encode())
    except InvalidToken:
        return False
    return True

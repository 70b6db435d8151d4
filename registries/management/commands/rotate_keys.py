"""manage.py rotate_keys: encrypt all stored credentials with a new key and throw the old keys away."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.core.management.base import BaseCommand, CommandError
from django.db import models

from registries import credential_encryption
from registries.credential_columns import can_decrypt, stored_tokens
from registries.models import CloudAccount, Registry


class Command(BaseCommand):
    help = "Encrypt all stored credentials with a new key; the old keys are removed. Safe while the console runs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--keep-old", action="store_true", help="leave the old keys in the file, after the new one")

    def handle(self, *args: Any, keep_old: bool, **options: Any) -> None:
        old, new = credential_encryption.read_keys(), Fernet.generate_key().decode()
        # Both are in the file before the first row changes, so that every process reads every row at any moment.
        credential_encryption.write_keys([new, *old])
        changed, lost = 0, []
        for model, column, row, token in stored_tokens():
            try:
                fresh = credential_encryption.cipher().rotate(token.encode()).decode()
            except InvalidToken:
                lost.append(str(row))
                continue
            values = {column: fresh} | refusal_values(row, column, fresh)
            # An edit in this moment wins: it was made with the new key already.
            changed += model._default_manager.filter(pk=row.pk, **{column: token}).update(**values)
        if lost:
            raise CommandError(
                f"{changed} credentials are encrypted with the new key. These could not be read with any key: "
                f"{', '.join(lost)}. All keys stay in {credential_encryption.key_file()}: restore the missing one "
                "from a backup below the others, or type these passwords again, then run this command once more."
            )
        self.stdout.write(f"{changed} credentials are encrypted with a new key.")
        if keep_old:
            return
        newest = credential_encryption.cipher_of((new,))
        if stale := [str(row) for _, _, row, token in stored_tokens() if not can_decrypt(newest, token)]:
            raise CommandError(
                f"Changed while the keys were rotated: {', '.join(stale)}. The old keys stay; run this command again."
            )
        credential_encryption.write_keys([new])
        self.stdout.write(
            f"The old keys are removed. Back up {credential_encryption.key_file()} now: "
            "database backups made before need the key file that was backed up with them."
        )


def refusal_values(row: models.Model, column: str, fresh: str) -> dict[str, str]:
    """Return what says of ``row`` that its credentials were refused, once ``column`` is ``fresh``; nothing if not."""
    if not isinstance(row, Registry | CloudAccount) or not row.credentials_refused:
        return {}
    setattr(row, column, fresh)
    return {"refused_login" if isinstance(row, Registry) else "login": row.current_login}

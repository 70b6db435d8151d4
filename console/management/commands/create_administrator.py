"""Make an administrator with a generated password, which is shown once and kept nowhere in plain text."""

from __future__ import annotations

import secrets
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.accounts.models import User
from console.audit import trail


class Command(BaseCommand):
    help = "Make an administrator and print the generated password once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--new-password", action="store_true", help="give an administrator that exists a new one")

    def handle(self, *args: Any, name: str, new_password: bool, **options: Any) -> None:
        user = User.objects.filter(username=name).first()
        if user and not new_password:
            raise CommandError(f"{name} exists. Add --new-password to give this account a new password.")
        if user and not user.may_administer:
            raise CommandError(
                f"{name} is not an administrator. Choose another name, or change the role in Django admin."
            )
        user = user or User(username=name, role=User.Role.ADMINISTRATOR, is_staff=True, is_superuser=True)
        password = secrets.token_urlsafe(18)
        user.set_password(password)
        try:
            user.full_clean()
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        user.save()
        trail.record(None, "user.password" if new_password else "user.add", user)
        self.stdout.write(f"User: {name}\nPassword: {password}")

"""Switch off the second factor of somebody who has lost app and paper."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from console.accounts import mfa
from console.accounts.models import User
from console.audit import trail


class Command(BaseCommand):
    help = "Switch off the second factor of an account and end its sessions. Make sure who asks for it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no account {name}.")
        if not mfa.is_enabled(user):
            raise CommandError(f"{name} has no second factor.")
        mfa.disable(user)
        user.end_sessions()
        trail.record(None, "user.second-factor-off", user, {"by": "command"})
        self.stdout.write(f"The second factor of {name} is off. It can be switched on again in Your account.")

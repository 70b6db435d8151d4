"""``manage.py migrate``: Django's own, which also says if the database is not what its migrations say it is.

It says so before it changes anything, and once more afterwards."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import DEFAULT_DB_ALIAS

from console.db import schema


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        whole = not options.get("app_label") and not options.get("plan") and not options.get("check_unapplied")
        checked = whole and options.get("database") == DEFAULT_DB_ALIAS
        if checked and (problem := schema.find_migration_problem()):
            raise CommandError(problem)
        super().handle(*args, **options)
        if checked and (problem := schema.find_problem()):
            raise CommandError(problem)

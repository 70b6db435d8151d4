"""Make this machine the primary one, whose settings and rules are those of all."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.jobs.errors import JobFailure
from console.machines import versions
from console.machines.identity import has_shared_database, host
from scanning.fleet import versions as fleet_versions
from scanning.rules import team as rules_team


class Command(BaseCommand):
    help = "Have keys, settings and YARA rules of this machine be those that all machines must have."

    def handle(self, *args: Any, **options: Any) -> None:
        if not has_shared_database():
            raise CommandError("On SQLite there is one machine. Several machines need PostgreSQL (DATABASE_URL).")
        try:
            fleet_versions.make_primary()
        except JobFailure as error:
            raise CommandError(f"{error.reason} {error.remedy}") from error
        self.stdout.write(f"{host()} is the primary machine: all machines must have its keys and settings.")
        rules = versions.current().get(rules_team.RULES_VERSION_NAME)
        if rules is None:
            self.stdout.write(f"There are no rules of the team: none in {rules_team.source_folder()}.")
        elif rules_team.source_folder().is_dir():
            self.stdout.write(f"Rules of the team: {rules.version} files, from {rules.host}.")
        else:
            self.stdout.write(
                f"The rules of {rules.host} stay in use: there is no folder {rules_team.source_folder()}."
            )

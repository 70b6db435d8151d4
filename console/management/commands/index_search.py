"""``manage.py index_search``: make the indexes for searches that a migration could not make."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.db import trigram_indexes


class Command(BaseCommand):
    help = (
        "Makes the indexes that searches in images, scans and the audit trail use on PostgreSQL. Migrations do so by "
        "themselves where the extension pg_trgm can be added; where it could not, add it and run this."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if why := trigram_indexes.create_indexes(trigram_indexes.all_indexes()):
            raise CommandError(f"{why} Searches work without the indexes, but read all rows.")
        self.stdout.write("The search indexes exist.")

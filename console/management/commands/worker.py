"""``manage.py worker``."""

from __future__ import annotations

import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from console.jobs.worker import Worker
from console.jobs.worker_checks import find_problem


class Command(BaseCommand):
    """Run the background work of this machine."""

    help = (
        "Runs syncs and scans until it gets SIGTERM or SIGINT; then every job returns itself to the queue, within"
        " 30 seconds. Ends with code 1 where its workers cannot be kept alive, or where the database is of another"
        " version or the keys are others than those of the primary machine: have it started again then."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        if problem := find_problem():
            raise CommandError(problem)
        sys.exit(Worker(settings.JOB_TIMES).run())

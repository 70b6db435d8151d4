"""``manage.py cluster``: a part of ``manage.py worker``."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from console.jobs.broker import run_cluster
from console.processes.control import die_with_parent


class Command(BaseCommand):
    """Run one cluster."""

    help = "Runs the cluster that Q_CLUSTER_NAME names. Started by 'manage.py worker', not by hand."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--parent", type=int, required=True, help="the process to die with")

    def handle(self, *_args: Any, **options: Any) -> None:
        die_with_parent(options["parent"])
        run_cluster()

"""``manage.py serve``: the console for real use, web server and worker together."""

from __future__ import annotations

import os
import time
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from console.accounts.models import User
from console.db import schema
from console.server.process_manager import (
    ProcessManager,
    ProgramEndedError,
    StopRequested,
    on_stop_signals,
    raise_stop_requested,
)
from console.server.programs import BASE_FOLDER, ListenError, forked_programs, listen_at

STOP_GRACE_SECONDS = 40  # seconds; a job gives itself back within 30, and a service manager waits 45


class Command(BaseCommand):
    help = "Runs the console: prepares database and static files, then serves pages and works jobs until it is stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--listen", default=settings.LISTEN, help="host:port, by default TALLYMAN_LISTEN")

    def handle(self, *, listen: str, **options: Any) -> None:
        with on_stop_signals(raise_stop_requested):
            try:
                self._serve(listen)
            except StopRequested:
                self.stdout.write("Stopped.")
            except ProgramEndedError as error:
                raise CommandError(str(error)) from error

    def _serve(self, listen: str) -> None:
        call_command("migrate", interactive=False, verbosity=0)
        if problem := schema.find_problem():
            raise CommandError(problem)
        call_command("collectstatic", interactive=False, verbosity=0)
        if not User.objects.exists():
            call_command("create_administrator", "admin", stdout=self.stdout)
        os.environ["TALLYMAN_SERVES"] = "true"  # for the worker, which tells the other machines
        try:
            listener = listen_at(listen)
        except ListenError as error:
            raise CommandError(str(error)) from error
        supervised = forked_programs(listener=listener, web_workers=settings.WEB_WORKERS)
        connections.close_all()  # no program may inherit one
        # Closed before the programs are stopped: who comes then is refused at once and does not wait for nothing.
        with (
            ProcessManager(
                supervised, folder=BASE_FOLDER, grace=STOP_GRACE_SECONDS, report=self.stdout.write
            ) as supervisor,
            listener,
        ):
            self.stdout.write(f"Address: {settings.URL}\nServing on {listen}. Ctrl-C stops it.")
            while True:
                supervisor.check()
                time.sleep(1)

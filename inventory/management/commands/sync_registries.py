"""manage.py sync_registries: ask for syncs, and with --now do them here."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from console.jobs.models import State
from console.jobs.runner import run_queued_jobs
from inventory.sync.sync_registry import sync_registry
from registries.models import Registry, SyncRun
from registries.sync_requests.start import start_sync


class Command(BaseCommand):
    help = "Sync all registries, or those named: by the workers, or here and now."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="instance names; none means all registries")
        parser.add_argument("--now", action="store_true", help="sync in this process and wait for the end")
        parser.add_argument(
            "--forget-unlisted",
            action="store_true",
            help="let go of repositories that are not listed any more even where the registry, asked for them, refuses",
        )

    def handle(self, *args: Any, names: list[str], now: bool, forget_unlisted: bool, **options: Any) -> None:
        started = start_sync(registries=self._registries(names), forget_unlisted=forget_unlisted)
        runs = started.runs
        already_active = (
            f" {len(started.already_active)} were queued or running already." if started.already_active else ""
        )
        self.stdout.write(f"{len(runs)} syncs are queued.{already_active}")
        failed = [run for run in runs if not self._succeeds(run)] if now else []
        if failed:
            raise CommandError("Not every sync succeeded.")

    def _succeeds(self, run: SyncRun) -> bool:
        """See ``run`` to its end, here or by the worker that was faster; say what it has brought."""
        while not run.is_final:
            run_queued_jobs(SyncRun, run.pk, sync_registry)
            run.refresh_from_db()
            if not run.is_final:
                time.sleep(0.5)
        self.stdout.write(
            f"{run.registry}: {run.get_state_display()}, {run.repositories} repositories, {run.tags} tags "
            f"({run.tags_new} new, {run.tags_changed} changed, {run.tags_gone} gone), "
            f"{run.not_images} that are no images, {run.errors} errors"
        )
        if run.reason:
            self.stdout.write(f"  {run.reason}\n  {run.remedy}")
        return run.state == State.SUCCEEDED

    def _registries(self, names: list[str]) -> list[Registry]:
        if not names:
            return list(Registry.objects.present())
        found = []
        for name in names:
            registry = Registry.objects.present().filter(name__iexact=name).first()
            if registry is None:
                raise CommandError(f"No registry has the name {name}.")
            found.append(registry)
        return found

"""manage.py check_registry NAME: test the connection to a registry, step by step."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registries.connection_test.diagnose import ConnectionStep, StepResult, diagnose
from registries.models import Registry


class Command(BaseCommand):
    help = "Test the connection to a registry, from its host name to the first byte of an image."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="instance name of the registry")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        registries = Registry.objects.present()
        registry = registries.filter(name__iexact=name).first()
        if registry is None:
            known = ", ".join(registries.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"No registry has this name. The registries are: {known}.")
        steps = diagnose(registry, report=self._show)
        if steps[-1].result is StepResult.FAILED:
            raise CommandError("The test failed.")

    def _show(self, step: ConnectionStep) -> None:
        seconds = "" if step.seconds is None else f"{step.seconds:.2f} s"
        self.stdout.write(f"{step.result.value:8} {seconds:>8}  {step.label}  {step.detail}".rstrip())
        if step.reason:
            self.stdout.write(f"  {step.reason}\n  {step.remedy}")

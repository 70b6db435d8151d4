"""manage.py check_registry NAME: test the connection to a registry, step by step."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from registries.doctor import Result, diagnose
from registries.models import Registry


class Command(BaseCommand):
    help = "Test the connection to a registry, from its host name to the first byte of an image."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="instance name of the registry")

    def handle(self, *args: Any, name: str, **options: Any) -> None:
        registry = Registry.objects.filter(name__iexact=name).first()
        if registry is None:
            known = ", ".join(Registry.objects.values_list("name", flat=True)) or "none yet"
            raise CommandError(f"No registry has this name. There are: {known}.")
        failed = False
        for step in diagnose(registry):
            self.stdout.write(f"{step.result.value:8} {step.seconds:6.2f} s  {step.label}  {step.detail}".rstrip())
            if step.result is Result.FAILED:
                failed = True
                self.stdout.write(f"  {step.reason}\n  {step.remedy}")
        if failed:
            raise CommandError("The test has failed.")

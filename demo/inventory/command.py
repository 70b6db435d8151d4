"""``python -m demo.inventory``: an inventory to try the console with, of any size."""

from __future__ import annotations

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from demo.inventory.make import make
from registries.models import Registry


class Command(BaseCommand):
    help = (
        "Fills a database with a made-up inventory shaped like real ones: registries, repositories, tags, images, "
        "packages, vulnerabilities and other findings. The same seed gives the same inventory on the same day."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tags", type=int, default=10_000, help="how many tags (10,000)")
        parser.add_argument("--images", type=int, default=0, help="how many distinct images (a quarter of the tags)")
        parser.add_argument("--seed", type=int, default=1, help="of the random choices (1)")
        parser.add_argument("--add", action="store_true", help="add to a database that has registries already")

    def handle(self, *args: Any, **options: Any) -> None:
        tags, images = options["tags"], options["images"] or -(-options["tags"] // 4)
        if tags < 0 or images < 0 or images > tags:
            raise CommandError("There must be at least as many tags as images, and neither less than 0.")
        if not options["add"] and Registry.objects.exists():
            raise CommandError(
                "This database has registries. What is made up would stand among what is real. "
                "Use an empty database, or --add where you mean it."
            )
        began = time.monotonic()
        now = timezone.now().replace(minute=0, second=0, microsecond=0)
        say = self.stdout.write if options["verbosity"] > 1 else lambda text: None
        made = make(tags=tags, images=images, seed=options["seed"], now=now, say=say)
        seconds = time.monotonic() - began
        self.stdout.write(
            f"{made.tags:,} tags of {made.images:,} images in {made.repositories:,} repositories, with "
            f"{made.packages_in_images:,} packages in them, in {seconds:.1f} s"
        )

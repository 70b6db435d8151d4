"""``python -m demo.inventory``: fill the console's database with a made-up inventory."""

from __future__ import annotations

import os
import sys

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
django.setup()

from console import visibility  # noqa: E402
from demo.inventory.command import Command  # noqa: E402  # needs the settings

with visibility.unrestricted():
    Command().run_from_argv(["python -m", "demo.inventory", *sys.argv[1:]])

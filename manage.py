#!/usr/bin/env python
"""Tallyman's command line: ``python manage.py help`` lists what there is."""

import os
import sys
from contextlib import nullcontext

# What starts the console or a part of it and looks at no rows itself: requests, jobs and ticks say what each may see.
PROGRAMS = {"serve", "worker", "runserver"}


def main() -> None:
    """Run the command of the command line; whoever may type one sees everything."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    from django.core.management import execute_from_command_line

    from console import visibility

    with nullcontext() if PROGRAMS.intersection(sys.argv[1:2]) else visibility.unrestricted():
        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()

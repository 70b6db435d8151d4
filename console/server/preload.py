"""What a web server does before its first request, so that none of them pays for it."""

from __future__ import annotations

import gc
from pathlib import Path

from django.conf import settings
from django.template.loader import get_template
from django.urls import get_resolver


def load_views_and_templates() -> None:
    """Load all views and templates, and have the garbage collector look at what is there by now no more.

    It would look through all of it now and again, in the middle of a request, for a quarter of a second.
    """
    get_resolver().url_patterns  # noqa: B018  # loads them
    folder = Path(settings.BASE_DIR) / "templates"
    for path in sorted(folder.rglob("*.html")):
        get_template(str(path.relative_to(folder)))
    gc.collect()
    gc.freeze()

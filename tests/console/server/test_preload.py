"""Before its first request a web server has loaded what requests need, and leaves it to no collector of garbage."""

from __future__ import annotations

import json
import subprocess
import sys

SERVE = """
import gc, json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
from console.wsgi import application
from django.template import engines
(partials,) = engines["django"].engine.template_loaders
(cache,) = partials.loaders
cached = len(cache.get_template_cache)
print(json.dumps([gc.get_freeze_count(), cached, len(gc.get_objects())]))
"""


def test_views_and_templates_are_loaded_and_frozen_when_the_server_is_ready() -> None:
    ended = subprocess.run([sys.executable, "-c", SERVE], capture_output=True, text=True, check=True, timeout=100)
    frozen, templates, left = json.loads(ended.stdout)
    assert frozen > 100_000
    assert templates > 150
    assert left < frozen / 10

"""Static files as the console serves them: names change with the content, in the imports of scripts too."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command

from console.settings import STORAGES

SCRIPTS = Path(__file__).resolve().parents[3] / "static" / "js"
IMPORTED = re.compile(r'\bimport\b[^";]*"([^"]+)"')


@pytest.fixture
def collected(settings: Any, tmp_path: Path) -> Path:
    """The folder of static files, with the storage that the console uses."""
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {**settings.STORAGES, "staticfiles": STORAGES["staticfiles"]}
    call_command("collectstatic", interactive=False, verbosity=0)
    return tmp_path


def imports(script: Path) -> Iterator[Path]:
    """Yield the scripts that this one imports."""
    for name in IMPORTED.findall(script.read_text()):
        yield script.parent / name


def test_imports_name_the_newest_version_of_each_script(collected: Path) -> None:
    found = 0
    for script in SCRIPTS.glob("*.js"):
        served = collected / staticfiles_storage.stored_name(f"js/{script.name}")
        for imported in imports(served):
            original = re.sub(r"\.[0-9a-f]{12}\.js$", ".js", imported.name)
            assert imported.name == Path(staticfiles_storage.stored_name(f"js/{original}")).name, served.name
            assert imported.is_file()
            found += 1
    assert found > 20


def test_no_script_waits_for_the_import_of_an_import() -> None:
    entry = set(imports(SCRIPTS / "console.js"))
    assert {found for script in entry for found in imports(script)} <= entry
    for page in ("lists.js", "image-picker.js"):
        named = set(imports(SCRIPTS / page))
        assert {found for script in named for found in imports(script)} <= named | entry

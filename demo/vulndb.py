"""Puts the small vulnerability database of the project in use where there is none."""

from __future__ import annotations

import tempfile
from pathlib import Path

from demo.vulndb_build import build_demo_vulndb
from scanning.engines.trivy.vulndb_folder import VulndbFacts
from scanning.vulndb import install


def install_demo_vulndb() -> VulndbFacts:
    """Return the facts of the database in use, which is the small one where there was none. Raises DatabaseError."""
    if facts := install.current_facts():
        return facts
    with tempfile.TemporaryDirectory(prefix="tallyman-demo-") as folder:
        return install.install(build_demo_vulndb(Path(folder) / "db"))

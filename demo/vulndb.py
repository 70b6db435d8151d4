"""Puts the small vulnerability database of the project in use where there is none."""

from __future__ import annotations

import tempfile
from pathlib import Path

from demo.database import build_demo_database
from scanning.engines.trivy.database import DatabaseFacts
from scanning.vulndb import install


def install_demo_database() -> DatabaseFacts:
    """Return the facts of the database in use, which is the small one where there was none. Raises DatabaseError."""
    if facts := install.current():
        return facts
    with tempfile.TemporaryDirectory(prefix="tallyman-demo-") as folder:
        return install.install(build_demo_database(Path(folder) / "db"))

"""Which migrations are released, by version, and the digest of each."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = Path(__file__).parent / "released_migrations.json"


def read_released() -> dict[str, dict[str, str]]:
    """Return version → path of each migration that came with it → its digest; the oldest version first."""
    found: dict[str, dict[str, str]] = json.loads(FILE.read_text())
    return found


def write_released(version: str) -> None:
    """Add all migrations that no other version has brought as those of ``version``."""
    released = {name: files for name, files in read_released().items() if name != version} if FILE.exists() else {}
    older = {path for files in released.values() for path in files}
    released[version] = {path: digest for path, digest in digests(ROOT).items() if path not in older}
    FILE.write_text(json.dumps(released, indent=2) + "\n")


def digests(root: Path) -> dict[str, str]:
    """Return the digest of each migration below ``root``, by its path from there."""
    files = sorted(root.glob("*/migrations/[0-9]*.py"))
    return {file.relative_to(root).as_posix(): digest(file.read_text()) for file in files}


def digest(source: str) -> str:
    """Return the SHA-256 of a migration, whatever its comments, blank lines and indentation are."""
    lines = [line.strip() for line in source.splitlines()]
    return sha256("\n".join(line for line in lines if line and not line.startswith("#")).encode()).hexdigest()

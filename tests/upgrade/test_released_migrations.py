"""Migrations are append-only: what is released stays as it is, and works with all later versions."""

from __future__ import annotations

import ast
from pathlib import Path

from django.db.migrations.loader import MigrationLoader

from console.db import trigram_indexes
from tests.upgrade import released
from tests.upgrade.released import ROOT

# What migrations may import of ours: it keeps its place and its meaning for good.
MAY_BE_IMPORTED = {"console.db.trigram_indexes.CreateTrigramIndexes"}
OURS = {"console", "registries", "inventory", "scanning", "demo", "tests"}


def changed_migrations(root: Path) -> dict[str, str]:
    """Return what is wrong with the released migrations below ``root``, by their paths."""
    there = released.digests(root)
    expected = {path: digest for files in released.read_released().values() for path, digest in files.items()}
    return {
        path: "is missing" if path not in there else "has changed"
        for path, digest in expected.items()
        if there.get(path) != digest
    }


def test_released_migrations_stay_as_they_are() -> None:
    assert not changed_migrations(ROOT), (
        "A released migration has run on databases of others, and runs there no more. Put it back as it was"
        " (git checkout), and add a new migration for what is to change (manage.py makemigrations)."
    )


def test_a_change_a_removal_and_a_comment_are_told_apart(tmp_path: Path) -> None:
    assert set(changed_migrations(tmp_path).values()) == {"is missing"}
    for path in released.digests(ROOT):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("# Of another day\n\n" + (ROOT / path).read_text().replace("    ", "\t"))
    assert changed_migrations(tmp_path) == {}
    changed = tmp_path / "inventory" / "migrations" / "0001_initial.py"
    changed.write_text(changed.read_text().replace("max_length=", "max_length=1", 1))
    (tmp_path / "scanning" / "migrations" / "0001_initial.py").unlink()
    (tmp_path / "scanning" / "migrations" / "0002_new.py").write_text("")
    assert changed_migrations(tmp_path) == {
        "inventory/migrations/0001_initial.py": "has changed",
        "scanning/migrations/0001_initial.py": "is missing",
    }


def test_migrations_import_nothing_of_ours_that_may_change() -> None:
    imported = set()
    for path in released.digests(ROOT):
        for node in ast.walk(ast.parse((ROOT / path).read_text())):
            if isinstance(node, ast.ImportFrom):
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    assert {name for name in imported if name.partition(".")[0] in OURS} == MAY_BE_IMPORTED


def test_migrations_make_the_search_indexes_that_this_version_wants() -> None:
    made: dict[str, str] = {}
    loader = MigrationLoader(None)
    for key in dict.fromkeys(key for leaf in loader.graph.leaf_nodes() for key in loader.graph.forwards_plan(leaf)):
        for operation in loader.graph.nodes[key].operations:
            if isinstance(operation, trigram_indexes.CreateTrigramIndexes):
                assert not set(operation.indexes) & set(made), "an index that is there is not made again: name it anew"
                made |= operation.indexes
    assert made == trigram_indexes.all_indexes(), "add a migration with CreateTrigramIndexes({name: definition})"

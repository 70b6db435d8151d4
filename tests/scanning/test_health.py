"""What the foot of the sidebar tells of the engines, and what every page warns of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.test import Client

from scanning import database, health, installed
from scanning.engines.yara import Yara
from tests.people import person


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the database in use."""
    cache.clear()
    monkeypatch.setattr(database, "folder", lambda: tmp_path)
    return tmp_path


def put(folder: Path, *, days: int = 0, demo: bool = False) -> None:
    built = datetime.now(UTC) - timedelta(days=days, minutes=1)
    metadata = {"Version": 2, "UpdatedAt": built.isoformat(), **({"Demo": True} if demo else {})}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "trivy.db").write_bytes(b"x")


def test_a_fresh_database_is_told_without_a_notice(folder: Path) -> None:
    put(folder)
    fact, rules = health.facts()
    assert (fact.level, fact.value, fact.notice) == ("ok", "today", None)
    assert rules.level == "ok"
    assert int(str(rules.value)) > 10


@pytest.mark.django_db
def test_the_demo_database_is_never_used_silently(folder: Path) -> None:
    put(folder, demo=True)
    client = Client()
    client.force_login(person())
    html = client.get("/registries/").content.decode()
    assert "Demo vulnerability database" in html
    assert "most vulnerabilities of your images are not found" in html


def test_no_database_and_an_old_one_say_what_to_do(folder: Path) -> None:
    fact, _rules = health.facts()
    assert fact.notice is not None
    assert "update_vulnerability_db" in str(fact.notice.text)
    put(folder, days=9)
    fact, _rules = health.facts()
    assert fact.notice is not None
    assert fact.notice.title == "The vulnerability database is 9 days old"


def test_a_folder_without_rules_is_a_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder)
    monkeypatch.setattr(installed, "yara", lambda: Yara(rules=folder / "nothing"))
    _database, rules = health.facts()
    assert rules.level == "fault"
    assert rules.notice is not None

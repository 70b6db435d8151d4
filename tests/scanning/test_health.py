"""What the foot of the sidebar tells of the engines, and what every page warns of."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.test import Client

from console.health import Fact
from scanning import database, health, installed
from scanning.engines.yara import Yara
from tests.people import person


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the database in use."""
    monkeypatch.setattr(database, "folder", lambda: tmp_path)
    return tmp_path


def put(folder: Path, *, days: int = 0, demo: bool = False) -> None:
    built = datetime.now(UTC) - timedelta(days=days, minutes=1)
    metadata = {"Version": 2, "UpdatedAt": built.isoformat(), **({"Demo": True} if demo else {})}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    (folder / "trivy.db").write_bytes(b"x")


def told() -> Fact:
    return next(iter(health.vulnerability_database()))


def test_a_fresh_database_is_told_without_a_notice(folder: Path) -> None:
    put(folder)
    assert (told().level, told().value, told().notice) == ("ok", "0 h", None)


@pytest.mark.django_db
def test_the_demo_database_is_never_used_silently(folder: Path) -> None:
    put(folder, demo=True)
    client = Client()
    client.force_login(person())
    html = client.get("/registries/").content.decode()
    assert "The demo vulnerability database is in use" in html
    assert "other images look safer than they are" in html


def test_no_database_and_an_old_one_say_what_to_do(folder: Path) -> None:
    notice = told().notice
    assert notice is not None
    assert "update_vulnerability_db" in str(notice.text)
    put(folder, days=9)
    notice = told().notice
    assert notice is not None
    assert notice.title == "The vulnerability database is 9 days old"


def test_rules_that_cannot_be_used_are_a_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(iter(health.malware_rules())).level == "ok"
    monkeypatch.setattr(installed, "yara", lambda: Yara(rules=folder / "nothing"))
    fact = next(iter(health.malware_rules()))
    assert fact.level == "fault"
    assert fact.notice is not None

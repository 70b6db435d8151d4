"""What the foot of the sidebar tells of the engines, and what every page warns of."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from console.server.health import Fact
from scanning import configured_engines, health
from scanning.engines.base import Readiness
from scanning.engines.yara.engine import Yara
from scanning.vulndb import install as vulndb_install
from tests.people import person
from tests.scanning.engines.clamav.test_engine import answering


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the database in use."""
    monkeypatch.setattr(vulndb_install, "folder", lambda: tmp_path)
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


@pytest.mark.django_db
def test_a_notice_leads_to_the_engines_from_every_page_but_theirs() -> None:
    client = Client()
    client.force_login(person())
    link = '<a class="btn small" href="/scans/engines/">'
    assert "There is no vulnerability database" in client.get("/registries/").text
    assert link in client.get("/registries/").text
    assert link not in client.get("/scans/engines/").text


def test_no_database_and_an_old_one_say_what_to_do(folder: Path) -> None:
    notice = told().notice
    assert notice is not None
    assert notice.url == "/scans/engines/"
    put(folder, days=9)
    notice = told().notice
    assert notice is not None
    assert notice.title == "The vulnerability database is 9 days old"


def test_rules_that_cannot_be_used_are_a_fault(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert next(iter(health.malware_rules())).level == "ok"
    monkeypatch.setattr(configured_engines, "yara", lambda: Yara(rules=folder / "nothing"))
    fact = next(iter(health.malware_rules()))
    assert fact.level == "fault"
    assert fact.notice is not None


@pytest.fixture
def clamav(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(health, "_clamd_status", health.EngineStatusCache())
    forget = configured_engines.clamav.cache_clear
    forget()
    yield settings
    forget()


def eventually_told() -> Fact:
    """What is told once it has been asked; pages do not wait for that."""
    (fact,) = health.antivirus()
    for _ in range(600):
        if fact.value != "does not respond":
            break
        time.sleep(0.1)
        (fact,) = health.antivirus()
    return fact


def test_an_antivirus_that_nobody_wants_is_not_told_of(clamav: Any) -> None:
    clamav.CLAMD = ""
    assert list(health.antivirus()) == []


def test_an_antivirus_that_is_not_ready_is_told_with_its_remedy(clamav: Any, folder: Path) -> None:
    clamav.CLAMD = str(folder / "nobody.ctl")
    fact = eventually_told()
    assert (fact.level, fact.value) == ("fault", "not ready")
    assert fact.notice is not None
    assert "nobody.ctl" in str(fact.notice.text)
    assert "TALLYMAN_CLAMD" in str(fact.notice.text)


def test_one_that_works_is_told_and_old_signatures_are_a_fault(clamav: Any) -> None:
    for address in answering(b"1: ClamAV 1.4.6\0"):
        clamav.CLAMD = address
        fact = eventually_told()
        assert (fact.level, fact.value, fact.notice) == ("ok", "ready", None)
        assert "clamav 1.4.6" in str(fact.detail)
    configured_engines.clamav.cache_clear()
    for address in answering(b"1: ClamAV 1.4.6/27500/Mon Nov  2 09:00:00 2020\0"):
        clamav.CLAMD = address
        fact = eventually_told()
        assert (fact.level, fact.value) == ("fault", "old")
        assert fact.notice is not None


def test_a_silent_antivirus_is_asked_once_and_holds_up_no_page(clamav: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CLAMD_WAIT_SECONDS", 0.01)
    asked, answers = list[int](), threading.Event()

    class Silent:
        def ready(self) -> Readiness:
            asked.append(1)
            answers.wait(60)
            return Readiness(ready=True, version="clamav 1")

    silent = Silent()
    monkeypatch.setattr(configured_engines, "clamav", lambda: silent)
    try:
        for _ in range(5):
            (fact,) = health.antivirus()
            assert (fact.level, fact.value) == ("fault", "does not respond")
    finally:
        answers.set()
    assert eventually_told().value == "ready"
    assert len(asked) == 1  # and what it has said holds for a while

"""The primary machine: the one that serves pages, of several the first, and never another by an absence."""

from __future__ import annotations

from pathlib import Path

import pytest

from console.machines import content, versions
from console.models import FleetVersion, SharedFile

pytestmark = pytest.mark.django_db


@pytest.fixture
def me(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """What stands in for several machines in one process."""
    return monkeypatch


def settle(monkeypatch: pytest.MonkeyPatch, name: str, *, serves: bool, take: bool = False) -> FleetVersion:
    monkeypatch.setattr(versions, "machine_id", lambda: name)
    monkeypatch.setattr(versions, "host", lambda: f"host of {name}")
    return versions.settle_primary({"of": name}, serves=serves, take=take)


def test_the_first_machine_is_primary_until_one_that_serves_pages_comes(me: pytest.MonkeyPatch) -> None:
    assert settle(me, "worker", serves=False).machine == "worker"
    assert settle(me, "other", serves=False).machine == "worker"
    assert settle(me, "web", serves=True).values == {"of": "web"}
    for name, serves in (("worker", False), ("web two", True), ("other", False)):
        assert settle(me, name, serves=serves).machine == "web"
    assert settle(me, "other", serves=False, take=True).values == {"of": "other"}
    for name, serves in (("other", False), ("web", True), ("worker", False)):
        assert settle(me, name, serves=serves).machine == "other", "what a person has chosen stays"
    assert FleetVersion.objects.count() == 1


def test_what_is_published_stays_and_what_it_replaces_goes_after_a_while(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        (tmp_path / "file").write_bytes(b"%d" % number)
        files.append(content.store(tmp_path / "file", limit=100))
        row = versions.publish("database", version=str(number), file=files[-1])
        assert (row.version, row.sha256) == (str(number), files[-1].sha256)
    kept = dict(SharedFile.objects.values_list("pk", "delete_after"))
    assert kept[files[2].pk] is None
    assert kept[files[0].pk] is not None
    assert kept[files[1].pk] is not None
    assert versions.current()["database"].file == files[2]

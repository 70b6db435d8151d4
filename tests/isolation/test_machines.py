"""Two machines, one PostgreSQL: what one has the other gets before it scans, and one that cannot have it says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.console.jobs.conftest import Server, eventually, postgres_server
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.isolation.machines import Machine
from tests.scanning.test_scan import DEBIAN

__all__ = ["postgres_server"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

MAKE_KEYS = """
from registries.secrets import read_keys
from scanning.installed import fingerprint_key
fingerprint_key(), read_keys()
"""
SYNC = """
from inventory import tasks
from registries.models import Registry
from registries.start_sync import start_sync
(run,) = start_sync(registries=[Registry.objects.create(name="fake", address="{url}")]).runs
tasks.sync(run.pk)
"""
LAUNCH = """
from inventory.models import Tag
from scanning.launch import launch
launch(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None)
"""
DEMO = """
from scanning import database
database.install_demo()
"""
SCANS = "SELECT state, worker, reason FROM scanning_scan ORDER BY id"

Make = Callable[..., Machine]


@pytest.fixture
def make(tmp_path: Path, postgres_server: Server) -> Iterator[Make]:
    """Make machines; the first one has migrated the database, and the others have its keys."""
    made: list[Machine] = []

    def machine(name: str, **variables: str) -> Machine:
        new = Machine(tmp_path / name, postgres_server.url, **variables)
        if made:
            new.copy_keys_of(made[0])
        else:
            new.manage("migrate", "--verbosity", "0")
            new.shell(MAKE_KEYS)
        made.append(new)
        return new

    yield machine
    for each in made:
        each.end()


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        for number in range(3):
            images.image(DEBIAN, {"number": b"%d" % number}).put(server, "team/app", str(number))
        yield server


def scanned(machine: Machine) -> list[tuple[str, str, str]]:
    """Return the scans once all have ended: state, worker, reason."""

    def ended() -> list[tuple[str, str, str]] | None:
        rows = machine.rows(SCANS)
        return None if not rows or {"queued", "running"} & {str(row[0]) for row in rows} else rows  # type: ignore[return-value]

    found: list[tuple[str, str, str]] = eventually(ended, what=f"the end of the scans {machine.rows(SCANS)}")
    return found


def test_a_second_machine_gets_the_database_and_rules_before_its_first_scan(make: Make, fake: FakeRegistry) -> None:
    first = make("first", TALLYMAN_SERVES="true")
    (first.folder / "rules").mkdir()
    (first.folder / "rules" / "team.yar").write_text('rule Team { strings: $a = "NAME" condition: $a }')
    first.shell(DEMO + SYNC.format(url=fake.url))
    first.start()
    eventually(first.rules, what="the rules in use on the first machine")
    first.stop()
    second = make("second")
    first.shell(LAUNCH)
    second.start()
    assert {(state, reason) for state, _worker, reason in scanned(first)} == {("succeeded", "")}
    assert second.database() == first.database() != ""
    assert second.rules() == {"team.yar"}
    assert second.rows("SELECT count(*) FROM scanning_packagevulnerability")[0][0] > 0
    assert second.rows("SELECT DISTINCT rule FROM scanning_malwarefinding") == [("Team",)]
    assert second.row() == (True, "", "")

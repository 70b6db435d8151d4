"""Two machines, one PostgreSQL: what one has the other gets before it scans, and one that cannot have it says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from console.i18n.message_codes import Message
from tests.console.jobs.conftest import RestartableServer, postgres_server, processes_of_folder, wait_for
from tests.fakes import images
from tests.fakes.registry import FakeRegistry
from tests.isolation.machines import Machine
from tests.scanning.execution.test_pipeline import DEBIAN

__all__ = ["postgres_server"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

BEGIN = """
from django.core.management import call_command
call_command("migrate", verbosity=0)
from inventory import tasks
from registries.models import Registry
from registries.credential_encryption import read_keys
from registries.sync_requests.start import start_sync
from demo.vulndb import install_demo_vulndb as install_demo_database
from scanning.configured_engines import fingerprint_key
fingerprint_key(), read_keys()
install_demo_database()
(run,) = start_sync(registries=[Registry.objects.create(name="fake", address="{url}")]).runs
tasks.sync(run.pk)
"""
LAUNCH = """
from inventory.models import Tag
from scanning.runs.start import scan_now
scan_now(tag_ids=Tag.objects.values_list("pk", flat=True), requested_by=None)
"""
NEWER = """
import json, shutil, tempfile
from pathlib import Path
from scanning.vulndb import install as database
with tempfile.TemporaryDirectory() as name:
    folder = Path(name) / "db"
    shutil.copytree(database.folder(), folder)
    told = json.loads((folder / "metadata.json").read_text())
    (folder / "metadata.json").write_text(json.dumps(told | {"UpdatedAt": "2026-11-20T04:00:00Z"}))
    database.install(folder)
"""
EXPORT = """
from console.exports.enqueue import request_export as ask
from tests.people import person
ask(user=person("administrator"), listing="images", view="", columns=["version", "size"], format="csv")
"""
DOWNLOAD = """
from django.test import Client
from django.urls import reverse
from console.models import Export, User
client = Client(SERVER_NAME="127.0.0.1")
client.force_login(User.objects.get(), backend="django.contrib.auth.backends.ModelBackend")
answer = client.get(reverse("console:export-file", args=[Export.objects.get().pk]))
print(answer.status_code)
print(answer.headers["Content-Type"])
print(b"".join(answer.streaming_content).decode("utf-8-sig"))
"""
SCANS = "SELECT state, worker, reason FROM scanning_scan ORDER BY id"

Make = Callable[..., Machine]


@pytest.fixture
def fake() -> Iterator[FakeRegistry]:
    with FakeRegistry() as server:
        for number in range(3):
            images.image(DEBIAN, {"number": b"%d" % number}).put(server, "team/app", str(number))
        yield server


@pytest.fixture
def make(tmp_path: Path, postgres_server: RestartableServer, fake: FakeRegistry) -> Iterator[Make]:
    """Make machines, of which no worker runs yet.

    The first one serves pages, has the vulnerability database and has read the registry. The others have its keys.
    """
    made: list[Machine] = []

    def machine(name: str, **variables: str) -> Machine:
        new = Machine(tmp_path / name, postgres_server.url, **variables)
        if made:
            new.copy_keys_of(made[0])
        else:
            new.environment["TALLYMAN_SERVES"] = "true"
            new.shell(BEGIN.format(url=fake.url))
        made.append(new)
        return new

    yield machine
    for each in made:
        each.end()


def scanned(machine: Machine) -> list[tuple[str, str, str]]:
    """Return the scans once all have ended: state, worker, reason."""

    def ended() -> list[tuple[str, str, str]] | None:
        rows = machine.rows(SCANS)
        return None if not rows or {"queued", "running"} & {str(row[0]) for row in rows} else rows  # type: ignore[return-value]

    found: list[tuple[str, str, str]] = wait_for(ended, seconds=200, what=f"the end of the scans {machine.rows(SCANS)}")
    return found


def test_a_second_machine_gets_the_database_and_rules_before_its_first_scan(make: Make) -> None:
    first = make("first")
    (first.folder / "rules").mkdir()
    (first.folder / "rules" / "team.yar").write_text('rule Team { strings: $a = "NAME" condition: $a }')
    first.manage("make_primary")
    second = make("second")
    assert (second.database(), second.rules()) == ("", set())
    first.shell(LAUNCH)
    second.start()
    assert {(state, reason) for state, _worker, reason in scanned(first)} == {("succeeded", "")}
    assert second.database() == first.database() != ""
    assert second.rules() == {"team.yar"}
    assert second.rows("SELECT count(*) FROM scanning_packagevulnerability")[0][0] > 0
    assert second.rows("SELECT DISTINCT rule FROM scanning_malwarefinding") == [("Team",)]
    assert second.row() == (True, "", "")


@pytest.fixture
def pair(make: Make) -> tuple[Machine, Machine]:
    """Two machines, the first of which has the database and has read the registry; no worker runs."""
    return make("first"), make("second")


def not_ready(machine: Machine) -> tuple[str, str]:
    """Return why the machine accepts no scans and what to do, once it has said so."""

    def said() -> tuple[str, str] | None:
        row = machine.row()
        return row[1:] if row and not row[0] and "being copied" not in row[1] else None

    found: tuple[str, str] = wait_for(said, what=f"a machine that is not ready, it is {machine.row()}")
    return found


def all_by(machine: Machine) -> bool:
    """Whether all scans have succeeded, and the worker of this machine has done them."""
    rows = scanned(machine)
    pids = {int(worker.rpartition(":")[2]) for _state, worker, _reason in rows}
    assert {(state, reason) for state, _worker, reason in rows} == {("succeeded", "")}
    return pids <= set(processes_of_folder(machine.folder))


def test_a_machine_that_cannot_get_the_database_takes_no_scans_and_says_so(
    pair: tuple[Machine, Machine],
) -> None:
    first, second = pair
    first.execute("UPDATE console_filechunk SET content = '\\x00'::bytea || substr(content, 2)")
    second.start()
    reason, remedy = not_ready(second)
    assert "its SHA-256 does not match" in reason
    assert "update the vulnerability database once more" in remedy
    first.start()
    first.shell(LAUNCH)
    assert all_by(first)
    assert second.row() == (False, reason, remedy)
    first.shell("from scanning.vulndb import install as database\ndatabase.publish_current(check=lambda: None)")
    wait_for(lambda: second.row() == (True, "", ""), what="the second machine with what was published anew")
    assert second.database() == first.database()


def test_a_machine_whose_disk_is_full_takes_no_scans_and_says_so(
    pair: tuple[Machine, Machine], postgres_server: RestartableServer
) -> None:
    first, second = pair
    (second.folder / "trivy").mkdir()
    Path(postgres_server.url.rpartition("=")[2]).chmod(0o711)  # the worker's user is nobody else's there
    second.start(
        "unshare", "-rm", "sh", "-c", f'mount -t tmpfs -o size=16k tmpfs {second.folder}/trivy && exec "$@"', "-"
    )
    reason, remedy = not_ready(second)
    assert "No space left on device" in reason
    assert "has space" in remedy
    first.start()
    first.shell(LAUNCH)
    assert all_by(first)


def test_a_machine_with_other_keys_does_no_work_and_says_so(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    first.start()
    wait_for(lambda: first.row() == (True, "", ""), what="the first machine's report")
    (second.folder / "keys" / "credential_keys").unlink()
    second.start()
    assert second.process is not None
    assert second.process.wait(timeout=60) == 1
    reason, remedy = not_ready(second)
    assert "not the same as" in reason
    assert "credential_keys" in reason
    assert "secret_key" not in reason
    assert "copy the folder “keys”" in remedy
    assert Message.from_stored(reason) in second.log()
    first.shell(LAUNCH)
    assert all_by(first)
    second.copy_keys_of(first)
    second.start()
    wait_for(lambda: second.row() == (True, "", ""), what="the second machine with the right keys")


def test_a_machine_that_would_find_something_else_takes_no_scans(make: Make) -> None:
    first, second = make("first"), make("second", TALLYMAN_TRIVY="/nowhere/trivy")
    first.start()
    wait_for(lambda: first.row() == (True, "", ""), what="the first machine's report")
    second.start()
    reason, remedy = not_ready(second)
    assert "Trivy missing (there: 0.76.0)" in reason
    assert "make_primary" in remedy
    first.shell(LAUNCH)
    assert all_by(first)


def test_an_update_on_one_machine_ends_the_drift_of_the_other(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    first.start()
    second.start()
    wait_for(lambda: second.database() == first.database() != "", what="the database on the second machine")
    before = first.database()
    second.shell(NEWER)
    assert second.database() != before
    wait_for(lambda: first.database() == second.database(), what="the newer database on the first machine")
    first.shell(LAUNCH)
    assert {(state, reason) for state, _worker, reason in scanned(first)} == {("succeeded", "")}
    assert first.rows(
        "SELECT DISTINCT database_updated_at::date::text FROM scanning_categoryresult"
        " WHERE category = 'vulnerabilities'"
    ) == [("2026-11-20",)]


def test_rules_come_from_the_primary_machine_and_an_empty_folder_replaces_none(pair: tuple[Machine, Machine]) -> None:
    first, second = pair
    for machine, name in ((first, "first.yar"), (second, "second.yar")):
        (machine.folder / "rules").mkdir()
        (machine.folder / "rules" / name).write_text("rule Any { condition: false }")
    first.start()
    second.start()
    wait_for(lambda: second.rules() == {"first.yar"}, what="the rules of the primary machine on the second")
    (first.folder / "rules" / "more.yar").write_text("rule More { condition: false }")
    wait_for(lambda: second.rules() == {"first.yar", "more.yar"}, what="a rule that was added")
    assert "1 files, from" in second.manage("make_primary")
    wait_for(lambda: first.rules() == {"second.yar"}, what="the rules of the new primary machine")
    for file in (first.folder / "rules").iterdir():
        file.unlink()
    assert "1 files, from" in first.manage("make_primary"), "an empty folder has replaced what was there"
    (first.folder / "rules" / "own.yar").write_text("rule Own { condition: false }")
    wait_for(lambda: second.rules() == {"own.yar"}, what="its first rule")
    (first.folder / "rules" / "own.yar").unlink()
    wait_for(lambda: second.rules() == set(), what="the end of the rules, which were its own")


def test_the_file_of_an_export_that_one_machine_has_made_is_downloaded_from_another(
    pair: tuple[Machine, Machine],
) -> None:
    first, second = pair
    first.start()
    wait_for(lambda: first.row() == (True, "", ""), what="the first machine's report")
    first.stop()
    first.shell(EXPORT)
    second.start()
    wait_for(lambda: second.rows("SELECT state FROM console_export") == [("succeeded",)], what="the export")
    (made,) = (second.folder / "exports").iterdir()
    assert not (first.folder / "exports").exists() or not list((first.folder / "exports").iterdir())
    status, kind, text = first.shell(DOWNLOAD).split("\n", 2)
    assert (status, kind) == ("200", "text/csv; charset=utf-8")
    assert text.splitlines() == made.read_text("utf-8-sig").splitlines()
    assert "team/app" in text
    first.shell(
        "from console.exports import files\nfrom console.models import Export\nfiles.remove(Export.objects.get())"
    )
    assert first.rows("SELECT count(*) FROM console_sharedfile WHERE delete_after IS NOT NULL") == [(0,)]

"""The life of Trivy's server, which comes and goes as it is needed: no image loses its report by what befalls it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from console.processes.control import children
from demo.advisories import ADVISORIES
from demo.vulndb_build import build_demo_vulndb
from scanning.engines.base import ImageInput
from scanning.engines.trivy import rpc_messages
from scanning.engines.trivy import server as server_module
from scanning.engines.trivy.binary import PINNED_SHA256, Binary
from scanning.engines.trivy.engine import Trivy
from scanning.engines.trivy.protobuf import decode, encode
from scanning.engines.trivy.server import LayerRecord, MatchServer, ServerFailed, _Running
from tests.scanning.engines.conftest import BASE, MemoryLayerCache, analyse, normalised_report, on_disk

RECORD: dict[str, Any] = {
    "SchemaVersion": 2,
    "DiffID": f"sha256:{1:064x}",
    "OS": {"Family": "debian", "Name": "12.4"},
    "PackageInfos": [
        {
            "FilePath": "var/lib/dpkg/status",
            "Packages": [
                {"ID": "libexpat1@2.5.0-1", "Name": "libexpat1", "Version": "2.5.0", "Release": "1", "Arch": "amd64"}
                | {"SrcName": "expat", "SrcVersion": "2.5.0", "SrcRelease": "1"}
            ],
        }
    ],
}


class Asking:
    """Asks servers about ``RECORD``, as those who analyse an image do."""

    def __init__(self, folder: Path, database: Path, **bounds: Any) -> None:
        self.home, self.database, self.executable = folder, database, Binary(None, PINNED_SHA256).path()
        self.server = MatchServer(**bounds)
        self.folder_of: dict[str, Path] = {}

    def __call__(self, *, name: str = "one", **changes: Any) -> dict[str, Any]:
        options: dict[str, Any] = {
            "executable": self.executable,
            "database": self.database,
            "home": self.home,
            "scanners": ["vuln", "secret"],
            "table": rpc_messages.SCANNED,
            "check": lambda: None,
            "timeout": 60,
        }
        record = LayerRecord(name, lambda: encode(RECORD, rpc_messages.BLOB))
        return self.server.scan([record], **{**options, **changes})

    @property
    def running(self) -> list[_Running]:
        return [*self.server._servers.values(), *self.server._retired]


@pytest.fixture
def asking(tmp_path: Path, demo_database: Path) -> Any:
    made: list[Asking] = []

    def make(**bounds: Any) -> Asking:
        made.append(Asking(tmp_path, demo_database, **bounds))
        return made[-1]

    yield make
    for each in made:
        each.server.close()


def names(answer: dict[str, Any]) -> set[str]:
    return {each["VulnerabilityID"] for result in answer["Results"] for each in result.get("Vulnerabilities", ())}


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def freeze(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)


def test_it_is_started_when_it_is_asked_and_ends_with_all_that_it_has_started(
    asking: Callable[..., Asking], tmp_path: Path
) -> None:
    ask = asking()
    assert ask.running == []
    assert names(ask())
    (server,) = ask.running
    (child,) = children(server.process.pid)
    assert list(tmp_path.iterdir()) == [], "it leaves files behind"
    assert names(ask()) == names(ask(name="another"))
    assert ask.running == [server]
    assert len(server.records) == 2
    ask.server.close()
    assert not alive(server.process.pid)
    assert not alive(child)


def test_it_asks_for_a_token_that_is_on_no_command_line(asking: Callable[..., Asking]) -> None:
    ask = asking()
    ask()
    (server,) = ask.running
    for pid in (server.process.pid, *children(server.process.pid)):
        assert server.token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
    server.token = "another"
    with pytest.raises(ServerFailed, match="401"):
        ask()


@pytest.mark.parametrize("bounds", [{"max_requests": 4}, {"max_memory_bytes": 1}], ids=["requests", "memory"])
def test_one_that_has_served_long_or_has_grown_is_replaced(asking: Callable[..., Asking], bounds: Any) -> None:
    ask = asking(**bounds)
    started: list[_Running] = []
    real = ask.server._start
    ask.server._start = lambda *arguments: started.append(real(*arguments)) or started[-1]  # type: ignore[method-assign]
    told = {frozenset(names(ask(name=f"{number}"))) for number in range(6)}
    assert len(told) == 1
    assert len(started) > 1
    assert [alive(server.process.pid) for server in started] == [server in ask.running for server in started]


def test_another_database_takes_the_place_of_one_that_is_in_use_without_a_gap(
    asking: Callable[..., Asking], tmp_path: Path, demo_database: Path
) -> None:
    ask = asking()
    smaller = build_demo_vulndb(tmp_path / "smaller", ADVISORIES[:1])
    all_of_it = names(ask())
    stopped = threading.Event()

    def go_on() -> set[frozenset[str]]:
        found = set()
        while not stopped.is_set():
            found.add(frozenset(names(ask(database=demo_database))))
        return found

    with ThreadPoolExecutor(2) as pool:
        others = [pool.submit(go_on) for _ in range(2)]
        for _number in range(5):
            assert names(ask(database=smaller)) < all_of_it
        stopped.set()
        assert set().union(*(each.result(60) for each in others)) == {frozenset(all_of_it)}
    assert len(ask.running) == 2
    third = build_demo_vulndb(tmp_path / "third", ADVISORIES[:1])
    ask(database=third)
    assert len(ask.running) == 2
    assert ask.running[-1].folder == third


def test_one_that_is_killed_is_replaced(asking: Callable[..., Asking]) -> None:
    ask = asking()
    expected = names(ask())
    (server,) = ask.running
    os.kill(children(server.process.pid)[0], signal.SIGKILL)
    while alive(server.process.pid) and server.process.has_ended is False:
        time.sleep(0.01)
    assert names(ask()) == expected
    assert ask.running != [server]


def test_whoever_asks_one_that_hangs_is_cancelled_or_ends_in_time(asking: Callable[..., Asking]) -> None:
    ask = asking()
    ask()
    (server,) = ask.running
    freeze(children(server.process.pid)[0])

    class Stop(Exception):
        pass

    def check() -> None:
        raise Stop

    with pytest.raises(ServerFailed, match="too long"):
        ask(name="another", timeout=0.5)
    assert names(ask()), "the next one has another server"
    (server,) = ask.running
    freeze(children(server.process.pid)[0])
    began = time.monotonic()
    with pytest.raises(Stop):
        ask(check=check)
    assert time.monotonic() - began < 3
    assert ask.running == []


@pytest.mark.parametrize("script", ["exit 1", "sleep 60", "kill -SEGV $$"], ids=["ends", "does not listen", "crashes"])
def test_one_that_does_not_start_is_not_tried_at_each_image(
    asking: Callable[..., Asking], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    monkeypatch.setattr(server_module, "START_TIMEOUT_SECONDS", 1.0)
    ask = asking()
    ask.executable = tmp_path / "trivy"
    ask.executable.write_text(f"#!/bin/sh\nPATH=/usr/bin:/bin\n{script}\n")
    ask.executable.chmod(0o700)
    with pytest.raises(ServerFailed):
        ask()
    with pytest.raises(ServerFailed, match="short while ago"):
        ask()
    assert ask.running == []
    assert list(tmp_path.iterdir()) == [ask.executable]


def test_one_that_nobody_asks_for_a_while_ends(asking: Callable[..., Asking], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "IDLE_SECONDS", 0.2)
    ask = asking()
    ask()
    ends = time.monotonic() + 60
    while ask.running and time.monotonic() < ends:
        time.sleep(0.05)
    assert ask.running == []
    assert names(ask())


def test_a_record_that_breaks_the_server_off_costs_others_nothing(asking: Callable[..., Asking]) -> None:
    """A secret without its layer: the server says that it broke off, and goes on."""
    ask = asking()
    expected = names(ask())
    secret = rpc_messages.SECRET_FINDING
    bare = type(secret)({name: field for name, field in secret.fields.items() if name != "Layer"})
    finding = encode({"RuleID": "x"}, bare)
    broken = b"\x62" + bytes([len(finding) + 2]) + b"\x12" + bytes([len(finding)]) + finding
    with pytest.raises(ServerFailed, match="panic"):
        ask.server.scan(
            [LayerRecord("broken", lambda: broken)],
            executable=ask.executable,
            database=ask.database,
            home=ask.home,
            scanners=["vuln"],
            table=rpc_messages.SCANNED,
            check=lambda: None,
            timeout=60,
        )
    assert names(ask()) == expected


def test_what_is_forgotten_is_gone(asking: Callable[..., Asking]) -> None:
    ask = asking()
    ask(keep=False)
    (server,) = ask.running
    assert server.records == set()


def test_a_process_that_was_forked_leaves_the_server_of_its_parent_alone(asking: Callable[..., Asking]) -> None:
    ask = asking()
    expected = names(ask())
    (server,) = ask.running
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if names(ask()) == expected and ask.running[0].process.pid != server.process.pid else 2
            ask.server.close()
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert ask.running == [server]
    assert names(ask()) == expected


def test_it_ends_with_the_process_that_asks_it(tmp_path: Path, demo_database: Path) -> None:
    code = f"""
import os, signal, sys
from pathlib import Path
from tests.scanning.engines.trivy.test_server import Asking, names
ask = Asking(Path({str(tmp_path)!r}), Path({str(demo_database)!r}))
assert names(ask())
print(ask.running[0].process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    pid, ends = int(ended.stdout), time.monotonic() + 30
    while alive(pid) and time.monotonic() < ends:
        time.sleep(0.05)
    assert not alive(pid)


def test_an_image_gets_its_report_whatever_befalls_the_server(
    make_trivy: Callable[..., Trivy], image: ImageInput, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = normalised_report(analyse(make_trivy(server=None, memory=MemoryLayerCache()), image, scratch))
    trivy = make_trivy()
    assert normalised_report(analyse(trivy, image, scratch)) == expected

    def fail(*_arguments: object, **_options: object) -> None:
        raise ServerFailed("it is gone")

    monkeypatch.setattr(MatchServer, "scan", fail)
    assert normalised_report(analyse(trivy, image, scratch)) == expected
    monkeypatch.undo()
    monkeypatch.setattr(server_module, "can_serve", lambda: False)
    assert normalised_report(analyse(make_trivy(server=MatchServer()), image, scratch)) == expected


def test_what_the_server_is_not_told_is_asked_without_it(
    make_trivy: Callable[..., Trivy], tmp_path: Path, scratch: Path, notes: MemoryLayerCache
) -> None:
    """A module of Red Hat's is a member that no message of the server has."""
    image = on_disk(tmp_path / "layers", BASE)
    trivy = make_trivy()
    analyse(trivy, image, scratch)
    (key,) = notes.kept
    old = notes.kept[key]
    notes.kept[key] = type(old)(
        old.key, old.record.replace(b'"Name":"libssl3"', b'"Modularitylabel":"ssl:3","Name":"libssl3"'), old.secrets
    )
    assert notes.kept[key].record != old.record
    report = analyse(trivy, image, scratch)
    assert {fact.record.get("Modularitylabel") for fact in report.packages if fact.record} == {None, "ssl:3"}


def test_the_pinned_trivy_has_the_messages_that_are_spoken(asking: Callable[..., Asking]) -> None:
    """What this relies on of the version that is pinned: what goes in comes out, member by member."""
    ask = asking()
    known = [{**each, "FilePath": "var/lib/dpkg/status"} for each in RECORD["PackageInfos"][0]["Packages"]]
    package = {
        "ID": "id",
        "Name": "anything",
        "Version": "2.5.0",
        "Release": "1",
        "Epoch": 1,
        "Arch": "amd64",
        "SrcName": "expat",
        "SrcVersion": "2.5.0",
        "SrcRelease": "1",
        "SrcEpoch": 1,
        "Licenses": ["MIT"],
        "Layer": {"DiffID": RECORD["DiffID"]},
        "FilePath": "var/lib/dpkg/status",
        "DependsOn": ["other"],
        "Digest": f"sha256:{2:064x}",
        "Maintainer": "somebody",
        "Repository": {"Class": "official"},
        "AnalyzedBy": "dpkg",
    }
    secret = {
        "RuleID": "github-pat",
        "Category": "GitHub",
        "Severity": "CRITICAL",
        "Title": "title",
        "StartLine": 3,
        "EndLine": 4,
        "Code": {"Lines": [{"Number": 3, "Content": "x", "IsCause": True, "FirstCause": True}]},
        "Match": "match",
        "Offset": 7,
    }
    library = {"Name": "django", "Version": "4.2.2", "Relationship": "direct", "Locations": [{"StartLine": 1}]}
    record = {
        **RECORD,
        "OS": {"Family": "debian", "Name": "12.4", "extended": True},
        "PackageInfos": [{"FilePath": "var/lib/dpkg/status", "Packages": [package, *known]}],
        "Applications": [{"Type": "pip", "FilePath": "app/requirements.txt", "Packages": [library]}],
        "Secrets": [{"FilePath": "app/.env", "Findings": [secret]}],
    }
    answer = ask.server.scan(
        [LayerRecord("contract", lambda: encode(record, rpc_messages.BLOB))],
        executable=ask.executable,
        database=ask.database,
        home=ask.home,
        scanners=["vuln", "secret"],
        table=rpc_messages.SCANNED,
        check=lambda: None,
        timeout=60,
    )
    assert answer["OS"] == record["OS"]
    system, libraries, secrets = answer["Results"]
    told, vulnerable = system["Packages"]
    assert told.pop("Identifier")["PURL"].startswith("pkg:deb/debian/anything@")
    assert told == package
    (told,) = libraries["Packages"]
    assert told["Identifier"]["PURL"] == "pkg:pypi/django@4.2.2"
    assert {name: told[name] for name in library} == library
    (told,) = secrets["Secrets"]
    assert told.pop("Layer") == {"DiffID": RECORD["DiffID"]}
    assert told == secret
    assert secrets["Target"] == "app/.env"
    match = system["Vulnerabilities"][0]
    assert match["PkgIdentifier"]["UID"] == vulnerable["Identifier"]["UID"], "they are joined by it"
    assert match["Status"] in rpc_messages.STATUSES
    assert match["Severity"] in rpc_messages.SEVERITIES
    assert match["PrimaryURL"].startswith("https://")


def test_all_that_a_message_holds_comes_back_from_its_bytes() -> None:
    assert decode(encode(RECORD, rpc_messages.BLOB), rpc_messages.BLOB) == RECORD

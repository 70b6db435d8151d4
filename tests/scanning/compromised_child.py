"""The program that reads layers, of which a layer can take hold as if it had broken what reads it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import scanning
from console.processes.control import children
from scanning.engines.sandbox import client as module
from scanning.engines.sandbox.client import SandboxClient
from scanning.engines.yara.engine import Yara
from tests.scanning.layer import EICAR, layer

RULES = Path(scanning.__file__).parent / "rules"
GOOD_FILES = {"srv/eicar.com": EICAR}
TAKEN_OVER_PROGRAM = """
from scanning.engines.sandbox import child as inside; from scanning.engines.sandbox import protocol as wire
class Look(inside.YaraLayerScan):
    def layer(self, data):
        if data[:9] == b"#!python\\n":
            exec(data[9:].decode(), {"look": self, "wire": wire})
        else:
            super().layer(data)
inside.YaraLayerScan = Look
"""


def no_stop() -> None:
    pass


PROCESSES_BEFORE: set[int] = set()  # what other tests have left below this process


def own_processes() -> list[int]:
    """Return the processes below this one that the test has started."""
    return [pid for pid in descendants(os.getpid()) if pid not in PROCESSES_BEFORE]


@pytest.fixture(autouse=True)
def _before() -> None:
    PROCESSES_BEFORE.clear()
    PROCESSES_BEFORE.update(own_processes())


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxClient]:
    """The program, in which a layer of Python is executed as if it had taken over what reads it."""
    start = module._CHILD_SCRIPT.replace("\nmain()", f"{TAKEN_OVER_PROGRAM}\nmain()")
    assert "exec" in start
    monkeypatch.setattr(module, "_CHILD_SCRIPT", start)
    program = SandboxClient(memory_bytes=300 << 20)
    yield program
    program._kill()


@pytest.fixture
def yara(sandbox: SandboxClient) -> Yara:
    return Yara(rules=RULES, sandbox=sandbox)


def attack(folder: Path, script: str) -> Path:
    """Return a layer that does what ``script`` says where it is read."""
    path = folder / "attack"
    path.write_text(f"#!python\n{script}")
    return path


def descendants(pid: int) -> list[int]:
    """Return the processes below ``pid``, those that have ended and are not collected left out."""
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return [each for each in found if not is_gone(each)]


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def assert_reads(yara: Yara, folder: Path) -> None:
    """The next layer is read as ever."""
    report = yara.scan_layer(layer(folder, GOOD_FILES), check=no_stop)
    assert [(found.rule, found.path, report.files) for found in report.findings] == [
        ("EICAR_Test_File", "srv/eicar.com", 1)
    ]

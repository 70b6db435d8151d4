"""The program that reads layers lives as long as it is needed: from layer to layer, never beyond its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from scanning.engines.sandbox import client as module
from scanning.engines.sandbox.client import SandboxClient
from scanning.engines.yara.engine import Yara
from tests.console.jobs.conftest import ROOT, wait_for
from tests.scanning.compromised_child import (
    GOOD_FILES,
    RULES,
    _before,
    assert_reads,
    attack,
    descendants,
    is_gone,
    no_stop,
    own_processes,
    sandbox,
    yara,
)
from tests.scanning.layer import layer

__all__ = ["_before", "sandbox", "yara"]


class Stop(Exception):
    """What ``check`` raises in these tests."""


@pytest.mark.parametrize("script", ["while True: pass", "import time; time.sleep(900)", "x = 7 ** 7 ** 9"])
def test_a_cancel_ends_it_whatever_it_is_at(yara: Yara, tmp_path: Path, script: str) -> None:
    assert_reads(yara, tmp_path)
    began: list[float] = []

    def check() -> None:
        if own_processes():
            began.append(time.monotonic())
        if began and time.monotonic() - began[0] > 0.5:
            raise Stop

    with pytest.raises(Stop):
        yara.scan_layer(attack(tmp_path, script), check=check)
    assert own_processes() == []
    assert_reads(yara, tmp_path)


def test_a_walk_that_is_broken_off_leaves_nothing(sandbox: SandboxClient, tmp_path: Path) -> None:
    files = layer(tmp_path, {f"file{number}": b"x" for number in range(5000)})
    walk = sandbox.walk(files, check=no_stop)
    next(walk)
    walk.close()  # type: ignore[attr-defined]
    assert own_processes() == []
    assert len(list(sandbox.walk(files, check=no_stop))) == 5000


def test_one_that_was_killed_while_it_had_nothing_to_do_is_started_anew(yara: Yara, tmp_path: Path) -> None:
    for victim in (0, 1):  # its supervisor, the program
        assert_reads(yara, tmp_path)
        below = own_processes()
        os.kill(below[victim], signal.SIGKILL)
        wait_for(lambda: all(map(is_gone, below)))  # noqa: B023 (called at once)
        assert_reads(yara, tmp_path)


def test_it_stays_for_the_next_layer_and_starts_nothing_before_the_first(yara: Yara, tmp_path: Path) -> None:
    yara.ready()
    assert own_processes() == []
    assert_reads(yara, tmp_path)
    first = own_processes()
    assert len(first) == 2
    assert_reads(yara, tmp_path)
    assert own_processes() == first


def test_two_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        folder = tmp_path / f"{number}"
        folder.mkdir()
        try:
            for _ in range(5):
                assert_reads(yaras[number % 2], folder)
        except BaseException as error:
            failed.append(error)

    programs = [SandboxClient(), SandboxClient()]
    yaras = [Yara(rules=RULES, sandbox=program) for program in programs]
    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]  # two to each
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for program in programs:
        program._kill()
    assert failed == []


OWNER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from scanning.engines.sandbox import client as sandbox
sandbox._CHILD_SCRIPT = {start!r}
from scanning.engines.yara.engine import Yara
engine = Yara(rules=Path({rules!r}), sandbox=sandbox.SandboxClient())  # named: the program ends with it
engine.scan_layer(Path({layer!r}), check=lambda: None)
"""


@pytest.mark.parametrize("idle", [True, False], ids=["idle", "at work"])
def test_it_dies_with_its_worker(sandbox: SandboxClient, tmp_path: Path, idle: bool) -> None:
    path = layer(tmp_path, GOOD_FILES) if idle else attack(tmp_path, "while True: pass")
    code = OWNER.format(root=str(ROOT), start=module._CHILD_SCRIPT, rules=str(RULES), layer=str(path))
    owner = subprocess.Popen([sys.executable, "-c", f"{code}\nprint('read', flush=True)\nimport time; time.sleep(900)"])
    processes = 2 if idle else 3
    below = wait_for(lambda: found if len(found := descendants(owner.pid)) >= processes else None)
    owner.kill()
    owner.wait()
    wait_for(lambda: all(map(is_gone, below)), seconds=10)


def test_what_a_fork_inherits_is_not_used_nor_ended(yara: Yara, tmp_path: Path) -> None:
    assert_reads(yara, tmp_path)
    before = own_processes()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert_reads(yara, tmp_path)
            yara._sandbox._kill()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert own_processes() == before
    assert_reads(yara, tmp_path)

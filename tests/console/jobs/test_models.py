"""The states of a job, and of the scan of an image: each set of them is named in one place."""

from __future__ import annotations

import ast
from pathlib import Path

from console.jobs.models import State
from inventory.models import Image

ROOT = Path(__file__).resolve().parents[3]
ALLOWED = {
    "console/jobs/models.py",
    "inventory/models/content.py",
    "console/jobs/state.py",  # a transition from one to the other
}


def test_each_state_is_active_or_final() -> None:
    assert set(State.active()) == {State.QUEUED, State.RUNNING}
    assert set(State.final()) == {State.SUCCEEDED, State.FAILED, State.CANCELLED}
    assert len(State.active()) + len(State.final()) == len(State)


def test_the_states_of_an_image_at_work_are_those_of_its_scan() -> None:
    assert [state.value for state in Image.ScanState.active()] == [state.value for state in State.active()]


def test_nobody_spells_out_the_active_states() -> None:
    found = set()
    for app in ("console", "registries", "inventory", "scanning"):
        for path in (ROOT / app).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Tuple | ast.List | ast.Set):
                    names = [each.attr for each in node.elts if isinstance(each, ast.Attribute)]
                    if len(node.elts) == 2 and set(names) == {"QUEUED", "RUNNING"}:
                        found.add(str(path.relative_to(ROOT)))
    assert found == ALLOWED

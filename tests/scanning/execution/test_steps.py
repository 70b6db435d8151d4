"""The steps of a scan: one literal that names them all, and what leads from one to another."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from console.jobs.errors import Cancelled, JobFailure, LeaseLost, Postponed
from scanning.execution import pipeline
from scanning.execution.context import ScanContext
from scanning.execution.jumps import Jump, NoEngineReady, PullAgain
from scanning.execution.pipeline import JUMPS, STEPS, Step, scan_image

FOLDER = Path(pipeline.__file__).parent / "steps"


class Run:
    """An attempt at a scan that must stop once ``stops`` is set."""

    def __init__(self) -> None:
        self.job = SimpleNamespace(timeout=60, categories=["malware"])
        self.ended = False
        self.stops: Exception | None = None

    def set_deadline(self, *_: Any, **__: Any) -> None:
        """Have no deadline."""

    def check(self) -> None:
        if self.stops is not None:
            raise self.stops


@pytest.fixture
def run() -> Run:
    return Run()


@pytest.fixture
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What has happened, in its order; a failure that is handled is one of it."""
    events: list[str] = []
    monkeypatch.setattr(pipeline, "handle_failure", lambda _run, error: events.append(f"handled {error}"))
    return events


def step(name: str, happened: list[str], does: Callable[[ScanContext], None] = lambda _: None) -> Step:
    def take(context: ScanContext) -> None:
        happened.append(name)
        does(context)

    return take


def raises(*errors: Exception) -> Callable[[ScanContext], None]:
    """Raise one of the errors each time, and then no more."""
    left = list(errors)

    def does(_context: ScanContext) -> None:
        if left:
            raise left.pop(0)

    return does


def test_each_step_is_a_function_in_the_module_of_its_name_and_says_what_it_does() -> None:
    for each in STEPS:
        assert inspect.isfunction(each)
        assert each.__module__ == f"scanning.execution.steps.{each.__name__}"
        assert re.match(r"[A-Z][^\n]+", each.__doc__ or ""), each.__name__
    assert len(STEPS) == len(set(STEPS))
    assert {each.__name__ for each in STEPS} == {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}


def test_the_map_names_the_steps_in_their_order() -> None:
    text = (FOLDER.parents[2] / "docs" / "architecture.md").read_text()
    section = text.partition("## The steps of a scan")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [each.__name__ for each in STEPS]


def test_each_jump_leads_to_a_step() -> None:
    assert set(JUMPS) == set(Jump.__subclasses__())
    assert set(JUMPS.values()) <= set(STEPS)


def test_the_steps_are_taken_in_their_order_and_a_jump_goes_on_elsewhere(
    run: Run, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, last = step("first", happened), step("last", happened)
    again = step("again", happened, raises(PullAgain()))
    monkeypatch.setattr(pipeline, "STEPS", (first, again, last))
    monkeypatch.setattr(pipeline, "JUMPS", {PullAgain: first, NoEngineReady: last})
    scan_image(run)  # type: ignore[arg-type]
    assert happened == ["first", "again", "first", "again", "last"]
    happened.clear()
    monkeypatch.setattr(pipeline, "STEPS", (step("none", happened, raises(NoEngineReady())), again, last))
    scan_image(run)  # type: ignore[arg-type]
    assert happened == ["none", "last"]


def test_a_scan_gives_back_what_it_has_taken_before_its_failure_is_handled(
    run: Run, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(context: ScanContext) -> None:
        for name in ("connection", "lease"):
            context.resources.callback(happened.append, f"{name} is free")

    failed = JobFailure("It is gone.", "Look for it.")  # type: ignore[arg-type]
    steps = step("take", happened, take), step("fail", happened, raises(failed)), step("never", happened)
    monkeypatch.setattr(pipeline, "STEPS", steps)
    with pytest.raises(JobFailure):
        scan_image(run)  # type: ignore[arg-type]
    assert happened == ["take", "fail", "lease is free", "connection is free", "handled It is gone."]


def test_a_failure_that_is_handled_by_waiting_is_none(
    run: Run, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: Any) -> None:
        raise Postponed(None, "Later.")  # type: ignore[arg-type]

    failed = JobFailure("It is slow.", "Wait.")  # type: ignore[arg-type]
    monkeypatch.setattr(pipeline, "STEPS", (step("fail", happened, raises(failed)),))
    monkeypatch.setattr(pipeline, "handle_failure", wait)
    with pytest.raises(Postponed):
        scan_image(run)  # type: ignore[arg-type]


def test_what_fails_once_all_has_been_released_is_not_the_fault_of_the_registry(
    run: Run, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    release = next(each for each in STEPS if each.__name__ == "release_resources")
    failed = JobFailure("Timed out.", "Raise the timeout.")  # type: ignore[arg-type]
    monkeypatch.setattr(pipeline, "STEPS", (release, step("store", happened, raises(failed))))
    with pytest.raises(JobFailure):
        scan_image(run)  # type: ignore[arg-type]
    assert happened == ["store"]


def test_a_cancelled_scan_takes_no_further_step_and_gives_back_what_it_has_taken(
    run: Run, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def cancel(context: ScanContext) -> None:
        context.resources.callback(happened.append, "free")
        run.stops = Cancelled()

    monkeypatch.setattr(pipeline, "STEPS", (step("cancel", happened, cancel), step("never", happened)))
    with pytest.raises(Cancelled):
        scan_image(run)  # type: ignore[arg-type]
    assert happened == ["cancel", "free"]


def test_a_scan_that_is_stored_goes_on_to_its_end_although_its_lease_is_over(
    run: Run, happened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def store(_context: ScanContext) -> None:
        run.ended, run.stops = True, LeaseLost()

    monkeypatch.setattr(pipeline, "STEPS", (step("store", happened, store), step("recount", happened)))
    scan_image(run)  # type: ignore[arg-type]
    assert happened == ["store", "recount"]

"""A pytest plugin for the second run of what failed: names those that pass now, so that nobody takes them for sound."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each test that has passed, and how many there are."""
    failed = {report.nodeid for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])}
    flakes = [report.nodeid for report in terminalreporter.stats.get("passed", []) if report.nodeid not in failed]
    if flakes:
        terminalreporter.section(f"flakes: {len(flakes)} failed at first and passed when run again")
        for name in flakes:
            terminalreporter.line(f"FLAKE {name}")

"""Tests whose statements differ between databases run on PostgreSQL too, whatever database this run is on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.console.jobs.conftest import RestartableServer, postgres_server

__all__ = ["postgres_server"]

ROOT = Path(__file__).parents[1]
FILES = (
    "tests/console/db/test_schema.py::test_a_database_of_another_age_is_told_with_what_differs_and_what_to_do",
    "tests/inventory/sync/test_resolve.py",
    "tests/isolation/test_copies.py::test_two_registries_that_are_scanned_at_once_come_to_one_image",
    "tests/registries/webhooks/test_payloads.py",
    "tests/registries/test_pull_limit_workers.py",
    "tests/registries/test_login_guard.py",
    "tests/scanning/test_lanes.py",
    "tests/scanning/runs/test_cancel.py",
    "tests/scanning/rematch/test_run.py",
    "tests/scanning/views/test_scan_settings.py",
    "tests/test_odd_values.py::test_a_stranger_with_odd_values_gets_no_error",
    "tests/test_odd_values.py::test_a_number_that_no_database_holds_is_not_there",
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_on_postgresql_they_pass_as_well(postgres_server: RestartableServer) -> None:
    names = {"TALLYMAN_TEST_DATA", "TALLYMAN_DATA", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *FILES],
        env=environment | {"DATABASE_URL": postgres_server.url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stdout[-8000:]

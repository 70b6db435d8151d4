"""What every test shares: the data folder of the run goes when the run ends."""

from __future__ import annotations

import os
import shutil

import pytest


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the data folders, in the process that started the others."""
    root = os.environ.get("TALLYMAN_TEST_DATA", "")
    if "PYTEST_XDIST_WORKER" not in os.environ and "tallyman-tests-" in root:
        shutil.rmtree(root, ignore_errors=True)

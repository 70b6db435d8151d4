"""What may keep this machine from working: asked before a worker starts, and in each of its rounds."""

from __future__ import annotations

from collections.abc import Callable

from console.extension_points import ExtensionPoint, path_of

WorkerCheck = Callable[[], str]
WORKER_CHECKS: ExtensionPoint[WorkerCheck] = ExtensionPoint("check of workers")


def register(check: WorkerCheck) -> None:
    """Have ``check`` say why this machine must not work any job, and what to do; "" where it may."""
    WORKER_CHECKS.register(path_of(check), check)


def find_problem() -> str:
    """Return why this machine must not work any job, and what to do; "" where it may."""
    return next((wrong for check in WORKER_CHECKS.values() if (wrong := check())), "")

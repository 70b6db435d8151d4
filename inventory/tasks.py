"""What the queue calls for the inventory."""

from __future__ import annotations

from console.jobs.runner import run_queued_jobs
from inventory.remove_registry import remove_registry
from inventory.sync.sync_registry import sync_registry
from registries.models import Removal, SyncRun


def sync(run_id: int) -> None:
    """Do the next sync that waits; ``run_id`` is the one whose message woke this worker."""
    run_queued_jobs(SyncRun, run_id, sync_registry)


def remove(removal_id: int) -> None:
    """Do the next removal of a registry that waits."""
    run_queued_jobs(Removal, removal_id, remove_registry)

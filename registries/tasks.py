"""What the queue calls for the registries."""

from __future__ import annotations

from console.jobs.runner import run_queued_jobs
from registries.cloud_accounts import discovery
from registries.models import CloudDiscovery


def discover(discovery_id: int) -> None:
    """Do the next discovery that waits; ``discovery_id`` is the one whose message woke this worker."""
    run_queued_jobs(CloudDiscovery, discovery_id, discovery.discover)

"""What the queue calls for the registries."""

from __future__ import annotations

from console.jobs.runner import work
from registries import discoveries
from registries.models import CloudDiscovery


def discover(discovery_id: int) -> None:
    """Do the next discovery that waits; ``discovery_id`` is the one whose message woke this worker."""
    work(CloudDiscovery, discovery_id, discoveries.discover)

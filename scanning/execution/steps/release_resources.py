"""Step: others may have what the scan has taken, before it writes."""

from __future__ import annotations

from scanning.execution.context import ScanContext


def release_resources(context: ScanContext) -> None:
    """Give back claims, threads, the announcement to Trivy, the layers on disk and the connection, in this order."""
    context.resources.close()
    context.is_released = True

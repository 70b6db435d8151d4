"""What the queue calls for exports."""

from __future__ import annotations

from console.exports.make import make_export
from console.exports.models import Export
from console.jobs.runner import run_queued_jobs


def export(export_id: int) -> None:
    """Do the next export that waits; ``export_id`` is the one whose message woke this worker."""
    run_queued_jobs(Export, export_id, make_export)

"""Step: a place on disk for the layers."""

from __future__ import annotations

from scanning import scanners
from scanning.execution.context import ScanContext
from scanning.execution.progress import ScanProgress


def lease_layer_store(context: ScanContext) -> None:
    """Set ``lease`` to a lease of this attempt in the layer store, and ``progress`` to what shows its pulls."""
    owner = f"scan-{context.run.job.pk}-{context.run.attempt}"
    store = scanners.layer_store()
    context.lease = context.resources.enter_context(store.lease(owner, source=str(context.registry.pk)))
    context.progress = ScanProgress(context.run, context.lease, context.check)

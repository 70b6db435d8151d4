"""Step: a place on disk for the layers."""

from __future__ import annotations

from scanning import configured_engines
from scanning.execution.context import ScanContext
from scanning.execution.progress import ProgressReporter


def lease_layer_store(context: ScanContext) -> None:
    """Set ``lease`` to a lease of this attempt in the layer store, and ``progress`` to what shows its pulls."""
    owner = f"scan-{context.run.job.pk}-{context.run.attempt}"
    store = configured_engines.layer_store()
    context.lease = context.resources.enter_context(store.lease(owner, source=str(context.registry.pk)))
    context.progress = ProgressReporter(context.run, context.lease, context.check)

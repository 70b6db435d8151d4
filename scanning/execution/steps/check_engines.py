"""Step: which categories can be scanned now."""

from __future__ import annotations

from scanning import configured_engines
from scanning.engines.base import RiskCategory
from scanning.execution.context import ScanContext
from scanning.execution.jumps import NoEngineReady

ANALYZED_BY_TRIVY = frozenset({RiskCategory.VULNERABILITIES, RiskCategory.SENSITIVE})


def check_engines(context: ScanContext) -> None:
    """Set ``ready`` to the categories whose engines can work now; the others fail with the reason of their engine.

    Raises NoEngineReady if no category is left.
    """
    ready = set()
    for category, outcome in context.results.outcomes.items():
        if category in ANALYZED_BY_TRIVY:
            readinesses = [configured_engines.trivy().ready({category})]
        else:
            readinesses = [engine.ready() for engine in configured_engines.malware_engines()]
        outcome.engine_version = ", ".join(readiness.version for readiness in readinesses)[:200]
        if category is RiskCategory.VULNERABILITIES:
            outcome.database_updated_at = readinesses[0].database_updated_at
        for readiness in readinesses:
            if not readiness.ready:
                outcome.fail(readiness.reason, readiness.remedy)
                break
        else:
            ready.add(category)
    context.ready = frozenset(ready)
    if not ready:
        raise NoEngineReady

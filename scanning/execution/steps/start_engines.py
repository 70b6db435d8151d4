"""Step: the engines for the categories of the scan."""

from __future__ import annotations

from functools import partial

from scanning import scanners
from scanning.engines.base import RiskCategory
from scanning.execution.context import ScanContext
from scanning.execution.malware_scans import MalwareScans
from scanning.execution.progress import stoppable_threads
from scanning.execution.steps.check_engines import ANALYZED_BY_TRIVY
from scanning.execution.trivy_analysis import TrivyAnalysis


def start_engines(context: ScanContext) -> None:
    """Set ``trivy`` and ``malware`` to the engines for what is ``ready``, with versions and database as they are now.

    From here on, other images of the registry may wait a moment to share a run of Trivy. Raises EngineError.
    """
    categories = context.ready & ANALYZED_BY_TRIVY
    rest = categories - {RiskCategory.VULNERABILITIES}
    owner = str(context.registry.pk)
    session = scanners.trivy().session(categories=categories, owner=owner) if categories else None
    if session:
        context.resources.enter_context(session.announce())
    without_matching = partial(scanners.trivy().session, categories=rest) if rest and rest != categories else None
    context.trivy = TrivyAnalysis(context.run, session, without_matching=without_matching, check=context.check)
    reader = context.resources.enter_context(stoppable_threads(1, "read", context.check))
    context.resources.enter_context(context.claims)
    engines = scanners.malware_engines() if RiskCategory.MALWARE in context.ready else ()
    context.malware = MalwareScans(context.run.job, engines, reader, context.check)

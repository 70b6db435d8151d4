"""Step: what all engines have found is put together."""

from __future__ import annotations

from scanning.engines.base import RiskCategory
from scanning.execution.context import ScanContext
from scanning.execution.results import ImageAnalysis
from scanning.execution.steps.check_engines import ANALYZED_BY_TRIVY


def gather_findings(context: ScanContext) -> None:
    """Set the analysis of ``results``, and let the categories fail whose engine has failed at this image."""
    layers, trivy, malware = context.layers, context.trivy, context.malware
    readable, pulled = layers.readable(), context.progress.pulled_digests
    analysis = ImageAnalysis(
        report=context.report,
        failure=trivy.failure,
        unmatched=trivy.unmatched,
        malware_failure=malware.failure,
        malware=malware.reports(layers.diff_id(layer) for layer in readable),
        bytes_pulled=context.progress.pulled_bytes,
        layers_pulled=len(pulled),
        layers_known=len({layer.digest for layer in readable} - pulled),
        unscanned_reasons=layers.unscanned_reasons,
        proven=layers.is_proven,
    )
    context.results.analysis, outcomes = analysis, context.results.outcomes
    if analysis.failure:
        for category in context.ready & ANALYZED_BY_TRIVY:
            outcomes[category].fail(analysis.failure.reason, analysis.failure.remedy)
    elif analysis.unmatched:
        outcomes[RiskCategory.VULNERABILITIES].fail(analysis.unmatched.reason, analysis.unmatched.remedy)
    if analysis.malware_failure:
        outcomes[RiskCategory.MALWARE].fail(analysis.malware_failure.reason, analysis.malware_failure.remedy)

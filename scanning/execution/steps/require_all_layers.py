"""Step: an image that several registries share is not judged by a part of it."""

from __future__ import annotations

from console.i18n.explained import sentences
from console.jobs.errors import JobFailure
from scanning.execution import messages
from scanning.execution.context import ScanContext


def require_all_layers(context: ScanContext) -> None:
    """Raise JobFailure if less was seen of a shared image than when it was proven.

    That is no result for those who share it.
    """
    analysis = context.results.analysis
    if context.run.job.image.is_shared and not analysis.proven:
        reason = sentences(*analysis.unscanned_reasons) or messages.LAYERS_MISSING()
        raise JobFailure(reason, messages.PUSH_ALL_LAYERS())

"""Step: Trivy finds packages, vulnerabilities and sensitive data in the image as a whole."""

from __future__ import annotations

from scanning.engines.base import ImageInput
from scanning.engines.trivy.run import config_of
from scanning.execution.context import ScanContext


def analyze_image(context: ScanContext) -> None:
    """Set ``report`` to what Trivy finds in the image; None if it does not run, or fails for good.

    Raises PullAgain if it needs layers after all or continues without vulnerabilities, and EngineError if another try
    at the scan may help.
    """
    context.report = None
    if not context.trivy.is_in_use:
        return
    context.layers.look_up_sharing(context.run.job.manifest_digest)
    layers = [
        context.layers.stored(position, layer, context.trivy.cached)
        for position, layer in enumerate(context.layers.readable())
    ]
    image = ImageInput(config=config_of(layers), layers=layers, history=context.run.job.image.history)
    context.report = context.trivy.analyse(image)

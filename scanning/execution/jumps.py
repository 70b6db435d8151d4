"""What a step raises if the scan goes on with another step than the next one; JUMPS of the pipeline says with which."""

from __future__ import annotations


class Jump(Exception):
    """The scan goes on with another step than the next one."""


class NoEngineReady(Jump):
    """No engine can work now: there is nothing to pull, and only the reasons are stored."""


class PullAgain(Jump):
    """Trivy runs once more, and needs layers that were not pulled because their results seemed to be cached."""

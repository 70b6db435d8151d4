"""What every tick calls: once a minute on any worker (:func:`console.jobs.tasks.tick`), and in each worker's round."""

from __future__ import annotations

import logging
from collections.abc import Callable

from console import visibility
from console.extension_points import ExtensionPoint, path_of

log = logging.getLogger(__name__)

Tick = Callable[[], object]
JOB_TICKS: ExtensionPoint[Tick] = ExtensionPoint("tick")


def register(tick: Tick, *, order: int = 0) -> None:
    """Have every tick call ``tick``: after those of a lower ``order``. It must be harmless when called again."""
    JOB_TICKS.register(path_of(tick), tick, order=order)


@visibility.unrestricted()
def run_ticks() -> None:
    """Call all of them, seeing everything. A function that fails is logged, and the others are called."""
    for name, tick in JOB_TICKS.items():
        try:
            tick()
        except Exception:
            log.exception("%s failed in this tick", name)

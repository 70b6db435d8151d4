"""Images that come to Trivy at the same time share its runs, for most of a short run is the start of Trivy.

Those of one owner alone: a Trivy that one of them took over could lie about the others.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

from scanning.engines.base import Check, EngineError, RiskCategory
from scanning.engines.trivy.batcher import Gathering
from scanning.engines.trivy.cached_matches import KnownPackages
from scanning.engines.trivy.run import Told, Tool, Turn, report_of, stack_of, together

log = logging.getLogger(__name__)

MOST = 16  # images in one run
SMALL_BYTES = 32 * 1024**2  # uncompressed; an image that brings more is looked at alone, so that none waits for it
LINGER_SECONDS = 0.5
OWNERS = 4  # whose packages are remembered at once; each takes up to 40 MB
_NUMBERS = itertools.count()


class Together:
    """Gathers images for :func:`together`. For the threads of one process."""

    def __init__(self) -> None:
        self._gathering: Gathering[tuple[Tool, Turn], Told | None] = Gathering(
            self._work, most=MOST, linger=LINGER_SECONDS, key=lambda asked: asked[1].owner
        )
        self._keys: dict[str, str] = {}  # Matcher.key() by version
        # By owner, of the last database: what was told in runs with images of one is not believed of those of others.
        self._known: OrderedDict[str, tuple[str, KnownPackages]] = OrderedDict()
        self._lock = threading.Lock()

    def coming(self) -> AbstractContextManager[None]:
        """Say that an image is on its way here, for whose sake others may wait a moment."""
        return self._gathering.coming()

    def ask(self, tool: Tool, turn: Turn, *, check: Check) -> Told | None:
        """Return what Trivy tells of the image, in a run with others or by what it has told before.

        None where the image should have a run of its own.
        """
        if RiskCategory.VULNERABILITIES not in tool.categories:
            return None
        size = sum(layer.size for layer in turn.image.layers if layer.path)
        if turn.whole and not size:
            stacked = stack_of(turn)
            if stacked is None:
                return None
            if report := report_of(tool, turn, stacked, self._packages(tool, turn.owner)):
                return Told(report, {})
            turn = replace(turn, stacked=stacked)
            if not self._gathering.others:
                return self._work([(tool, turn)], check)[0]
        if size > SMALL_BYTES or not self._gathering.others:
            return None
        return self._gathering.ask((tool, turn), check=check)

    def _packages(self, tool: Tool, owner: str) -> KnownPackages:
        with self._lock:
            matched_with, known = self._known.get(owner) or ("", None)
            if known is None or matched_with != tool.matched_with:
                known = KnownPackages()
            self._known[owner] = (tool.matched_with, known)
            self._known.move_to_end(owner)
            while len(self._known) > OWNERS:
                self._known.popitem(last=False)
            return known

    def _work(self, asked: Sequence[tuple[Tool, Turn]], check: Check) -> Sequence[Told | None]:
        tool = asked[0][0]
        turns = [turn for other, turn in asked if other == tool]
        if len(turns) < len(asked):
            return [None] * len(asked)  # of two databases or categories: a rare moment
        if len(turns) == 1 and any(layer.path for layer in turns[0].image.layers):
            return [None]
        # Not in the folder of one of them: that goes when its scan does.
        scratch = turns[0].scratch.parent / f"process-{os.getpid()}-{next(_NUMBERS)}"
        try:
            scratch.mkdir(mode=0o700)
            if not (key := self._keys.get(tool.version)):
                key = self._keys[tool.version] = tool.matcher().key(scratch, check)
            return together(tool, turns, self._packages(tool, turns[0].owner), key=key, scratch=scratch, check=check)
        except (EngineError, OSError) as error:
            log.info("Trivy could not look at %s images together, each is looked at alone: %s", len(turns), error)
            return [None] * len(turns)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

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

from scanning.engines.base import EngineError, RiskCategory, StopCheck
from scanning.engines.trivy.batcher import Batcher
from scanning.engines.trivy.cached_matches import MatchCache
from scanning.engines.trivy.run import (
    AnalysisRequest,
    AnalysisResult,
    TrivySetup,
    analyze_batch,
    report_from_cache,
    squashed_image_of,
)

log = logging.getLogger(__name__)

MAX_BATCH_IMAGES = 16  # images in one run
SMALL_IMAGE_BYTES = (
    32 * 1024**2
)  # uncompressed; an image that brings more is looked at alone, so that none waits for it
BATCH_WAIT_SECONDS = 0.5
MAX_CACHED_OWNERS = 4  # whose packages are remembered at once; each takes up to 40 MB
_BATCH_NUMBERS = itertools.count()


class ImageBatcher:
    """Gathers images for :func:`analyze_batch`. For the threads of one process."""

    def __init__(self) -> None:
        self._batcher: Batcher[tuple[TrivySetup, AnalysisRequest], AnalysisResult | None] = Batcher(
            self._work,
            max_items=MAX_BATCH_IMAGES,
            wait_seconds=BATCH_WAIT_SECONDS,
            key=lambda requests: requests[1].owner,
        )
        self._keys: dict[str, str] = {}  # Matcher.key() by version
        # By owner, of the last database: what was told in runs with images of one is not believed of those of others.
        self._match_caches: OrderedDict[str, tuple[str, MatchCache]] = OrderedDict()
        self._lock = threading.Lock()

    def announce(self) -> AbstractContextManager[None]:
        """Say that an image is on its way here, for whose sake others may wait a moment."""
        return self._batcher.announce()

    def ask(self, tool: TrivySetup, turn: AnalysisRequest, *, check: StopCheck) -> AnalysisResult | None:
        """Return what Trivy tells of the image, in a run with others or by what it has told before.

        None where the image should have a run of its own.
        """
        if RiskCategory.VULNERABILITIES not in tool.categories:
            return None
        size = sum(layer.size for layer in turn.image.layers if layer.path)
        if turn.whole and not size:
            squashed = squashed_image_of(turn)
            if squashed is None:
                return None
            if report := report_from_cache(tool, turn, squashed, self._packages(tool, turn.owner)):
                return AnalysisResult(report, {})
            turn = replace(turn, squashed=squashed)
            if not self._batcher.others:
                return self._work([(tool, turn)], check)[0]
        if size > SMALL_IMAGE_BYTES or not self._batcher.others:
            return None
        return self._batcher.ask((tool, turn), check=check)

    def _packages(self, tool: TrivySetup, owner: str) -> MatchCache:
        with self._lock:
            matched_with, known = self._match_caches.get(owner) or ("", None)
            if known is None or matched_with != tool.matched_with:
                known = MatchCache()
            self._match_caches[owner] = (tool.matched_with, known)
            self._match_caches.move_to_end(owner)
            while len(self._match_caches) > MAX_CACHED_OWNERS:
                self._match_caches.popitem(last=False)
            return known

    def _work(
        self, requests: Sequence[tuple[TrivySetup, AnalysisRequest]], check: StopCheck
    ) -> Sequence[AnalysisResult | None]:
        tool = requests[0][0]
        turns = [turn for other, turn in requests if other == tool]
        if len(turns) < len(requests):
            return [None] * len(requests)  # of two databases or categories: a rare moment
        if len(turns) == 1 and any(layer.path for layer in turns[0].image.layers):
            return [None]
        # Not in the folder of one of them: that goes when its scan does.
        scratch = turns[0].scratch.parent / f"process-{os.getpid()}-{next(_BATCH_NUMBERS)}"
        try:
            scratch.mkdir(mode=0o700)
            if not (key := self._keys.get(tool.version)):
                key = self._keys[tool.version] = tool.matcher().key(scratch, check)
            return analyze_batch(
                tool, turns, self._packages(tool, turns[0].owner), key=key, scratch=scratch, check=check
            )
        except (EngineError, OSError) as error:
            log.info("Trivy could not scan a batch of %s images, each is scanned alone: %s", len(turns), error)
            return [None] * len(turns)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

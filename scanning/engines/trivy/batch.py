"""Layers of images that come to Trivy at the same time are read in one run, for most of a short run is its start.

A Trivy that one of them has taken over could lie about the others. So a run holds layers of one owner, and what it says
is good for images of this owner and for those that have all layers of the run. Layers that other images have too are
read apart, those together that the same images have; what is said of them is good for images that have all of these.
"""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from scanning.engines.base import EngineError, StopCheck, StoredLayer
from scanning.engines.trivy.batcher import Announcement, Batcher
from scanning.engines.trivy.cache import NOBODY, CachedLayer
from scanning.engines.trivy.run import read_layers
from scanning.engines.trivy.setup import TrivySetup

log = logging.getLogger(__name__)

MAX_BATCH_IMAGES = 16  # images in one run
SMALL_IMAGE_BYTES = 32 * 1024**2  # uncompressed; an image that brings more is read alone, so that none waits for it
BATCH_WAIT_SECONDS = 0.5
BATCH_TIMEOUT_SECONDS = 60.0  # one that takes longer is broken off, and the layers of each image are read alone
_BATCH_NUMBERS = itertools.count()

_Request = tuple[TrivySetup, Sequence[StoredLayer], str, Path]  # with the owner, and a folder to work in
_Notes = dict[str, CachedLayer]


class LayerBatcher:
    """Gathers layers for :func:`read_layers`. For the threads of one process."""

    def __init__(self) -> None:
        self._batcher: Batcher[_Request, _Notes | None] = Batcher(
            self._read,
            max_items=MAX_BATCH_IMAGES,
            wait_seconds=BATCH_WAIT_SECONDS,
            key=lambda request: (request[0], request[2]),
        )

    def announce(self) -> Announcement:
        """Say that layers of an image are on their way here, for whose sake others may wait a moment."""
        return self._batcher.announce()

    def read(
        self,
        tool: TrivySetup,
        layers: Sequence[StoredLayer],
        *,
        owner: str,
        scratch: Path,
        timeout: float,
        check: StopCheck,
    ) -> Iterator[tuple[str, _Notes]]:
        """Yield what Trivy tells of the layers of one image, each time with the owner of these notes: see LayerCache.

        ``owner`` says whose image it is. Raises EngineError, and what ``check`` raises.
        """
        shared: dict[str, list[StoredLayer]] = {}
        for layer in layers:
            if layer.sharers:
                shared.setdefault(layer.sharers, []).append(layer)
        rest = [layer for layer in layers if not layer.sharers]
        if rest and sum(layer.size for layer in rest) <= SMALL_IMAGE_BYTES and self._batcher.others:
            notes = self._batcher.ask((tool, rest, owner, scratch), check=check)
            if notes is not None:
                yield owner, {layer.diff_id: notes[layer.diff_id] for layer in rest}
                rest = []
        for some, reader in (*((group, NOBODY) for group in shared.values()), *([(rest, owner)] if rest else [])):
            notes = read_layers(tool, some, scratch=scratch, timeout=timeout, check=check)
            yield "" if len(some) == 1 else reader, notes

    def _read(self, requests: Sequence[_Request], check: StopCheck) -> Sequence[_Notes | None]:
        tool, _layers, _owner, scratch = requests[0]
        layers = {layer.diff_id: layer for _tool, some, _owner, _scratch in requests for layer in some}
        # Not in the folder of one of them: that goes when its scan does.
        folder = scratch.parent / f"process-{os.getpid()}-{next(_BATCH_NUMBERS)}"
        try:
            folder.mkdir(mode=0o700)
            notes = read_layers(tool, list(layers.values()), scratch=folder, timeout=BATCH_TIMEOUT_SECONDS, check=check)
            return [notes] * len(requests)
        except (EngineError, OSError) as error:
            log.info("Trivy could not read the layers of %s images in one run: %s", len(requests), error)
            return [None] * len(requests)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

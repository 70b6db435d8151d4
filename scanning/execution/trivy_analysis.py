"""Trivy's part of one scan: if it fails, it runs without vulnerabilities, and then not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypedDict, TypeVar

from console.jobs.job_run import JobRun
from scanning.engines.base import EngineError, ImageInput, ImageReport, StoredLayer
from scanning.engines.trivy.engine import LayersMissing, TrivySession
from scanning.execution.failures import is_retriable
from scanning.execution.jumps import PullAgain
from scanning.execution.preemption import PreemptionCheck
from scanning.models import Scan
from scanning.models.scan import ScanStage

V = TypeVar("V")


class _Options(TypedDict):
    scratch: Path
    check: PreemptionCheck
    timeout: float


class TrivyAnalysis:
    """Trivy's session in one scan. ``session`` is None if Trivy is not needed.

    ``without_matching`` gives a session for all but vulnerabilities, for when the first one fails; None if nothing else
    is looked for. A failure for good is kept here, so that the malware engines go on.
    """

    def __init__(
        self,
        run: JobRun[Scan],
        session: TrivySession | None,
        *,
        without_matching: Callable[[], TrivySession] | None,
        check: PreemptionCheck,
    ) -> None:
        self._run, self._session, self._without_matching, self._check = run, session, without_matching, check
        self.failure: EngineError | None = None  # why it failed
        self.unmatched: EngineError | None = None  # why it failed at vulnerabilities, if not at the rest
        self.cached: set[str] = set()  # diff IDs of layers whose results it has from before
        self._has_lost_layers = False

    @property
    def is_in_use(self) -> bool:
        """Whether it still runs in this scan."""
        return self._session is not None

    def known(self, diff_ids: set[str]) -> set[str]:
        """Return those of the layers whose results it has cached; all of them if it does not run."""
        return set(self._session.known(diff_ids)) if self._session else diff_ids

    def read(self, layers: Sequence[StoredLayer]) -> None:
        """Have it analyze these layers, which are on disk, and cache the results. Raises as :meth:`analyse`."""
        if layers:
            self._call(lambda session: session.read(layers, **self._options()))

    def analyse(self, image: ImageInput) -> ImageReport | None:
        """Return what it finds in the image; None if it does not run or fails for good.

        Raises PullAgain if it needs layers after all or continues without vulnerabilities, and EngineError if another
        try at the scan may help.
        """
        return self._call(lambda session: session.analyse(image, **self._options()))

    def _call(self, ask: Callable[[TrivySession], V]) -> V | None:
        if self._session is None:
            return None
        self._run.progress(ScanStage.ANALYSING)
        try:
            return ask(self._session)
        except LayersMissing as missing:  # their results are discarded by now; they are pulled
            if self._has_lost_layers:
                raise
            self._has_lost_layers = True
            self.cached.clear()
            raise PullAgain from missing
        except EngineError as error:
            if is_retriable(error, self._run.job):
                raise
            if self._without_matching is None:
                self._session, self.failure = None, error
                return None
            self._session, self.unmatched, self._without_matching = self._without_matching(), error, None
            self._has_lost_layers = False  # of the rest nothing may be known yet
            self.cached.clear()
            raise PullAgain from error

    def _options(self) -> _Options:
        return {"scratch": self._run.scratch, "check": self._check, "timeout": float(self._run.job.timeout)}

"""How far a scan is, for the screen, while threads of its own pull and read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from typing import TypeVar

from console import visibility
from console.jobs.job_run import JobRun
from scanning.execution.preemption import PreemptionCheck
from scanning.layers import LayerLease
from scanning.models import Scan
from scanning.models.scan import ScanStage

K = TypeVar("K")
V = TypeVar("V")

POLL_SECONDS = 0.2  # between looks at the pulls, and at what other scans do


class ProgressReporter:
    """The stage that the screen shows, and the bytes pulled so far. Pulling threads may note them."""

    def __init__(self, run: JobRun[Scan], lease: LayerLease, check: PreemptionCheck) -> None:
        self._run, self._lease, self._check = run, lease, check
        self._pulled: dict[str, int] = {}  # bytes by digest of the blob
        self._total: int | None = None
        self.stage = ScanStage.ANALYSING  # what is shown once all has been pulled

    @property
    def pulled_bytes(self) -> int:
        """The compressed bytes that have come from the registry."""
        return sum(list(self._pulled.values()))

    @property
    def pulled_digests(self) -> frozenset[str]:
        """The digests of the blobs that have come from the registry, in whole or in part."""
        return frozenset(self._pulled)

    def expect(self, sizes: Sequence[int | None]) -> None:
        """Note what the next pulls bring at most, in bytes; None for one of which that is not known."""
        known = [size for size in sizes if size is not None]
        self._total = self.pulled_bytes + sum(known) if len(known) == len(sizes) else None

    def note_pulled(self, digest: str, count: int) -> None:
        """Note that ``count`` bytes of this blob have come by now."""
        self._pulled[digest] = count
        self._check.note_progress()

    def add_pulled(self, digest: str, count: int) -> None:
        """Note that ``count`` further bytes of this blob have come."""
        self.note_pulled(digest, self._pulled.get(digest, 0) + count)

    def show(self, stage: ScanStage) -> None:
        """Show a stage of which nobody can say how far it is."""
        self._run.progress(stage)

    def report(self) -> None:
        """Show how far the pull is, or what comes after it. Raises if the work must stop."""
        self._check()
        done = self.pulled_bytes
        if self._lease.waits_for_room:
            self._run.progress(ScanStage.ROOM, done, self._total)
        elif self._total is None or done < self._total:
            self._run.progress(ScanStage.PULLING, done, self._total)
        else:
            self._run.progress(self.stage)

    def as_completed(self, futures: Mapping[Future[V], K]) -> Iterator[tuple[K | None, V | None]]:
        """Yield what the futures return, with what each is for; (None, None) now and then while none is done.

        Shows the progress meanwhile. Raises what a future raises, and if the work must stop.
        """
        pending = set(futures)
        while pending:
            done, pending = wait(pending, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
            self.report()
            for future in done:
                yield futures[future], future.result()
            if not done:
                yield None, None


@contextmanager
def stoppable_threads(count: int, name: str, check: PreemptionCheck) -> Iterator[visibility.ThreadPool]:
    """Give threads that all ask ``check``, and of which none is left behind whatever happens."""
    with visibility.ThreadPool(max_workers=count, thread_name_prefix=name) as pool:
        try:
            yield pool
        except BaseException:
            check.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise

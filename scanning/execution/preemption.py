"""When a scan stops: because it must, or because its registry stands still or takes long and others wait for its place.

A registry is slow for some minutes after a pull has stood still or timed out. What a scan of it keeps others from is
then let go: its claims on layers at once, its place where slow registries have more than their share of them. A pull
that flows but takes long leaves its place where its registry has more of them than the one that waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import NoReturn

from django.conf import settings

from console.db.clock import database_now
from console.i18n.message_codes import Message
from console.jobs.job_run import JobRun
from scanning.execution import messages
from scanning.models import Scan

NETWORK_GAP_SECONDS = 2.0  # connections that are waited for ask several times a second
POLL_SECONDS = 1.0  # between looks at who waits
SHARE_POLL_SECONDS = 10.0  # the same, while the registry answers


class PreemptionCheck:
    """The ``check`` of a scan, which its pulling threads ask too: they end as soon as the scan does.

    ``on_network`` is that of connections to its registry: who waits for them long in vain has a slow registry. What
    must not wait for that is done by ``release_claims``. The database is asked in the thread alone that has made this.
    """

    def __init__(self, run: JobRun[Scan]) -> None:
        self._run, self._stopped, self._thread = run, threading.Event(), threading.get_ident()
        self._progress_at = self._network_at = self._polled = 0.0
        self._shares_at = time.monotonic() + settings.SCAN_SHARE_SECONDS
        self.release_claims: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        """Raise where the scan must stop or has stopped, or gives its place to others."""
        if self._stopped.is_set():
            raise InterruptedError
        self._run.check()
        if threading.get_ident() != self._thread:
            return
        if self._is_stalled():
            self._yield_if_stalled()
        elif self._pulls() and time.monotonic() >= self._shares_at:
            self._yield_to_others()

    def stop(self) -> None:
        """Have everybody who asks stop."""
        self._stopped.set()

    def on_network(self) -> None:
        """Note that a connection is waited for, and raise as a call does."""
        now = time.monotonic()
        if now - self._network_at > NETWORK_GAP_SECONDS:
            self._progress_at = now
        self._network_at = now
        self()

    def note_progress(self) -> None:
        """Note that something has come from the registry."""
        self._progress_at = time.monotonic()

    def _is_stalled(self) -> bool:
        return self._network_at - self._progress_at >= settings.SCAN_STALL_SECONDS and self._pulls()

    def _pulls(self) -> bool:
        return time.monotonic() - self._network_at <= NETWORK_GAP_SECONDS

    def _yield_if_stalled(self) -> None:
        now, registry = time.monotonic(), self._run.job.registry
        if registry is None or now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        registry.mark_slow()
        self.release_claims()
        if Scan.slow_scans_block_others():
            self._yield_slot(messages.REGISTRY_DOES_NOT_RESPOND(registry=registry))

    def _yield_to_others(self) -> None:
        """Leave the place to a registry that has fewer, where one waits."""
        self._shares_at = time.monotonic() + SHARE_POLL_SECONDS
        registry = self._run.job.registry
        if registry is not None and self._run.has_successor() and self._run.job.should_yield():
            reason = messages.PULLS_TAKE_LONG(registry=registry)
            self._yield_slot(reason)

    def _yield_slot(self, reason: Message) -> NoReturn:
        pause = timedelta(seconds=settings.JOB_TIMES.retry)
        self._run.postpone(until=database_now() + pause, reason=reason)

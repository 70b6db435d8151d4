"""When a scan stops: because it must, or because its registry stands still and others wait for its place.

A registry is slow for some minutes after a pull has stood still or timed out. What a scan of it keeps others from is
then let go: its claims on layers at once, its place where slow registries have more than their share of them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.utils.translation import gettext as _

from console.jobs.work import JobRun
from registries import limit
from scanning.models import Scan

GAP_SECONDS = 2.0  # connections that are waited for ask several times a second
LOOK_SECONDS = 1.0  # between looks at who waits


class Stopping:
    """The ``check`` of a scan, which its pulling threads ask too: they end as soon as the scan does.

    ``on_network`` is that of connections to its registry: who waits for them long in vain has a slow registry. What
    must not wait for that is done by ``let_go``. The database is asked in the thread alone that has made this.
    """

    def __init__(self, run: JobRun[Scan]) -> None:
        self._run, self._stopped, self._thread = run, threading.Event(), threading.get_ident()
        self._since = self._asked = self._looked = 0.0
        self.let_go: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        """Raise where the scan must stop or has stopped, or gives its place to others."""
        if self._stopped.is_set():
            raise InterruptedError
        self._run.check()
        if self._stands_still() and threading.get_ident() == self._thread:
            self._make_room()

    def stop(self) -> None:
        """Have everybody who asks stop."""
        self._stopped.set()

    def on_network(self) -> None:
        """Note that a connection is waited for, and raise as a call does."""
        now = time.monotonic()
        if now - self._asked > GAP_SECONDS:
            self._since = now
        self._asked = now
        self()

    def flowed(self) -> None:
        """Note that something has come from the registry."""
        self._since = time.monotonic()

    def _stands_still(self) -> bool:
        waited = self._asked - self._since
        return waited >= settings.SCAN_STALL_SECONDS and time.monotonic() - self._asked <= GAP_SECONDS

    def _make_room(self) -> None:
        now, registry = time.monotonic(), self._run.job.registry
        if registry is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        registry.note_slow()
        self.let_go()
        if Scan.slow_ones_keep_others_waiting():
            pause = timedelta(seconds=settings.JOB_TIMES.retry)
            reason = _("%(registry)s does not answer. Scans of other registries go first.") % {"registry": registry}
            self._run.postpone(until=limit.database_now() + pause, reason=reason)

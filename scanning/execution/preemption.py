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
from django.utils.translation import gettext as _

from console.db.clock import database_now
from console.jobs.runner import JobRun
from scanning.models import Scan

GAP_SECONDS = 2.0  # connections that are waited for ask several times a second
LOOK_SECONDS = 1.0  # between looks at who waits
SHARE_LOOK_SECONDS = 10.0  # the same, while the registry answers


class Stopping:
    """The ``check`` of a scan, which its pulling threads ask too: they end as soon as the scan does.

    ``on_network`` is that of connections to its registry: who waits for them long in vain has a slow registry. What
    must not wait for that is done by ``let_go``. The database is asked in the thread alone that has made this.
    """

    def __init__(self, run: JobRun[Scan]) -> None:
        self._run, self._stopped, self._thread = run, threading.Event(), threading.get_ident()
        self._since = self._asked = self._looked = 0.0
        self._shares_at = time.monotonic() + settings.SCAN_SHARE_SECONDS
        self.let_go: Callable[[], None] = lambda: None

    def __call__(self) -> None:
        """Raise where the scan must stop or has stopped, or gives its place to others."""
        if self._stopped.is_set():
            raise InterruptedError
        self._run.check()
        if threading.get_ident() != self._thread:
            return
        if self._stands_still():
            self._make_room()
        elif self._pulls() and time.monotonic() >= self._shares_at:
            self._share()

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
        return self._asked - self._since >= settings.SCAN_STALL_SECONDS and self._pulls()

    def _pulls(self) -> bool:
        return time.monotonic() - self._asked <= GAP_SECONDS

    def _make_room(self) -> None:
        now, registry = time.monotonic(), self._run.job.registry
        if registry is None or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        registry.note_slow()
        self.let_go()
        if Scan.slow_ones_keep_others_waiting():
            self._leave(_("%(registry)s does not answer. Scans of other registries go first.") % {"registry": registry})

    def _share(self) -> None:
        """Leave the place to a registry that has fewer, where one waits."""
        self._shares_at = time.monotonic() + SHARE_LOOK_SECONDS
        registry = self._run.job.registry
        if registry is not None and self._run.is_followed() and self._run.job.keeps_others_out():
            reason = _("Pulls from %(registry)s take long. Scans of other registries go first.")
            self._leave(reason % {"registry": registry})

    def _leave(self, reason: str) -> NoReturn:
        pause = timedelta(seconds=settings.JOB_TIMES.retry)
        self._run.postpone(until=database_now() + pause, reason=reason)

"""The lease of a running job: renewed from a thread of its own, which also watches for a cancel request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.models.functions import Now

from console import visibility
from console.jobs import heartbeat as jobs_heartbeat
from console.jobs import kinds
from console.jobs.models import Job, State
from console.jobs.state import from_now

log = logging.getLogger(__name__)


class Lease:
    """Holds ``attempt`` of ``job`` for this process. Its thread uses a database connection of its own.

    ``also`` is called in that thread, after each look at the job.
    ``lost`` and ``cancelled`` are facts to read at any time. A database that does not answer for the length of the
    lease means lost: by then another worker may have the job.
    """

    def __init__(self, job: Job, attempt: int, *, also: Callable[[], None] = lambda: None) -> None:
        self._also = also
        # In the cluster ``quick`` a process is free for canaries at all times: so a queue that is stuck there shows,
        # however long one of its jobs lasts.
        self._reports_alive = kinds.get(job.kind).cluster != "quick"
        self._rows = type(job)._base_manager.filter(pk=job.pk, attempt=attempt, state=State.RUNNING)
        self._renewed_at = time.monotonic()
        self._end = threading.Event()
        self._lost = False
        self.cancelled = False
        watch = visibility.carried(self._watch)
        self._thread = threading.Thread(target=watch, name=f"lease of {job.kind} {job.pk}", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(timeout=30)

    @property
    def lost(self) -> bool:
        """Whether the job may be somebody else's by now."""
        return self._lost or time.monotonic() - self._renewed_at >= settings.JOB_TIMES.lease

    @property
    def is_taken_over(self) -> bool:
        """Whether a look at the job has found it to be somebody else's; False where the time alone has run out."""
        return self._lost

    def mark_lost(self) -> None:
        """Note that a guarded write found another attempt or state."""
        self._lost = True

    def _watch(self) -> None:
        while not self._end.wait(settings.JOB_TIMES.poll):
            try:
                self._poll()
                self._also()
            except (DatabaseError, InterfaceError) as error:
                log.warning("The database did not respond to a heartbeat: %s", type(error).__name__)
                connection.close()
        connection.close()

    def _poll(self) -> None:
        now = time.monotonic()
        if now - self._renewed_at >= settings.JOB_TIMES.heartbeat:
            if self._reports_alive:
                jobs_heartbeat.report_alive()
            if self._rows.update(heartbeat_at=Now(), lease_until=from_now(settings.JOB_TIMES.lease)):
                self._renewed_at = now
            else:
                self._lost = True
        requests = list(self._rows.values_list("cancel_requested_at", flat=True))
        if self._end.is_set():
            return
        if not requests:
            self._lost = True
        elif requests[0] is not None:
            self.cancelled = True

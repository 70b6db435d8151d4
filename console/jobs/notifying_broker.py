"""A broker in the database whose clusters are woken by PostgreSQL (LISTEN and NOTIFY), and need not ask all the time.

django-q2's own asks the queue of every cluster several times a second. This one gets a notification, and so takes a
message within milliseconds. It asks once a second all the same, for a message whose lock has run out, and where a
pooler of connections passes no notifications on. SQLite has none: there its parent's way stays.
"""

from __future__ import annotations

from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django_q.brokers.orm import ORM
from django_q.conf import Conf

WAIT_SECONDS = 1.0  # so long a cluster that is to stop may wait for it


class NotifyingBroker(ORM):  # type: ignore[misc]  # django-q2 has no types
    """See the module."""

    _listens_on: Any = None  # the connection on which LISTEN was sent: Django replaces it once a minute

    def enqueue(self, task: str) -> int:
        """Put a message into the queue, and wake the clusters that wait once the transaction has committed."""
        key = super().enqueue(task)
        database = _postgresql()
        if database is not None:
            with database.cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, '')", [self._channel])
        return int(key)

    def dequeue(self) -> list[tuple[int, str]] | None:
        """Return the next messages with their ids; None where none has come within a second."""
        database = _postgresql()
        if database is None:
            return super().dequeue()  # type: ignore[no-any-return]
        self.get_connection()  # closes one that is too old
        self._listen(database)
        if found := self._take():
            return found
        # All of them: while they are read nobody else may use the connection.
        woken = list(database.connection.notifies(timeout=WAIT_SECONDS, stop_after=1))
        return self._take() if woken else None

    def _take(self) -> list[tuple[int, str]] | None:
        pause, Conf.POLL = Conf.POLL, 0  # its parent sleeps where the queue is empty
        try:
            return super().dequeue()  # type: ignore[no-any-return]
        finally:
            Conf.POLL = pause

    def _listen(self, database: BaseDatabaseWrapper) -> None:
        database.ensure_connection()
        if self._listens_on is not database.connection:
            with database.cursor() as cursor:
                cursor.execute(f'LISTEN "{self._channel}"')
            self._listens_on = database.connection

    @property
    def _channel(self) -> str:
        return f"tallyman-{self.list_key or Conf.CLUSTER_NAME}"


def _postgresql() -> BaseDatabaseWrapper | None:
    database = connections[Conf.ORM]
    return database if database.vendor == "postgresql" else None

"""What ends a job's work before its time."""

from __future__ import annotations

from datetime import datetime

from django.db import InterfaceError, OperationalError

from console.i18n.message_codes import ExplainedError, Message


class JobFailure(ExplainedError):
    """The work cannot be done. ``retry`` asks for one second try later."""


class Interrupted(Exception):
    """The work must stop for a reason that is no failure of its own. Let it pass; ``work()`` decides what follows."""


class Cancelled(Interrupted):
    """A person asked for it."""


class Draining(Interrupted):
    """The worker is going down; the job goes back to the queue."""


class LeaseLost(Interrupted):
    """The job is no longer this worker's: nothing it writes counts any more."""


class Postponed(Interrupted):
    """The work goes on later: not before ``until``, because of ``reason``."""

    def __init__(self, until: datetime, reason: Message) -> None:
        super().__init__(reason)
        self.until, self.reason = until, reason


def is_database_error(error: BaseException) -> bool:
    """Whether the database did not do what it was asked, so that the same work may succeed later.

    True for a lost or refused connection, a restart, a lock that was not had in time, a deadlock or a statement that
    was cancelled, also where one of these is the cause or the context of ``error`` (a transaction that it has broken).
    """
    chain: BaseException | None = error
    while chain is not None:
        if isinstance(chain, OperationalError | InterfaceError):
            return True
        chain = chain.__cause__ or chain.__context__
    return False

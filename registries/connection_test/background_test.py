"""Connection tests that a page watches: done by a thread of the web server, step by step into a row.

They wait for no worker, so that a test answers while long syncs run, and before the first worker is started. What was
typed stays in the memory of the thread: no credential of a form not saved is ever stored.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import asdict
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from console import visibility
from console.i18n.message_codes import Message
from console.models import User
from registries.connection_test import messages
from registries.connection_test.diagnose import ConnectionStage, ConnectionStep, StepResult, diagnose
from registries.models import ConnectionTest, Registry
from registries.models.connection_test import LOST_AFTER, MAX_TEST_DURATION, TEST_RETENTION
from registries.oci.errors import TimedOut

log = logging.getLogger(__name__)

MAX_TESTS_PER_MINUTE = 10  # tests that one person may start
MAX_TESTS_PER_USER = 3  # tests of one person at a time, so that slow registries leave places to others
MAX_CONCURRENT_TESTS = 8  # tests that one process of the web server does

_slots = threading.BoundedSemaphore(MAX_CONCURRENT_TESTS)


class TooManyTestsError(Exception):
    """A test that may not start now; ``reason`` says why, for a person."""

    def __init__(self, reason: Message) -> None:
        super().__init__(reason)
        self.reason = reason


def start_connection_test(*, registry: Registry, user: User, saved: bool) -> ConnectionTest:
    """Start a test of ``registry`` as it is in memory, and return the row that shows how far it is.

    ``saved`` says that this is what is stored: then the outcome is recorded on the registry. Raises TooManyTestsError.
    """
    now = timezone.now()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two requests at once count each other
        ConnectionTest.objects.filter(started_at__lt=now - TEST_RETENTION).delete()
        if (
            ConnectionTest.objects.filter(user=user, started_at__gt=now - timedelta(minutes=1)).count()
            >= MAX_TESTS_PER_MINUTE
        ):
            raise TooManyTestsError(messages.TOO_MANY_TESTS_A_MINUTE(n=MAX_TESTS_PER_MINUTE))
        under_way = ConnectionTest.objects.filter(
            user=user, ended_at=None, started_at__gt=now - MAX_TEST_DURATION - LOST_AFTER
        )
        if under_way.count() >= MAX_TESTS_PER_USER:
            raise TooManyTestsError(messages.TOO_MANY_OF_YOUR_TESTS(n=MAX_TESTS_PER_USER))
        if not _slots.acquire(blocking=False):
            raise TooManyTestsError(messages.TOO_MANY_TESTS())
        _slots.release()  # taken by the thread, which there is only if all this is committed
        known = registry if registry.pk else None
        test = ConnectionTest.objects.create(user=user, registry=known, saved=saved)
        run = visibility.carried(_run)  # it sees what this person sees
        transaction.on_commit(threading.Thread(target=run, args=(test, registry), daemon=True).start)
    return test


def steps_of(test: ConnectionTest) -> list[ConnectionStep]:
    """Return the steps that ``test`` has done so far; a last failed one where it was broken off."""
    steps = [
        ConnectionStep(**{**each, "stage": ConnectionStage(each["stage"]), "result": StepResult(each["result"])})
        for each in test.steps
    ]
    if test.lost:
        steps.append(_aborted_step(steps, messages.TEST_INTERRUPTED(), messages.TEST_AGAIN()))
    return steps


def _run(test: ConnectionTest, registry: Registry) -> None:
    """In a thread: do the test."""
    with _slots:
        _diagnose_into_row(test, registry)


def _diagnose_into_row(test: ConnectionTest, registry: Registry) -> None:
    deadline = time.monotonic() + MAX_TEST_DURATION.total_seconds()

    def check() -> None:
        if time.monotonic() > deadline:
            raise TimedOut(
                messages.TOOK_TOO_LONG(n=int(MAX_TEST_DURATION.total_seconds())),
                messages.TEST_AGAIN_LATER(),
            )

    steps: list[ConnectionStep] = []

    def report(step: ConnectionStep) -> None:
        steps.append(step)
        ConnectionTest.objects.filter(pk=test.pk).update(steps=[asdict(each) for each in steps])

    try:
        diagnose(registry, check=check, report=report, record=test.saved)
    except Exception:  # an error of ours must not leave the page waiting
        log.exception("Connection test %s", test.pk)
        reason = messages.UNKNOWN_ERROR()
        steps.append(_aborted_step(steps, reason, messages.LOG_HAS_CAUSE()))
    finally:
        try:
            ended = {"steps": [asdict(each) for each in steps], "ended_at": timezone.now()}
            ConnectionTest.objects.filter(pk=test.pk).update(**ended)
        finally:
            connection.close()


def _aborted_step(steps: list[ConnectionStep], reason: Message, remedy: Message) -> ConnectionStep:
    """Return the failed step that ends ``steps`` before their time."""
    done = {step.stage for step in steps}
    stage = next((stage for stage in ConnectionStage if stage not in done), ConnectionStage.BLOB)
    return ConnectionStep(stage, StepResult.FAILED, reason=reason, remedy=remedy)

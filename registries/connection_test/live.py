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
from django.utils.translation import gettext as _

from console.models import User
from registries.connection_test.diagnose import Result, Stage, Step, diagnose
from registries.models import ConnectionTest, Registry
from registries.models.connection_test import LIFE, LONGEST, LOST
from registries.oci.errors import TimedOut

log = logging.getLogger(__name__)

PER_MINUTE = 10  # tests that one person may start
OF_ONE_PERSON = 3  # tests of one person at a time, so that slow registries leave places to others
AT_ONCE = 8  # tests that one process of the web server does

_places = threading.BoundedSemaphore(AT_ONCE)


class NotNowError(Exception):
    """A test that may not start now; the message says why, for a person."""


def begin(*, registry: Registry, user: User, saved: bool) -> ConnectionTest:
    """Start a test of ``registry`` as it is in memory, and return the row that shows how far it is.

    ``saved`` says that this is what is stored: then the outcome is recorded on the registry. Raises NotNowError.
    """
    now = timezone.now()
    with transaction.atomic():
        User.objects.select_for_update().get(pk=user.pk)  # two requests at once count each other
        ConnectionTest.objects.filter(started_at__lt=now - LIFE).delete()
        if ConnectionTest.objects.filter(user=user, started_at__gt=now - timedelta(minutes=1)).count() >= PER_MINUTE:
            raise NotNowError(_("%(n)d tests in a minute are enough. Try again in a moment.") % {"n": PER_MINUTE})
        under_way = ConnectionTest.objects.filter(user=user, ended_at=None, started_at__gt=now - LONGEST - LOST)
        if under_way.count() >= OF_ONE_PERSON:
            raise NotNowError(
                _("%(n)d of your tests are running. Try again when one has ended.") % {"n": OF_ONE_PERSON}
            )
        if not _places.acquire(blocking=False):
            raise NotNowError(_("Several tests are running. Try again when they have ended."))
        _places.release()  # taken by the thread, which there is only if all this is committed
        known = registry if registry.pk else None
        test = ConnectionTest.objects.create(user=user, registry=known, saved=saved)
        transaction.on_commit(threading.Thread(target=_run, args=(test, registry), daemon=True).start)
    return test


def steps_of(test: ConnectionTest) -> list[Step]:
    """Return the steps that ``test`` has done so far; a last failed one where it was broken off."""
    steps = [Step(**{**each, "stage": Stage(each["stage"]), "result": Result(each["result"])}) for each in test.steps]
    if test.lost:
        steps.append(_broken_off(steps, _("The test was broken off: the console was restarted."), _("Test again.")))
    return steps


def _run(test: ConnectionTest, registry: Registry) -> None:
    """In a thread: do the test."""
    with _places:
        _do(test, registry)


def _do(test: ConnectionTest, registry: Registry) -> None:
    deadline = time.monotonic() + LONGEST.total_seconds()

    def check() -> None:
        if time.monotonic() > deadline:
            raise TimedOut(
                _("This took longer than %(n)d seconds.") % {"n": LONGEST.total_seconds()},
                _("The registry may be overloaded, or limit the rate of requests. Test again later."),
            )

    steps: list[Step] = []

    def show(step: Step) -> None:
        steps.append(step)
        ConnectionTest.objects.filter(pk=test.pk).update(steps=[asdict(each) for each in steps])

    try:
        diagnose(registry, check=check, show=show, keep=test.saved)
    except Exception:  # an error of ours must not leave the page waiting
        log.exception("Connection test %s", test.pk)
        reason = _("An error that the console does not know stopped the test.")
        steps.append(_broken_off(steps, reason, _("The log of the console has the cause.")))
    finally:
        try:
            ended = {"steps": [asdict(each) for each in steps], "ended_at": timezone.now()}
            ConnectionTest.objects.filter(pk=test.pk).update(**ended)
        finally:
            connection.close()


def _broken_off(steps: list[Step], reason: str, remedy: str) -> Step:
    """Return the failed step that ends ``steps`` before their time."""
    done = {step.stage for step in steps}
    stage = next((stage for stage in Stage if stage not in done), Stage.BLOB)
    return Step(stage, Result.FAILED, reason=reason, remedy=remedy)

"""What somebody can do who writes into the queue but does not know the key: nothing runs, and nothing is unpickled."""

from __future__ import annotations

import os
import pickle
import queue
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core import signing
from django_q import core_signing
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.pusher import pusher
from django_q.signing import PickleSerializer, SignedPackage

from console.jobs.broker import enqueue
from console.jobs.models import State
from console.jobs.tasks import health_probe
from console.models import HealthProbe, JobEvent

PAST = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db(transaction=True)


class Planted:
    """Runs a command when it is unpickled, as such attacks do."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._marker}",)


def push() -> list[Any]:
    """Let django-q2 take the next message from the broker; return what it would give to a worker."""
    found: queue.Queue[Any] = queue.Queue()
    once = threading.Event()
    once.set()
    pusher(found, once, get_broker())
    return [found.get() for _number in range(found.qsize())]


def signed(value: object, *, key: str = Conf.SECRET_KEY, salt: str = Conf.PREFIX) -> str:
    return str(core_signing.dumps(value, key=key, salt=salt, serializer=PickleSerializer))


def forged(marker: Path) -> dict[str, str]:
    task = {"id": "1", "name": "x", "func": "os.system", "args": (f"touch {marker}",), "kwargs": {}, "planted": None}
    bare = signing.b64_encode(pickle.dumps(Planted(marker))).decode()
    good = signed({**task, "args": ("true",)})
    text, stamp, seal = good.rsplit(":", 2)
    return {
        "nothing": "",
        "noise": "\x00\xff not base64 :::",
        "a pickle without a seal": bare,
        "a pickle with an empty seal": f"{bare}::",
        "a pickle under the seal of another message": f"{bare}:{stamp}:{seal}",
        "a pickle under another key": signed(Planted(marker), key="x" * 60),
        "a pickle sealed for another purpose": signed(Planted(marker), salt="another.salt"),
        "a compressed pickle": f".{bare}:{stamp}:{seal}",
        "a true message with one letter changed": f"{'A' if text[:1] != 'A' else 'B'}{text[1:]}:{stamp}:{seal}",
        "a true message with another time": f"{text}:{'1' + stamp[1:]}x:{seal}",
        "a call of something else under another key": signed(task, key="django-insecure"),
    }


@pytest.mark.parametrize("name", forged(Path("/")))
def test_a_forged_message_is_dropped_unread(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    OrmQ.objects.create(key=get_broker().list_key, payload=forged(marker)[name], lock=PAST)
    assert push() == []
    assert not marker.exists()
    assert not OrmQ.objects.exists(), "it is thrown away, so that it blocks nothing"


def test_a_true_message_behind_a_forged_one_still_gets_through(tmp_path: Path) -> None:
    OrmQ.objects.create(key=get_broker().list_key, payload=forged(tmp_path / "m")["noise"], lock=PAST)
    enqueue(HealthProbe.objects.create())
    pushed = push() + push()
    assert [each["func"] for each in pushed] == ["console.jobs.tasks.health_probe"]


def test_the_planted_pickle_would_run_if_it_were_read(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Planted(marker)))
    assert marker.exists()
    assert SignedPackage.loads(signed({"a": 1})) == {"a": 1}


def test_a_message_that_is_replayed_does_nothing_again() -> None:
    job = HealthProbe.objects.create()
    enqueue(job)
    (message,) = push()
    for _time in range(3):
        health_probe(*message["args"])
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.SUCCEEDED, 1)
    assert JobEvent.objects.filter(job_id=job.pk, kind="canary", to_state=State.SUCCEEDED).count() == 1

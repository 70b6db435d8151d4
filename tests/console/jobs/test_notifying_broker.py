"""The queue in PostgreSQL: a message wakes the cluster that waits for it, and none is missed."""

from __future__ import annotations

import pytest

from tests.console.jobs.conftest import RealWorker, RestartableServer

pytestmark = [pytest.mark.slow]

WAITER = """
import queue, threading
from django.db import connection
from django_q.brokers import get_broker
from django_q.models import OrmQ
from console.jobs import notifying_broker

notifying_broker.WAIT_SECONDS = {wait}
found = []
looks = queue.Queue()

class Broker(notifying_broker.NotifyingBroker):
    def _take(self):
        got = super()._take()
        looks.put(got)
        return got

def wait():
    broker = Broker(list_key="scan")
    for _ in range(2):
        found.append(broker.dequeue())
        connection.close()  # as Django does once a minute
    connection.close()

thread = threading.Thread(target=wait, daemon=True)
thread.start()
"""


def test_a_message_wakes_who_waits_for_it_also_on_a_new_connection(
    real_worker: RealWorker, postgres_server: RestartableServer
) -> None:
    answer = real_worker.shell(
        WAITER.format(wait=90)
        + """
for text in ("first", "second"):
    assert looks.get(timeout=30) is None
    get_broker("quick").enqueue("of another cluster")
    get_broker("scan").enqueue(text)
    assert looks.get(timeout=30)[0][1] == text
thread.join(30)
print([payload for messages in found for _key, payload in messages])
"""
    )
    assert answer == "['first', 'second']"


def test_a_message_that_nobody_was_told_of_is_found_all_the_same(
    real_worker: RealWorker, postgres_server: RestartableServer
) -> None:
    answer = real_worker.shell(
        WAITER.format(wait=0.2)
        + """
thread.join(30)
from django.utils import timezone
OrmQ.objects.create(key="scan", payload="untold", lock=timezone.now())
broker = get_broker("scan")
print(type(broker).__name__, found, broker.dequeue()[0][1], broker.dequeue())
"""
    )
    assert answer == "NotifyingBroker [None, None] untold None"

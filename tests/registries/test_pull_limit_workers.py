"""Four workers at once and fifty images an hour: never a fifty-first, and none lost. The test moves the time."""

from __future__ import annotations

import heapq
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from console import visibility
from registries import pull_limit
from registries.models import Registry

WORKERS, AN_HOUR, IMAGES = 4, 50, 170
START = datetime(2026, 11, 23, 0, tzinfo=UTC)


class Queue:
    """Images that wait until a time, and a clock that jumps to the next of them when no worker has anything to do."""

    def __init__(self) -> None:
        self.now = START
        self.waiting = [(START, number) for number in range(IMAGES)]
        self.working = 0
        self.granted: list[tuple[datetime, int]] = []
        self.turned_away = 0
        self.changed = threading.Condition()

    def take(self) -> tuple[datetime, int] | None:
        """The time and an image that is due; None when all are done."""
        with self.changed:
            while True:
                if self.waiting and self.waiting[0][0] <= self.now:
                    self.working += 1
                    return self.now, heapq.heappop(self.waiting)[1]
                if not self.working:
                    if not self.waiting:
                        self.changed.notify_all()
                        return None
                    self.now = max(self.now, self.waiting[0][0])
                    self.changed.notify_all()
                    continue
                self.changed.wait(timeout=10)

    def done(self, now: datetime, image: int, until: datetime | None) -> None:
        """Note that ``image`` was granted at ``now``, or waits until ``until``."""
        with self.changed:
            self.working -= 1
            if until is None:
                self.granted.append((now, image))
            else:
                self.turned_away += 1
                heapq.heappush(self.waiting, (until, image))
            self.changed.notify_all()


@pytest.mark.django_db(transaction=True)
def test_four_workers_never_pull_a_fifty_first_image_in_an_hour_and_lose_none() -> None:
    registry = Registry.objects.create(name="limited", address="https://registry.example", limit=AN_HOUR)
    queue = Queue()
    failures: list[BaseException] = []

    def work() -> None:
        try:
            while (turn := queue.take()) is not None:
                now, image = turn
                with queue.changed:
                    waiting = sum(until > now for until, _image in queue.waiting)
                until = pull_limit.take_unit(
                    registry_id=registry.pk, image_id=f"sha256:{image:064x}", now=now, waiting=waiting
                )
                queue.done(now, image, until)
        except BaseException as error:
            failures.append(error)
            raise
        finally:
            connection.close()

    workers = [threading.Thread(target=visibility.carried(work), daemon=True) for _ in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=100)
    assert not failures
    assert not any(worker.is_alive() for worker in workers)
    assert sorted(image for _now, image in queue.granted) == list(range(IMAGES))
    times = sorted(now for now, _image in queue.granted)
    fullest = max(sum(start <= each < start + timedelta(hours=1) for each in times) for start in times)
    assert fullest == AN_HOUR
    assert times[-1] - times[0] == timedelta(hours=3)
    assert queue.turned_away < 3 * IMAGES

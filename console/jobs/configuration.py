"""The safe configuration of django-q2, each value for a measured defect (quality bars, section 1)."""

from __future__ import annotations

from math import ceil
from typing import Any

TIMEOUT = 4200  # seconds; our own deadlines end work long before


def retry_seconds(*, timeout: int, queue_limit: int, workers: int) -> int:
    """Return the broker's redelivery time that no healthy cluster can exceed.

    A cluster prefetches ``queue_limit + 1`` tasks whose broker lock already ticks while they wait behind others.
    """
    return timeout * (1 + ceil((queue_limit + 1) / workers)) + 60


def clusters(*, redis_url: str, quick_workers: int, scan_workers: int) -> dict[str, Any]:
    """Return ``Q_CLUSTER``: the cluster ``quick`` (sync, export, tick) and beside it ``scan``, so neither starves."""

    def one(name: str, workers: int) -> dict[str, Any]:
        return {
            "name": name,
            "workers": workers,
            "queue_limit": 1,
            "bulk": 1,
            "timeout": TIMEOUT,
            "retry": retry_seconds(timeout=TIMEOUT, queue_limit=1, workers=workers),
            "max_attempts": 1,
            "ack_failures": True,
            "catch_up": False,
            "recycle": 50,
            "max_rss": 600_000,
            "guard_cycle": 0.5,
            "poll": 1.0,
            "save_limit": 200,
            "label": "Queue",
        }

    quick = one("quick", quick_workers)
    quick["ALT_CLUSTERS"] = {"scan": one("scan", scan_workers)}
    broker: dict[str, Any] = {"redis": redis_url} if redis_url else {"orm": "default"}
    return quick | broker

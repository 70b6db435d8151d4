"""The times of the job rules, and the safe configuration of django-q2: each value answers a measured defect of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any
from urllib.parse import parse_qs, urlsplit

TASK_TIMEOUT_SECONDS = (
    5400  # seconds; our own deadlines end work before, also that of a job which was taken late beside others
)
QUEUE_LIMIT = 1  # messages that a cluster fetches ahead of its workers; 0 would mean no limit
LEAST_WORKERS = 2  # of a cluster: one for a kind that has slots, and one that no slot can take


@dataclass(frozen=True)
class JobTimes:
    """Seconds. Tests shorten them; ``lease`` must outlast several heartbeats."""

    poll: float = 1.0  # a running job looks for a cancel request
    heartbeat: float = 15.0
    lease: float = 60.0
    hint_again: float = 60.0  # a queued job's last hint is taken for lost
    retry: float = 60.0  # the pause before the one second try
    chain: float = 60.0  # so long a worker with a place takes one job after the other, before the queue hears of it
    soon: float = 5.0  # so long a worker with a place waits for a job whose time has not come yet
    settle: float = 40.0  # so long a result is kept for a database that does not answer
    tick: float = 30.0  # the worker's own round of the reaper
    canary: float = 60.0
    silence: float = 180.0  # a cluster that shows no life for so long is started anew
    stop: float = 30.0  # clusters may take so long to stop


def retry_seconds(*, timeout: int, queue_limit: int, workers: int) -> int:
    """Return the broker's redelivery time that no healthy cluster can exceed.

    A cluster prefetches ``queue_limit + 1`` tasks whose broker lock already ticks while they wait behind others.
    """
    return timeout * (1 + ceil((queue_limit + 1) / workers)) + 60


def q_cluster_settings(*, redis_url: str) -> dict[str, Any]:
    """Return ``Q_CLUSTER``: ``quick`` (all kinds but scans, and the tick) and ``scan``, so neither starves.

    How many workers each has follows from the kinds of jobs, which are registered later: run_cluster() sets it.
    """

    def one(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "workers": LEAST_WORKERS,
            "queue_limit": QUEUE_LIMIT,
            "bulk": 1,
            "timeout": TASK_TIMEOUT_SECONDS,
            "retry": retry_seconds(timeout=TASK_TIMEOUT_SECONDS, queue_limit=QUEUE_LIMIT, workers=LEAST_WORKERS),
            "max_attempts": 1,
            "ack_failures": True,
            "catch_up": False,
            "recycle": 50,
            "max_rss": 600_000,
            "guard_cycle": 0.5,
            "poll": 0.3,
            "save_limit": 200,
            "label": "Queue",
        }

    quick = one("quick")
    quick["ALT_CLUSTERS"] = {"scan": one("scan")}
    broker: dict[str, Any] = (
        {"redis": _with_socket_timeouts(redis_url)}
        if redis_url
        else {"orm": "default", "broker_class": "console.jobs.notifying_broker.NotifyingBroker"}
    )
    return quick | broker


def _with_socket_timeouts(redis_url: str) -> str:
    """Return ``redis_url`` with time limits: a Redis that is silent must not hold up the pages."""
    if "socket_timeout" in parse_qs(urlsplit(redis_url).query):
        return redis_url
    return f"{redis_url}{'&' if urlsplit(redis_url).query else '?'}socket_timeout=5&socket_connect_timeout=5"

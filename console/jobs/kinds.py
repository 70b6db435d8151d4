"""The kinds of jobs that the apps have registered: what does them, and how many at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Literal

from console.extension_points import ExtensionPoint
from console.jobs.models import Job


@dataclass(frozen=True, kw_only=True)
class JobKind:
    """How jobs of ``model`` are done; its ``kind`` is the name.

    Of a kind with ``slots`` so many processes of this machine are at work at once, each on ``at_once`` jobs: mostly
    they wait. A cluster has processes for all slots of its kinds and one more, so that no kind can take those of
    another. In the cluster ``quick`` that one is for what lasts a moment (ticks, firings of schedules, canaries); of a
    kind that is ``manual_first`` it takes the jobs that a person waits for, while all slots are taken.
    """

    model: type[Job]
    run: Callable[[int], None]  # what django-q2 calls with the id of a job: a function of a module
    cluster: Literal["quick", "scan"]
    slots: int | None = None
    at_once: int = 1
    manual_first: bool = False
    gate: Callable[[], bool] | None = None  # says before each job whether this machine may take it
    prepare: Callable[[], None] | None = None  # the cluster calls it once, before its workers are forked

    @property
    def name(self) -> str:
        """What rows, messages and log lines call it."""
        return self.model.kind


JOB_KINDS: ExtensionPoint[JobKind] = ExtensionPoint("kind of job")


def register(kind: JobKind) -> None:
    """Have workers do the jobs of ``kind``. Raises ImproperlyConfigured if its name is taken."""
    JOB_KINDS.register(kind.name, kind)


def get(name: str) -> JobKind:
    """Return the kind of that name. Raises KeyError where there is none."""
    return JOB_KINDS[name]


def kinds() -> Collection[JobKind]:
    """Return all kinds."""
    return JOB_KINDS.values()


def worker_count(cluster: str) -> int:
    """Return how many workers ``cluster`` has: one for each slot of its kinds, and one that no slot can take.

    Of a kind of which a worker does several at once there are twice as many as slots: a worker hands its slot on
    while its last jobs end. Where one is kept for manual jobs, it is that one which takes the slot meanwhile.
    """
    found = [kind for kind in kinds() if kind.cluster == cluster]
    twice = [kind for kind in found if kind.at_once > 1 and not kind.manual_first]
    return sum(kind.slots or 0 for kind in (*found, *twice)) + 1

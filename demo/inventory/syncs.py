"""The records of syncs of a made-up inventory."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from django.db.models import Count

from console.i18n.message_codes import NOTHING
from console.jobs.models import State
from registries.models import Registry, SyncRun
from registries.oci import messages


def add_syncs(registry: Registry, *, last: datetime, rng: random.Random) -> None:
    """Add a sync of ``registry`` for each of the last nights; the last one ended ``last`` and found what is there."""
    held = registry.repository_set.aggregate(tags=Count("tags"), repositories=Count("pk", distinct=True))
    tags, runs = held["tags"], []
    for day in range(31):
        at = last - timedelta(days=day, minutes=rng.randrange(40) if day else 0)
        began = at - timedelta(seconds=40)
        failed = day > 0 and rng.random() < 0.03
        new = 0 if failed else min(tags, rng.randrange(1 + tags // 200))
        run = SyncRun(
            registry=registry,
            trigger=SyncRun.Trigger.NIGHTLY,
            state=State.FAILED if failed else State.SUCCEEDED,
            started_at=began,
            ended_at=at,
            repositories=held["repositories"],
            tags=tags,
            tags_new=new,
            complete=not failed,
            reason=messages.NO_RESPONSE_IN_TIME() if failed else NOTHING,
            remedy=messages.CHECK_FIREWALLS_AND_PROXIES() if failed else NOTHING,
        )
        runs.append((run, began - timedelta(seconds=5)))
        tags -= new
    for run, asked in reversed(runs):
        run.save()
        SyncRun.objects.filter(pk=run.pk).update(created_at=asked)
    registry.record_sync(runs[0][0])

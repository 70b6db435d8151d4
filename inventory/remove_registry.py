"""Removing a registry: its repositories and tags, and the images and findings that no other registry holds."""

from __future__ import annotations

from datetime import timedelta

from console.db.clock import database_now
from console.jobs.broker import request_cancel
from console.jobs.job_run import JobRun
from console.jobs.models import State
from inventory import messages
from inventory.models import Repository, Tag
from inventory.sync.prune import delete_registry_content, delete_repositories, prune
from registries.models import Removal, SyncRun

SYNC_STOP_PAUSE = timedelta(seconds=5)
BATCH_REPOSITORIES = 20  # repositories in one transaction


def remove_registry(run: JobRun[Removal]) -> None:
    """Do the removal ``run``, in small steps that may be taken up again. A sync in progress is cancelled first."""
    registry = run.job.registry
    if registry is not None:
        syncs = SyncRun.objects.filter(registry=registry, state__in=State.active())
        for sync in syncs:
            request_cancel(sync)
        if syncs.all().exists():  # a queued one has ended already
            run.postpone(until=database_now() + SYNC_STOP_PAUSE, reason=messages.WAITS_FOR_SYNC())
        total = Tag.objects.filter(registry=registry).count()
        gone = 0
        while keys := list(
            Repository.objects.filter(registry=registry).values_list("pk", flat=True)[:BATCH_REPOSITORIES]
        ):
            run.check()
            gone += delete_repositories(keys)
            run.progress(messages.REMOVING_IMAGES(), gone, max(total, gone))
        run.progress(messages.CLEANING_UP())
        delete_registry_content(registry.pk, check=run.check)
        registry.delete()
    run.progress(messages.CLEANING_UP())
    prune(check=run.check)

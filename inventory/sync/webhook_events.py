"""Looking again at what a registry has reported as pushed or deleted."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from console.db.clock import database_now
from console.jobs.errors import JobFailure
from console.jobs.job_run import JobRun
from console.jobs.models import State
from inventory.content.image_config import read_config, record_configs_of_registry
from inventory.content.manifest_store import ManifestFact, existing_manifests, store_manifests
from inventory.models import Repository, Tag
from inventory.sync import messages
from inventory.sync.missing import MissingTags
from inventory.sync.name_hashes import NameHashes
from inventory.sync.resolve import fetch_manifest
from inventory.sync.sync_registry import sync_repository
from inventory.sync.tags import ObservedTag, SyncStats, record_tags
from registries.clients import RegistryClient, open_client
from registries.login_guard import already_refused, note_refusal
from registries.models import PushEvent, Registry, SyncRun
from registries.models.push_event import ALL_TAGS
from registries.oci.classify import tag_is_artifact
from registries.oci.configs import ImageConfig
from registries.oci.errors import (
    AccessDenied,
    CredentialsRefused,
    MalformedResponse,
    NotFound,
    RegistryError,
)
from registries.sync_requests.start import start_sync

TAG_DEADLINE_SECONDS = 60.0  # that looking at single tags may take
SLOW_AFTER_SECONDS = 20.0  # after which its registry counts as slow: then those get half of the places
REPOSITORY_DEADLINE_SECONDS = 300.0  # that looking at all tags of a repository may take
SYNC_PAUSE = timedelta(seconds=30)  # between looks whether a sync has ended


@dataclass(frozen=True)
class EventResult:
    """What a look has brought: tags that are new or point elsewhere, and the other events that it serves."""

    changed: list[Tag] = field(default_factory=list)
    served: list[PushEvent] = field(default_factory=list)


def process_event(run: JobRun[PushEvent]) -> EventResult:
    """Bring the inventory up to date with what ``run`` reports, and with what else waits for the same repository.

    A tag is asked for by HEAD and its manifest only if the registry has not given it yet; a deletion leads to a new
    listing of its repository. Raises a RegistryError, or JobFailure where nothing of the reported name is there.
    """
    event = run.job
    registry = event.registry
    if registry.credentials_refused:
        raise already_refused()
    if not event.repository:
        _start_registry_sync(run)
        return EventResult()
    everything, coalesced, began = event.tag == ALL_TAGS, event.coalesced(), time.monotonic()
    seconds = REPOSITORY_DEADLINE_SECONDS if everything else TAG_DEADLINE_SECONDS
    run.set_deadline(
        seconds,
        reason=messages.PUSH_TOOK_TOO_LONG(n=seconds),
        remedy=messages.NEXT_SYNC_READS_ALL(),
    )
    try:
        with open_client(registry, check=run.check) as client:
            if everything:
                return EventResult(_sync_repository_of(run, client), coalesced)
            return _process_tags(run, client, coalesced)
    except CredentialsRefused as error:
        note_refusal(registry, error)
        raise
    finally:
        if not everything and time.monotonic() - began > SLOW_AFTER_SECONDS:
            registry.mark_slow()


def _start_registry_sync(run: JobRun[PushEvent]) -> None:
    """Start a sync of the whole registry, once the one that is at work has ended."""
    registry = run.job.registry
    if start_sync(registries=[registry], trigger=SyncRun.Trigger.EVENT).already_active:
        active = SyncRun.objects.filter(registry=registry, state__in=State.active())
        if active.exclude(state=State.QUEUED, attempt=0).exists():
            reason = messages.SYNC_RUNNING()
            run.postpone(until=database_now() + SYNC_PAUSE, reason=reason)


def _sync_repository_of(run: JobRun[PushEvent], client: RegistryClient) -> list[Tag]:
    """Bring one repository up to date as a sync does; return its tags that are new or point elsewhere."""
    registry, began = run.job.registry, _since(run.job) or timezone.now()
    requested = set(client.repositories()) if client.fixed else None
    for name in run.job.names:
        if (requested is not None and name not in requested) or not client.includes_repository(name):
            continue
        existing = Repository.objects.filter(registry=registry, name=name)
        if existing.exists() or next(client.tags(name), None) is not None:
            sync_repository(run, client, name)
            return list(Tag.objects.filter(_appeared(began), repository__in=existing))
    return []


def _process_tags(run: JobRun[PushEvent], client: RegistryClient, coalesced: list[PushEvent]) -> EventResult:
    """Look at the tags of ``run`` and of those ``coalesced``; of these, one that fails is left to itself.

    What was found before that is kept: another attempt would not find it new.
    """
    event, result = run.job, EventResult()
    result.changed.extend(_process_one(event, client))
    for each in coalesced:
        if each.tag == ALL_TAGS:
            continue
        try:
            run.check()
            result.changed.extend(_process_one(each, client))
        except (JobFailure, AccessDenied, NotFound, MalformedResponse):
            continue
        except RegistryError:  # the registry as a whole: the others ask it anew
            break
        result.served.append(each)
    return result


def _appeared(since: datetime) -> Q:
    return Q(first_seen__gte=since) | Q(changed_at__gte=since)


def _since(event: PushEvent) -> datetime | None:
    """Return since when what is new counts for an event whose work begins again: what an earlier attempt has written
    is not new to this one. None where there was none."""
    return event.created_at if event.attempt > 1 else None


def _process_one(event: PushEvent, client: RegistryClient) -> list[Tag]:
    if not event.tag:
        _relist(event.registry, client, event.names)
        return []
    if tag_is_artifact(event.tag):
        return []
    return _resolve_tag(event, client)


def _resolve_tag(event: PushEvent, client: RegistryClient) -> list[Tag]:
    names, tag = [name for name in event.names if client.includes_tag(name, event.tag)], event.tag
    if not names:
        return []  # pushed to where nobody wants to see it here
    requested = set(client.repositories()) if client.fixed else None
    for name in names:
        if requested is not None and name not in requested:
            continue
        try:
            digest = str(client.head(name, tag).digest)
        except NotFound:
            continue
        return _store(event, client, name=name, digest=digest)
    if requested is not None and not requested & set(names):
        return []  # pushed to a repository that nobody wants to see here
    raise JobFailure(
        messages.PUSHED_TAG_MISSING(name=names[0], tag=tag),
        messages.SYNC_UNLESS_DELETED(),
        retry=True,  # a listing may lag behind its event by some seconds
    )


def _store(event: PushEvent, client: RegistryClient, *, name: str, digest: str) -> list[Tag]:
    registry, tag, since = event.registry, event.tag, _since(event)
    existing = existing_manifests([digest], registry_id=registry.pk)
    facts = [] if existing else [fetch_manifest(client, repository=name, digest=digest)]
    configs = _configs(registry, client, name, facts)
    for _try in range(3):
        stats = SyncStats()
        try:
            with transaction.atomic():
                repository, _new = Repository.objects.get_or_create(registry=registry, name=name)
                observed = ObservedTag(
                    repository_id=repository.pk,
                    address=f"{registry.host}/{name}",
                    repository=name,
                    name=tag,
                    digest=digest,
                )
                existing = existing_manifests([digest], registry_id=registry.pk)
                found = existing | store_manifests(facts, registry_id=registry.pk)
                record_tags([observed], registry_id=registry.pk, manifests=found, stats=stats)
                record_configs_of_registry(configs, registry_id=registry.pk)
        except IntegrityError:
            continue  # a sync is writing the same rows
        stored = Tag.objects.filter(repository=repository, name=tag)
        if stats.tags_new + stats.tags_changed:
            return list(stored)
        return list(stored.filter(_appeared(since))) if since else []
    raise JobFailure(messages.SYNC_CHANGED_ROWS(), messages.SYNC_READS_PUSH(), retry=True)


def _configs(
    registry: Registry, client: RegistryClient, name: str, facts: list[ManifestFact]
) -> dict[str, ImageConfig]:
    """Ask for the config of a new image, unless that would count against an hourly limit: the scan reads it then."""
    if registry.limit is not None:
        return {}
    found: dict[str, ImageConfig] = {}
    for fact in facts:
        config = (fact.default or fact).config
        if config is not None:
            try:
                found[str(config.digest)] = read_config(client.blob_bytes(name, config))
            except RegistryError:
                continue  # the scan will tell
    return found


def _relist(registry: Registry, client: RegistryClient, names: list[str]) -> None:
    """List a repository anew and remove the tags that it no longer has; a list that is empty is not believed yet."""
    client.ping()  # a listing without the right credentials may be empty, and would say nothing
    missing = MissingTags(registry.pk, timezone.now(), client.includes_tag)
    for repository in Repository.objects.filter(registry=registry, name__in=names):
        try:
            listed = NameHashes(ref.name for ref in client.tags(repository.name))
        except NotFound:
            listed = NameHashes()
        missing.note({repository.pk: listed})
        # The registry has reported the deletion itself: whatever the share of these tags is.
        missing.settle(before=None, unlisted=(), repositories=Repository.objects.filter(pk=repository.pk))

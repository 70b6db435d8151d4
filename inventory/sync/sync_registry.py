"""One sync of one registry: what it lists becomes rows, what is gone from a complete listing goes.

Threads list, and ask for digests and manifests; the main thread writes what they bring, in batches, while they go on.
Nothing is held for all tags at once: of a few repositories the tags they list, of the registry the names of its
repositories. A sync that is broken off goes on where it stopped: repositories it has read whole are not read again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import NoReturn

from django.db import IntegrityError, transaction
from django.utils import timezone

from console.db.batches import batched
from console.db.clock import database_now, to_database_time
from console.i18n.message_codes import NOTHING, Message, sentences
from console.jobs.errors import JobFailure
from console.jobs.job_run import JobRun
from inventory.content.image_config import read_config, record_configs_of_registry
from inventory.content.manifest_store import ManifestFact, existing_manifests, store_manifests
from inventory.models import Image, Manifest, Repository, Tag
from inventory.sync import messages
from inventory.sync.fetch_pool import FetchPool
from inventory.sync.lister import LOCAL_ERRORS, RegistryLister, TagListing, TagLookup
from inventory.sync.missing import MissingTags
from inventory.sync.prune import delete_repositories, prune
from inventory.sync.resolve import fetch_manifest, unreadable_manifest
from inventory.sync.tags import ObservedTag, SyncStats, record_tags
from registries.clients import RegistryClient, open_client
from registries.connectors.base import TagRef
from registries.connectors.list_rights import nothing_visible
from registries.login_guard import already_refused, note_refusal
from registries.models import PushEvent, Registry, SyncRun
from registries.oci.configs import ImageConfig
from registries.oci.errors import CredentialsRefused, NotFound, RateLimited, RegistryError
from registries.oci.manifests import Descriptor

THREADS_PER_REGISTRY = 4  # requests to one registry at a time
BATCH_TAGS = 300  # tags written in one transaction
MANY_TAGS = 50  # tags of a repository that do not vanish all at once on the word of an empty list:
SAMPLED_TAGS = 3  # so many of them are asked for
MAX_REPOSITORIES_PER_DIGEST = 3  # for one digest, where the first does not give it
MAX_CONFIG_BYTES = 256 * 1024  # bytes of a config that a sync reads; larger ones are left to the scan
YIELD_AFTER_SECONDS = 1200  # after which a sync makes way and goes on in its next turn
YIELD_GRACE_SECONDS = 60.0  # after that it makes way also in the middle of a repository, which is read anew then
MAX_SYNC_SECONDS = 24 * 3600.0  # after which a sync ends, however often it has made way
YIELD_CHECK_SECONDS = 2.0  # between looks whether others wait for the place of this sync
YIELD_PAUSE = timedelta(seconds=30)  # until one that has left its place may have another
MAX_RATE_LIMIT_PAUSE = timedelta(minutes=15)  # that a registry's rate limit may ask for


def sync_registry(run: JobRun[SyncRun]) -> None:
    """Do the sync ``run``, and end it.

    Raises JobFailure or a RegistryError where nothing could be read or the reading broke off; what was read till then
    is kept, and nothing is removed.
    """
    registry = run.job.registry
    if registry.credentials_refused:
        raise already_refused()
    try:
        check = _YieldingCheck(run)
        with (
            FetchPool(threads=THREADS_PER_REGISTRY, check=check) as pool,
            open_client(registry, check=pool.raise_if_stopped) as client,
        ):
            run.progress(messages.CONNECTING())
            _prove_credentials(registry, pool, client)
            _Sync(run, pool, client).do()
    except CredentialsRefused as error:
        note_refusal(registry, error)
        raise
    except RateLimited as error:
        if error.retry_at is None or error.retry_at > timezone.now() + MAX_RATE_LIMIT_PAUSE:
            raise
        run.postpone(until=to_database_time(error.retry_at), reason=error.reason)


class _YieldingCheck:
    """The ``check`` of a sync: it leaves its place where it has had one for long and others wait."""

    def __init__(self, run: JobRun[SyncRun]) -> None:
        self._run = run
        self._next_check_at = time.monotonic() + YIELD_CHECK_SECONDS
        self._overdue_at = time.monotonic() + max(YIELD_AFTER_SECONDS, 0) + YIELD_GRACE_SECONDS
        spent = (database_now() - run.job.created_at).total_seconds()
        run.set_deadline(
            MAX_SYNC_SECONDS - spent,
            reason=messages.TOOK_TOO_LONG(n=MAX_SYNC_SECONDS // 3600),
            remedy=messages.ENTER_FIXED_LIST(),
        )

    def __call__(self) -> None:
        self._run.check()
        if time.monotonic() > self._overdue_at:
            _yield_slot(self._run)
        if time.monotonic() < self._next_check_at:
            return
        self._next_check_at = time.monotonic() + YIELD_CHECK_SECONDS
        if self._run.job.should_yield():
            reason = messages.OTHERS_GO_FIRST()
            self._run.postpone(until=database_now() + YIELD_PAUSE, reason=reason)


def _yield_slot(run: JobRun[SyncRun]) -> NoReturn:
    run.postpone(until=database_now(), reason=messages.CONTINUES())


def sync_repository(run: JobRun[PushEvent], client: RegistryClient, name: str) -> None:
    """Bring the repository ``name`` up to date, as a sync of its registry does. Raises RegistryError."""
    with FetchPool(threads=THREADS_PER_REGISTRY, check=run.check) as pool:
        _OneRepository(run.job.registry, pool, client, name).do()


def _prove_credentials(registry: Registry, pool: FetchPool, client: RegistryClient) -> None:
    """Ask the registry for something that wrong credentials do not get; keep what that shows."""
    try:
        pool.call(client.ping)
    except CredentialsRefused:
        raise  # recorded wherever it comes up
    except RegistryError as error:
        registry.record_connection(state=Registry.Connection.FAILED, reason=error.reason, remedy=error.remedy)
        raise
    registry.record_connection(state=Registry.Connection.CONNECTED)


class _Sync:
    def __init__(self, run: JobRun[SyncRun], pool: FetchPool, client: RegistryClient) -> None:
        self.run, self.pool, self.client = run, pool, client
        self.registry = run.job.registry
        # A sync that goes on after a break counts on; see RegistryLister.errors_of for what is counted when.
        self.stats = SyncStats(**{name: getattr(run.job, name) for name in asdict(SyncStats())})
        self.lister = RegistryLister(
            self.registry, pool=pool, client=client, since=run.job.created_at, stats=self.stats
        )
        self.missing = MissingTags(
            self.registry.pk, run.job.created_at, client.includes_tag, confirmed=run.job.confirm_missing
        )
        self.expected = _expected_tags(run.job)
        self.forget_unlisted = client.fixed or run.job.forget_unlisted
        self.delivered_by: dict[str, str] = {}  # of the batch at hand: repositories by the digests that they gave
        self.yield_at = time.monotonic() + YIELD_AFTER_SECONDS

    def do(self) -> None:
        self._show()
        for batch in batched(self._read(), BATCH_TAGS):
            self._write([each for each in batch if isinstance(each, ObservedTag)])
            self._note_unlisted([each for each in batch if isinstance(each, TagListing)])
            ended = any(isinstance(each, TagListing) for each in batch)
            if time.monotonic() > self.yield_at or (ended and not self.run.has_successor()):
                self._show(messages.YIELDING())
                _yield_slot(self.run)
        self._stop_if_broken()
        self._finish()

    def _read(self) -> Iterator[ObservedTag | TagListing]:
        for each in self.lister.tags(ask_unlisted=not self.forget_unlisted):
            self._show()
            yield each

    def _write(self, observed: Sequence[ObservedTag]) -> None:
        """Write tags, having asked for the manifests that this registry has not given yet."""
        for _try in range(3):
            self.delivered_by = {}
            facts = list(self._new_manifests(observed, first=_try == 0))
            configs = self._configs(facts)
            stats, not_images = SyncStats(), Counter[int]()
            try:
                with transaction.atomic():
                    manifests = self._existing(observed) | store_manifests(facts, registry_id=self.registry.pk)
                    record_tags(
                        [tag for tag in observed if tag.digest in manifests],
                        registry_id=self.registry.pk,
                        manifests=manifests,
                        stats=stats,
                        not_images=not_images,
                    )
                    record_configs_of_registry(configs, registry_id=self.registry.pk)
            except IntegrityError:
                continue  # another sync has just let go of something that this one takes up
            self.stats += stats
            self.lister.not_images_of += not_images
            return
        raise JobFailure(messages.ROWS_CHANGED_REPEATEDLY(), messages.START_AGAIN())

    def _existing(self, observed: Iterable[ObservedTag]) -> dict[str, Manifest]:
        return existing_manifests((tag.digest for tag in observed), registry_id=self.registry.pk)

    def _new_manifests(self, observed: Sequence[ObservedTag], *, first: bool) -> Iterator[ManifestFact]:
        """Ask for the manifests of digests that are not known. What will stay unreadable is yielded as such.

        Only the ``first`` time are problems recorded, for they are the same ones later.
        """
        requested: dict[str, dict[int, ObservedTag]] = {}  # by digest and repository: one may give what another denies
        for tag in observed:
            by_repository = requested.setdefault(tag.digest, {})
            if len(by_repository) < MAX_REPOSITORIES_PER_DIGEST:
                by_repository.setdefault(tag.repository_id, tag)
        for digest in self._existing(observed):
            del requested[digest]
        for tag, response in self.pool.map(
            self._fetch, [list(by_repository.values()) for by_repository in requested.values()]
        ):
            if isinstance(response, ManifestFact):
                self.delivered_by[tag.digest] = tag.repository
                yield response
            elif response is not self.lister.broken:
                lasting = isinstance(response, LOCAL_ERRORS)
                if first:
                    name = f"{tag.repository}:{tag.name}"
                    self.lister.record_problem(tag.repository_id, name, response, shown=lasting)
                if lasting and self.lister.broken is None:
                    yield unreadable_manifest(tag.digest, response)

    def _fetch(self, tags: Sequence[ObservedTag]) -> tuple[ObservedTag, ManifestFact | RegistryError]:
        """In a thread: ask for the manifest of ``tags``, all of one digest and each of a repository of its own."""
        failed: list[tuple[ObservedTag, RegistryError]] = []
        for tag in tags:
            try:
                return tag, self.lister.broken or fetch_manifest(
                    self.client, repository=tag.repository, digest=tag.digest
                )
            except RegistryError as error:
                failed.append((tag, error))
                if not isinstance(error, LOCAL_ERRORS):
                    return tag, error
        return failed[0]

    def _configs(self, facts: Iterable[ManifestFact]) -> dict[str, ImageConfig]:
        """Ask for the configs of new images, by image ID. Under an hourly limit that is left to the scans."""
        if self.registry.limit is not None:
            return {}
        missing = {}
        for fact in facts:
            config = (fact.default or fact).config
            if config is not None and config.size <= MAX_CONFIG_BYTES:
                missing[str(config.digest)] = (self.delivered_by[fact.digest], config)
        own = Image.objects.filter(registry=self.registry, image_id__in=missing, config_known=True)
        for existing in own.values_list("image_id", flat=True).distinct():
            del missing[existing]
        return {image_id: config for image_id, config in self.pool.map(self._config, missing.values()) if config}

    def _config(self, where: tuple[str, Descriptor]) -> tuple[str, ImageConfig | None]:
        """In a thread: ask for a config. One that cannot be had is no trouble of the sync: the scan will tell."""
        repository, descriptor = where
        try:
            if self.lister.broken is None:
                return str(descriptor.digest), read_config(self.client.blob_bytes(repository, descriptor))
        except RegistryError:
            pass
        return str(descriptor.digest), None

    def _note_unlisted(self, listings: Sequence[TagListing]) -> None:
        """Take note of what is missing from ``listings`` that are complete, and settle what was counted of them."""
        if isinstance(self.lister.broken, CredentialsRefused):
            return
        whole = [each for each in listings if each.error is None]
        held = {each.repository.pk for each in whole if self._suspicious(each)}
        names = {each.repository.pk: each.names for each in whole}
        self.stats.tags_gone += self.missing.note(names, held=held)
        read = [each.repository.pk for each in whole if each.tag_error is None]
        read = [pk for pk in read if pk not in self.lister.unread and pk not in held]
        Repository.objects.filter(pk__in=read).update(synced_at=timezone.now())
        for pk in read:
            self.stats.errors += self.lister.errors_of.pop(pk, 0)
            self.stats.not_images += self.lister.not_images_of.pop(pk, 0)

    def _suspicious(self, listing: TagListing) -> bool:
        """Whether an empty list stands where there were many tags of which one, asked for, is not known to be gone."""
        if listing.names:
            return False
        existing = (
            Tag.objects.filter(repository=listing.repository).order_by("-pk").values_list("name", flat=True)[:MANY_TAGS]
        )
        if len(existing) < MANY_TAGS:
            return False
        samples = [TagLookup(listing, TagRef(name)) for name in existing[:SAMPLED_TAGS]]
        lookups = self.pool.map(self.lister.lookup, samples)
        if all(isinstance(lookup, TagLookup) and isinstance(lookup.error, NotFound) for lookup in lookups):
            return False
        self.lister.complete = False
        self.lister.errors_of[listing.repository.pk] += 1
        self.lister.problems.note(
            listing.repository.name,
            messages.SUDDENLY_NO_TAGS(),
            messages.CHECK_REGISTRY(),
        )
        return True

    def _stop_if_broken(self) -> None:
        error = self.lister.broken or self.lister.cut_off
        if error is None:
            return
        self._show(messages.INTERRUPTED())
        if isinstance(error, CredentialsRefused | RateLimited):
            raise error
        reason = messages.INTERRUPTED_AFTER(count=len(self.lister.listed), reason=error.reason)
        remedy = messages.READ_IS_SAVED()
        raise JobFailure(reason, sentences(error.remedy, remedy), retry=error.retry) from error

    def _finish(self) -> None:
        self._show(messages.CLEANING_UP())
        unwanted = self.lister.excluded | (self.lister.unlisted if self.forget_unlisted else set())
        for names in batched(sorted(unwanted), BATCH_TAGS):
            gone = Repository.objects.filter(registry=self.registry, name__in=names)
            self.stats.tags_gone += delete_repositories(list(gone.values_list("pk", flat=True)))
        self._settle_missing()
        prune(check=self.run.check)
        self.stats.repositories = len(self.lister.listed)
        self.stats.tags = Tag.objects.filter(registry=self.registry).count()
        self.stats.errors += self.lister.errors_of.total()
        self.stats.not_images += self.lister.not_images_of.total()
        reason, remedy = self.lister.problems.reason, self.lister.problems.remedy
        if self.stats.errors and not reason:  # of repositories that were read before a break
            reason, remedy = messages.COULD_NOT_BE_READ(count=self.stats.errors), messages.ROWS_SAY_WHY()
        if missing := self.stats.tags_missing:
            reason = sentences(messages.TAGS_MISSING(count=missing), reason)
            remedy = sentences(messages.CONFIRM_MISSING(), remedy)
        if (
            not self.lister.listed
            and not self.client.fixed
            and not self.registry.repository_patterns
            and not self.lister.problems
        ):
            nothing = nothing_visible(self.registry.type, anonymous=not self.registry.has_login)
            self.registry.record_connection(state=Registry.Connection.CONNECTED, reason=nothing[0], remedy=nothing[1])
            reason, remedy = sentences(nothing[0], reason), sentences(nothing[1], remedy)
        self._show(messages.CLEANING_UP(), complete=self.lister.complete and not missing)
        self.run.finish(reason=reason, remedy=remedy)

    def _settle_missing(self) -> None:
        """Let go of the missing tags whose loss is believed, and of repositories that are gone with all of theirs."""
        before = Tag.objects.filter(registry=self.registry).count() + self.stats.tags_gone - self.stats.tags_new
        self.stats.tags_gone += self.missing.settle(before=before, unlisted=self.lister.unlisted)
        rows = Repository.objects.filter(registry=self.registry, synced_at__gte=self.run.job.created_at, tags=None)
        gone = [pk for pk, name in rows.values_list("pk", "name") if name in self.lister.unlisted]
        delete_repositories(gone)
        self.stats.tags_missing = self.missing.rows().count()

    def _show(self, stage: Message = NOTHING, **more: object) -> None:
        done = self.lister.tags_done
        total = self.expected if self.expected > done else None
        self.run.progress(stage or messages.READING_TAGS(), done, total, **asdict(self.stats), **more)


class _OneRepository(_Sync):
    """The part of a sync that a push event asks for. What is read has no record of its own."""

    def __init__(self, registry: Registry, pool: FetchPool, client: RegistryClient, name: str) -> None:
        self.registry, self.pool, self.client, self.stats = registry, pool, client, SyncStats()
        self.lister = RegistryLister(
            registry, pool=pool, client=client, since=timezone.now(), stats=self.stats, repositories=(name,)
        )
        self.missing = MissingTags(registry.pk, self.lister.since, client.includes_tag)
        self.before = Tag.objects.filter(registry=registry).count()

    def do(self) -> None:
        for batch in batched(self.lister.tags(ask_unlisted=False), BATCH_TAGS):
            self._write([each for each in batch if isinstance(each, ObservedTag)])
            self._note_unlisted([each for each in batch if isinstance(each, TagListing)])
        if self.lister.broken is not None:
            raise self.lister.broken
        self.missing.settle(before=self.before, unlisted=())


def _expected_tags(run: SyncRun) -> int:
    """How many tags the last whole sync has seen: what to expect of this one."""
    last = SyncRun.objects.filter(registry=run.registry_id, complete=True).order_by("-pk").first()
    return last.tags + last.not_images if last else 0

"""One sync of one registry: what it lists becomes rows, what is gone from a complete listing goes.

Threads list, and ask for digests and manifests; the main thread writes what they bring, in batches, while they go on.
Nothing is held for all tags at once: of a few repositories the tags they list, of the registry the names of its
repositories. A sync that is broken off goes on where it stopped: repositories it has read whole are not read again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import NoReturn

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from console.db.clock import by_database, database_now
from console.jobs.errors import JobFailure
from console.jobs.runner import JobRun
from inventory.content.image_config import read_config, record_given_configs
from inventory.content.store import ManifestFact, known_manifests, store
from inventory.models import Image, Manifest, Repository, Tag
from inventory.sync.fetch_pool import Crew
from inventory.sync.lister import OF_ITS_OWN, Listing, Look, Reader, batches
from inventory.sync.prune import prune, retire_repositories, retire_tags
from inventory.sync.resolve import fetch, unreadable
from inventory.sync.tags import Seen, Tally, record_tags
from registries.clients import RegistryClient, open_client
from registries.connectors.base import TagRef
from registries.login_guard import note_refusal, refused
from registries.models import PushEvent, Registry, SyncRun
from registries.oci.configs import ImageConfig
from registries.oci.errors import CredentialsRefused, NotFound, RateLimited, RegistryError
from registries.oci.manifests import Descriptor

THREADS = 4  # requests to one registry at a time
BATCH = 300  # tags written in one transaction
MANY = 50  # tags of a repository that do not vanish all at once on the word of an empty list:
SAMPLE = 3  # so many of them are asked for
REPOSITORIES_ASKED = 3  # for one digest, where the first does not give it
CONFIG_LIMIT = 256 * 1024  # bytes of a config that a sync reads; larger ones are left to the scan
SHIFT_SECONDS = 1200  # after which a sync makes way and goes on in its next turn
LATE_SECONDS = 60.0  # after that it makes way also in the middle of a repository, which is read anew then
SYNC_SECONDS = 24 * 3600.0  # after which a sync ends, however often it has made way
SHARE_SECONDS = 2.0  # between looks whether others wait for the place of this sync
SHARE_PAUSE = timedelta(seconds=30)  # until one that has left its place may have another
LONGEST_PAUSE = timedelta(minutes=15)  # that a registry's rate limit may ask for


def sync_registry(run: JobRun[SyncRun]) -> None:
    """Do the sync ``run``, and end it.

    Raises JobFailure or a RegistryError where nothing could be read or the reading broke off; what was read till then
    is kept, and nothing is retired by what was not.
    """
    registry = run.job.registry
    if registry.credentials_refused:
        raise refused()
    try:
        check = _Sharing(run)
        with Crew(threads=THREADS, check=check) as crew, open_client(registry, check=crew.still_wanted) as client:
            run.progress(_("Connecting"))
            _prove_credentials(registry, crew, client)
            _Sync(run, crew, client).do()
    except CredentialsRefused as error:
        note_refusal(registry, error)
        raise
    except RateLimited as error:
        if error.retry_at is None or error.retry_at > timezone.now() + LONGEST_PAUSE:
            raise
        run.postpone(until=by_database(error.retry_at), reason=error.reason)


class _Sharing:
    """The ``check`` of a sync: it leaves its place where it has had one for long and others wait."""

    def __init__(self, run: JobRun[SyncRun]) -> None:
        self._run = run
        self._look_at = time.monotonic() + SHARE_SECONDS
        self._late_at = time.monotonic() + max(SHIFT_SECONDS, 0) + LATE_SECONDS
        spent = (database_now() - run.job.created_at).total_seconds()
        run.set_deadline(
            SYNC_SECONDS - spent,
            reason=_("The sync did not end within %(n)d hours.") % {"n": SYNC_SECONDS // 3600},
            remedy=_("What was read is kept. Enter the repositories that matter as a fixed list, and sync again."),
        )

    def __call__(self) -> None:
        self._run.check()
        if time.monotonic() > self._late_at:
            _make_way(self._run)
        if time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + SHARE_SECONDS
        if self._run.job.keeps_others_out():
            reason = _("This sync takes long. Syncs of other registries go first; it goes on in a moment.")
            self._run.postpone(until=database_now() + SHARE_PAUSE, reason=reason)


def _make_way(run: JobRun[SyncRun]) -> NoReturn:
    run.postpone(until=database_now(), reason=_("The registry is large; the sync goes on in a moment."))


def sync_repository(run: JobRun[PushEvent], client: RegistryClient, name: str) -> None:
    """Bring the repository ``name`` up to date, as a sync of its registry does. Raises RegistryError."""
    with Crew(threads=THREADS, check=run.check) as crew:
        _OneRepository(run.job.registry, crew, client, name).do()


def _prove_credentials(registry: Registry, crew: Crew, client: RegistryClient) -> None:
    """Ask the registry for something that wrong credentials do not get; keep what that shows."""
    try:
        crew.call(client.ping)
    except CredentialsRefused:
        raise  # recorded wherever it comes up
    except RegistryError as error:
        registry.record_connection(state=Registry.Connection.FAILED, reason=error.reason, remedy=error.remedy)
        raise
    registry.record_connection(state=Registry.Connection.CONNECTED)


class _Sync:
    def __init__(self, run: JobRun[SyncRun], crew: Crew, client: RegistryClient) -> None:
        self.run, self.crew, self.client = run, crew, client
        self.registry = run.job.registry
        # A sync that goes on after a break counts on.
        self.tally = Tally(**{name: getattr(run.job, name) for name in asdict(Tally())})
        self.reader = Reader(self.registry, crew=crew, client=client, since=run.job.created_at, tally=self.tally)
        self.expected = _expected_tags(run.job)
        self.forget_unlisted = client.fixed or run.job.forget_unlisted
        self.given_by: dict[str, str] = {}  # of the batch at hand: repositories by the digests that they gave
        self.give_way_at = time.monotonic() + SHIFT_SECONDS

    def do(self) -> None:
        self._show()
        for batch in batches(self._read(), BATCH):
            self._write([each for each in batch if isinstance(each, Seen)])
            self._retire([each for each in batch if isinstance(each, Listing)])
            ended = any(isinstance(each, Listing) for each in batch)
            if time.monotonic() > self.give_way_at or (ended and not self.run.is_followed()):
                self._show(_("Making way for others"))
                _make_way(self.run)
        self._stop_if_broken()
        self._finish()

    def _read(self) -> Iterator[Seen | Listing]:
        for each in self.reader.tags(ask_unlisted=not self.forget_unlisted):
            self._show()
            yield each

    def _write(self, seen: Sequence[Seen]) -> None:
        """Write tags, having asked for the manifests that this registry has not given yet."""
        for _try in range(3):
            self.given_by = {}
            facts = list(self._new_manifests(seen))
            configs = self._configs(facts)
            tally = Tally()
            try:
                with transaction.atomic():
                    manifests = self._known(seen) | store(facts, registry_id=self.registry.pk)
                    record_tags(
                        [tag for tag in seen if tag.digest in manifests],
                        registry_id=self.registry.pk,
                        manifests=manifests,
                        tally=tally,
                    )
                    record_given_configs(configs, registry_id=self.registry.pk)
            except IntegrityError:
                continue  # another sync has just let go of something that this one takes up
            self.tally += tally
            return
        raise JobFailure(
            _("Other syncs changed the same rows again and again."), _("Start this sync again when they have ended.")
        )

    def _known(self, seen: Iterable[Seen]) -> dict[str, Manifest]:
        return known_manifests((tag.digest for tag in seen), registry_id=self.registry.pk)

    def _new_manifests(self, seen: Sequence[Seen]) -> Iterator[ManifestFact]:
        """Ask for the manifests of digests that are not known. What will stay unreadable is yielded as such."""
        asked: dict[str, dict[int, Seen]] = {}  # by digest and repository: one may give what another denies
        for tag in seen:
            held = asked.setdefault(tag.digest, {})
            if len(held) < REPOSITORIES_ASKED:
                held.setdefault(tag.repository_id, tag)
        for digest in self._known(seen):
            del asked[digest]
        for tag, answer in self.crew.map(self._fetch, [list(held.values()) for held in asked.values()]):
            if isinstance(answer, ManifestFact):
                self.given_by[tag.digest] = tag.repository
                yield answer
            elif answer is not self.reader.broken:
                lasting = isinstance(answer, OF_ITS_OWN)
                self.reader.trouble(tag.repository_id, f"{tag.repository}:{tag.name}", answer, shown=lasting)
                if lasting and self.reader.broken is None:
                    yield unreadable(tag.digest, answer)

    def _fetch(self, tags: Sequence[Seen]) -> tuple[Seen, ManifestFact | RegistryError]:
        """In a thread: ask for the manifest of ``tags``, all of one digest and each of a repository of its own."""
        failed: list[tuple[Seen, RegistryError]] = []
        for tag in tags:
            try:
                return tag, self.reader.broken or fetch(self.client, repository=tag.repository, digest=tag.digest)
            except RegistryError as error:
                failed.append((tag, error))
                if not isinstance(error, OF_ITS_OWN):
                    return tag, error
        return failed[0]

    def _configs(self, facts: Iterable[ManifestFact]) -> dict[str, ImageConfig]:
        """Ask for the configs of new images, by image ID. Under an hourly limit that is left to the scans."""
        if self.registry.limit is not None:
            return {}
        wanted = {}
        for fact in facts:
            config = (fact.default or fact).config
            if config is not None and config.size <= CONFIG_LIMIT:
                wanted[str(config.digest)] = (self.given_by[fact.digest], config)
        own = Image.objects.filter(registry=self.registry, image_id__in=wanted, config_known=True)
        for known in own.values_list("image_id", flat=True).distinct():
            del wanted[known]
        return {image_id: config for image_id, config in self.crew.map(self._config, wanted.values()) if config}

    def _config(self, where: tuple[str, Descriptor]) -> tuple[str, ImageConfig | None]:
        """In a thread: ask for a config. One that cannot be had is no trouble of the sync: the scan will tell."""
        repository, descriptor = where
        try:
            if self.reader.broken is None:
                return str(descriptor.digest), read_config(self.client.blob_bytes(repository, descriptor))
        except RegistryError:
            pass
        return str(descriptor.digest), None

    def _retire(self, listings: Sequence[Listing]) -> None:
        """Let go of what is gone from ``listings`` that are complete."""
        if isinstance(self.reader.broken, CredentialsRefused):
            return
        whole = [each for each in listings if each.error is None and not self._suspicious(each)]
        self.tally.tags_gone += retire_tags({each.repository.pk: each.names for each in whole})
        read = [each.repository.pk for each in whole if each.tag_error is None]
        Repository.objects.filter(pk__in=read).update(synced_at=timezone.now())
        unlisted = self.reader.unlisted
        retire_repositories(
            [each.repository.pk for each in whole if not each.names and each.repository.name in unlisted]
        )

    def _suspicious(self, listing: Listing) -> bool:
        """Whether an empty list stands where there were many tags of which one, asked for, is not known to be gone."""
        if listing.names:
            return False
        known = Tag.objects.filter(repository=listing.repository).order_by("-pk").values_list("name", flat=True)[:MANY]
        if len(known) < MANY:
            return False
        samples = [Look(listing, TagRef(name)) for name in known[:SAMPLE]]
        looks = self.crew.map(self.reader.look, samples)
        if all(isinstance(look, Look) and isinstance(look.error, NotFound) for look in looks):
            return False
        self.reader.complete = False
        self.tally.errors += 1
        self.reader.troubles.note(
            listing.repository.name,
            _("The registry suddenly lists none of its tags, and yet holds them."),
            _("Look at the registry's own page and logs."),
        )
        return True

    def _stop_if_broken(self) -> None:
        error = self.reader.broken or self.reader.cut_off
        if error is None:
            return
        self._show(_("Broken off"))
        if isinstance(error, CredentialsRefused | RateLimited):
            raise error
        reason = _("The sync broke off after %(count)d repositories: %(reason)s") % {
            "count": len(self.reader.listed),
            "reason": error.reason,
        }
        remedy = _("What was read is kept, and nothing was removed for what was not.")
        raise JobFailure(reason, f"{error.remedy} {remedy}", retry=error.retry) from error

    def _finish(self) -> None:
        self._show(_("Tidying up"))
        if self.forget_unlisted:
            gone = Repository.objects.filter(registry=self.registry, name__in=self.reader.unlisted)
            self.tally.tags_gone += retire_repositories(list(gone.values_list("pk", flat=True)))
        prune(check=self.run.check)
        # Where the sync had breaks, some were counted twice.
        self.tally.repositories = len(self.reader.listed)
        self.tally.tags = Tag.objects.filter(registry=self.registry).count()
        self._show(_("Tidying up"), complete=self.reader.complete)
        self.run.finish(reason=self.reader.troubles.reason, remedy=self.reader.troubles.remedy)

    def _show(self, stage: str = "", **more: object) -> None:
        done = self.reader.looked_at
        total = self.expected if self.expected > done else None
        self.run.progress(stage or _("Reading tags"), done, total, **asdict(self.tally), **more)


class _OneRepository(_Sync):
    """The part of a sync that a push event asks for. What is read has no record of its own."""

    def __init__(self, registry: Registry, crew: Crew, client: RegistryClient, name: str) -> None:
        self.registry, self.crew, self.client, self.tally = registry, crew, client, Tally()
        self.reader = Reader(
            registry, crew=crew, client=client, since=timezone.now(), tally=self.tally, repositories=(name,)
        )

    def do(self) -> None:
        for batch in batches(self.reader.tags(ask_unlisted=False), BATCH):
            self._write([each for each in batch if isinstance(each, Seen)])
            self._retire([each for each in batch if isinstance(each, Listing)])
        if self.reader.broken is not None:
            raise self.reader.broken


def _expected_tags(run: SyncRun) -> int:
    """How many tags the last whole sync has seen: what to expect of this one."""
    last = SyncRun.objects.filter(registry=run.registry_id, complete=True).order_by("-pk").first()
    return last.tags + last.not_images if last else 0

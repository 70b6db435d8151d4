"""One sync of one registry: what it lists becomes rows, what is gone from a complete listing goes.

Threads list, and ask for digests and manifests; the main thread writes what they bring, in batches, while they go on.
Nothing is held for all tags at once: of a few repositories the tags they list, of the registry the names of its
repositories. A sync that is broken off goes on where it stopped: repositories it has read whole are not read again.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import TypeVar

from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from console.jobs.errors import JobFailure
from console.jobs.work import JobRun
from inventory.configs import record_configs
from inventory.content import ManifestFact, known_manifests, store
from inventory.crew import Crew
from inventory.models import Image, Repository, Tag
from inventory.record import Seen, Tally, record_tags
from inventory.resolve import fetch, unreadable
from inventory.retire import prune, retire_repositories, retire_tags
from inventory.troubles import Troubles
from registries.clients import RegistryClient, open_client
from registries.connectors.base import TagRef
from registries.models import Registry, SyncRun
from registries.oci.configs import ImageConfig, parse_config
from registries.oci.errors import (
    AccessDenied,
    CredentialsRefused,
    DigestMismatch,
    MalformedAnswer,
    NotFound,
    RateLimited,
    RegistryError,
    Truncated,
)
from registries.oci.kinds import tag_is_artifact
from registries.oci.manifests import Descriptor
from registries.oci.names import is_repository
from registries.oci.strict_json import text

T = TypeVar("T")

THREADS = 4  # requests to one registry at a time
BATCH = 300  # tags written in one transaction
NAME_LIMIT = 300  # characters of the name of a repository or a tag
MANY = 50  # tags of a repository that do not vanish all at once on the word of an empty list;
SAMPLE = 3  # so many of them are asked for
PATIENCE = 5  # tags of a repository, repositories of a registry that may fail in a row
PROVE_AGAIN_SECONDS = 60  # between two proofs of the credentials after denials
SHIFT_SECONDS = 3600  # after which a sync makes way and goes on in its next turn
CONFIG_LIMIT = 256 * 1024  # bytes of a config that a sync reads; larger ones are left to the scan
# These say something of one repository or one content, and nothing of the registry as a whole.
OF_ITS_OWN = (AccessDenied, NotFound, MalformedAnswer, DigestMismatch, Truncated)
LONGEST_PAUSE = timedelta(minutes=15)  # that a registry's rate limit may ask for


def sync_registry(run: JobRun[SyncRun]) -> None:
    """Do the sync ``run``, and end it.

    Raises JobFailure or a RegistryError where nothing could be read or the reading broke off; what was read till then
    is kept, and nothing is retired by what was not.
    """
    registry = run.job.registry
    if registry.credentials_refused:
        raise JobFailure(
            _("The registry refused these credentials, so they are not tried again: that could lock the account."),
            _("Edit the registry and type the password again, or test the connection."),
        )
    try:
        with Crew(threads=THREADS, check=run.check) as crew, open_client(registry, check=crew.still_wanted) as client:
            _Sync(run, crew, client).do()
    except CredentialsRefused as error:
        registry.record_connection(state=Registry.Connection.REFUSED, reason=error.reason, remedy=error.remedy)
        raise
    except RateLimited as error:
        if error.retry_at is None or error.retry_at > timezone.now() + LONGEST_PAUSE:
            raise
        run.postpone(until=error.retry_at, reason=error.reason)


@dataclass
class _Listing:
    """The tags of one repository as far as they were listed. ``names`` shrinks by what proves to be gone."""

    repository: Repository
    refs: Sequence[TagRef] = ()
    error: RegistryError | None = None
    names: set[str] = field(default_factory=set)
    failures: int = 0  # of its tags, in a row
    tag_error: RegistryError | None = None  # the last one of its tags


@dataclass(frozen=True)
class _Look:
    """One listed tag, with the digest it points to or the error that was answered in its place."""

    listing: _Listing
    ref: TagRef
    digest: str = ""
    error: RegistryError | None = None


class _Sync:
    def __init__(self, run: JobRun[SyncRun], crew: Crew, client: RegistryClient) -> None:
        self.run, self.crew, self.client = run, crew, client
        self.registry = run.job.registry
        # A sync that goes on after a break counts on.
        self.tally = Tally(**{name: getattr(run.job, name) for name in asdict(Tally())})
        self.expected = _expected_tags(run.job)
        self.troubles = Troubles()
        self.listed: set[str] = set()
        self.unlisted: set[str] = set()  # known from earlier, not listed any more
        self.failing: set[int] = set()  # repositories that failed since the last one that did not
        self.broken: RegistryError | None = None  # why the rest is not read
        self.complete = True
        self.done = 0  # tags looked at
        self.forget_unlisted = client.fixed or run.job.forget_unlisted
        self.prove_again_at = 0.0
        self.give_way_at = time.monotonic() + SHIFT_SECONDS

    def do(self) -> None:
        self.run.progress(_("Connecting"))
        self._prove_credentials()
        self._show()
        for batch in _batches(self._seen(), BATCH):
            self._write([each for each in batch if isinstance(each, Seen)])
            self._retire([each for each in batch if isinstance(each, _Listing)])
            self._show()
            if time.monotonic() > self.give_way_at:
                self.run.postpone(
                    until=timezone.now(), reason=_("The registry is large; the sync goes on in a moment.")
                )
        if self.broken is not None:
            raise self.broken
        self._finish()

    def _prove_credentials(self) -> None:
        """Ask the registry for something that wrong credentials do not get; keep what that shows."""
        try:
            self.crew.call(self.client.ping)
        except RegistryError as error:
            if not isinstance(error, CredentialsRefused):  # that is recorded wherever it comes up
                self.registry.record_connection(
                    state=Registry.Connection.FAILED, reason=error.reason, remedy=error.remedy
                )
            raise
        self.registry.record_connection(state=Registry.Connection.CONNECTED)

    # --- reading -------------------------------------------------------------------------------------------------
    def _seen(self) -> Iterator[Seen | _Listing]:
        """Yield all tags with their digests, and after those of a repository its listing."""
        for look in self.crew.map(self._look, self._looks(), ahead=64):
            if isinstance(look, _Listing):
                yield look
            elif look.error is None:
                look.listing.failures = 0
                self.failing.clear()
                yield _as_seen(look, self.registry.host)
            elif isinstance(look.error, NotFound):  # gone since it was listed
                look.listing.names.discard(look.ref.name)
            elif look.error is not self.broken:
                look.listing.failures += 1
                look.listing.tag_error = look.error
                repository = look.listing.repository
                self._trouble(repository.pk, f"{repository.name}:{look.ref.name}", look.error)
            self.done += 1
            self._show()

    def _look(self, look: _Look | _Listing) -> _Look | _Listing:
        """In a thread: ask where the tag points to, unless the listing has told or asking has become pointless."""
        if isinstance(look, _Listing):
            return look
        if look.ref.digest:
            return _Look(look.listing, look.ref, look.ref.digest)
        error = self.broken or (look.listing.tag_error if look.listing.failures >= PATIENCE else None)
        if error is not None:
            return _Look(look.listing, look.ref, error=error)
        try:
            head = self.client.head(look.listing.repository.name, look.ref.name)
        except RegistryError as answer:
            return _Look(look.listing, look.ref, error=answer)
        return _Look(look.listing, look.ref, str(head.digest))

    def _looks(self) -> Iterator[_Look | _Listing]:
        """Yield what is to be looked at: the tags of every repository, and after them its listing."""
        for listing in self.crew.map(self._list, self._repositories(), ahead=2 * THREADS):
            if listing.error is None:
                self.failing.clear()
            elif listing.error is not self.broken:
                self._trouble(listing.repository.pk, listing.repository.name, listing.error)
            for ref in listing.refs:
                if self.broken is not None:
                    return
                if not _storable(ref.name):
                    self._unstorable(f"{listing.repository.name}:{ref.name}")
                elif tag_is_artifact(ref.name):
                    self.tally.not_images += 1
                    self.done += 1
                elif ref.name not in listing.names:
                    listing.names.add(ref.name)
                    yield _Look(listing, ref)
            listing.refs = ()
            if self.broken is None:
                yield listing

    def _list(self, repository: Repository) -> _Listing:
        """In a thread: list the tags of ``repository``."""
        refs: list[TagRef] = []
        try:
            if self.broken is not None:
                raise self.broken
            for ref in self.client.tags(repository.name):
                refs.append(ref)
                self.crew.still_wanted()
        except RegistryError as error:
            return _Listing(repository, refs, error)
        return _Listing(repository, refs)

    def _repositories(self) -> Iterator[Repository]:
        """Yield all repositories that are listed, and then those that were: their own word decides if they are gone."""
        read = set(
            Repository.objects.filter(registry=self.registry, synced_at__gte=self.run.job.created_at).values_list(
                "name", flat=True
            )
        )
        for names in _batches(self._names(), 100):
            wanted = [name for name in names if name not in read]
            self.tally.repositories += sum(name in self.listed for name in wanted)
            yield from self._rows(wanted)

    def _names(self) -> Iterator[str]:
        try:
            for name in self.crew.each(self.client.repositories()):
                if self.broken is not None:
                    return
                if name in self.listed:
                    continue
                if not _storable(name):
                    self._unstorable(name)
                    continue
                self.listed.add(name)
                yield name
        except RegistryError as error:
            self.broken = error
            return
        known = Repository.objects.filter(registry=self.registry).values_list("name", flat=True)
        self.unlisted = {name for name in known.iterator() if name not in self.listed}
        if not self.forget_unlisted:
            yield from sorted(self.unlisted)

    def _rows(self, names: Sequence[str]) -> Iterator[Repository]:
        Repository.objects.bulk_create(
            [Repository(registry=self.registry, name=name) for name in names if name not in self.unlisted],
            ignore_conflicts=True,
        )
        yield from Repository.objects.filter(registry=self.registry, name__in=names).order_by("name")

    # --- writing -------------------------------------------------------------------------------------------------
    def _write(self, seen: Sequence[Seen]) -> None:
        """Write tags, having asked for the manifests that nobody knows yet."""
        for _try in range(3):
            facts = list(self._new_manifests(seen))
            configs = self._configs(facts, seen)
            tally = Tally()
            try:
                with transaction.atomic():
                    manifests = known_manifests(tag.digest for tag in seen) | store(facts)
                    record_tags([tag for tag in seen if tag.digest in manifests], manifests=manifests, tally=tally)
                    keys = Image.objects.filter(image_id__in=configs).values_list("pk", "image_id")
                    record_configs({pk: configs[image_id] for pk, image_id in keys})
            except IntegrityError:
                continue  # another sync has just let go of something that this one takes up
            self.tally += tally
            return
        raise JobFailure(
            _("Other syncs changed the same rows again and again."), _("Start this sync again when they have ended.")
        )

    def _new_manifests(self, seen: Sequence[Seen]) -> Iterator[ManifestFact]:
        """Ask for the manifests of digests that are not known. What will stay unreadable is yielded as such."""
        first = {tag.digest: tag for tag in reversed(seen)}
        for digest in known_manifests(first):
            del first[digest]
        for tag, answer in self.crew.map(self._fetch, first.values()):
            if isinstance(answer, ManifestFact):
                yield answer
            elif answer is not self.broken:
                lasting = isinstance(answer, OF_ITS_OWN)
                self._trouble(tag.repository_id, f"{tag.repository}:{tag.name}", answer, shown=lasting)
                if lasting:
                    yield unreadable(tag.digest, answer)

    def _fetch(self, tag: Seen) -> tuple[Seen, ManifestFact | RegistryError]:
        """In a thread: ask for the manifest of ``tag``."""
        if self.broken is not None:
            return tag, self.broken
        try:
            return tag, fetch(self.client, repository=tag.repository, digest=tag.digest)
        except RegistryError as error:
            return tag, error

    def _configs(self, facts: Iterable[ManifestFact], seen: Sequence[Seen]) -> dict[str, ImageConfig]:
        """Ask for the configs of new images, by image ID. Under an hourly limit that is left to the scans."""
        if self.registry.limit is not None:
            return {}
        repositories = {tag.digest: tag.repository for tag in seen}
        wanted = {}
        for fact in facts:
            config = (fact.default or fact).config
            if config is not None and config.size <= CONFIG_LIMIT:
                wanted[str(config.digest)] = (repositories[fact.digest], config)
        for known in Image.objects.filter(image_id__in=wanted, config_known=True).values_list("image_id", flat=True):
            del wanted[known]
        return {image_id: config for image_id, config in self.crew.map(self._config, wanted.values()) if config}

    def _config(self, where: tuple[str, Descriptor]) -> tuple[str, ImageConfig | None]:
        """In a thread: ask for a config. One that cannot be had is no trouble of the sync: the scan will tell."""
        repository, descriptor = where
        try:
            if self.broken is None:
                return str(descriptor.digest), parse_config(self.client.blob_bytes(repository, descriptor))
        except RegistryError:
            pass
        return str(descriptor.digest), None

    def _retire(self, listings: Sequence[_Listing]) -> None:
        """Let go of what is gone from ``listings`` that are complete."""
        if isinstance(self.broken, CredentialsRefused):
            return
        whole = [each for each in listings if each.error is None and not self._suspicious(each)]
        self.tally.tags_gone += retire_tags({each.repository.pk: each.names for each in whole})
        read = [each.repository.pk for each in whole if each.tag_error is None]
        Repository.objects.filter(pk__in=read).update(synced_at=timezone.now())
        retire_repositories(
            [each.repository.pk for each in whole if not each.names and each.repository.name in self.unlisted]
        )

    def _suspicious(self, listing: _Listing) -> bool:
        """Whether an empty list stands where there were many tags of which one, asked for, is still there."""
        if listing.names:
            return False
        known = list(
            Tag.objects.filter(repository=listing.repository).order_by("-pk").values_list("name", flat=True)[:MANY]
        )
        if len(known) < MANY:
            return False
        for look in self.crew.map(self._look, [_Look(listing, TagRef(name)) for name in known[:SAMPLE]]):
            if not isinstance(look, _Look) or isinstance(look.error, NotFound):
                continue
            self.complete = False
            self.tally.errors += 1
            self.troubles.note(
                listing.repository.name,
                _("The registry suddenly lists none of its tags, and yet holds them."),
                _("Look at the registry's own page and logs."),
            )
            return True
        return False

    def _finish(self) -> None:
        self.run.progress(_("Tidying up"), self.done, self.done, **asdict(self.tally))
        if self.forget_unlisted:
            gone = Repository.objects.filter(registry=self.registry, name__in=self.unlisted)
            self.tally.tags_gone += retire_repositories(list(gone.values_list("pk", flat=True)))
        prune(check=self.run.check)
        self.tally.tags = Tag.objects.filter(repository__registry=self.registry).count()
        self.run.progress(_("Tidying up"), self.done, self.done, **asdict(self.tally), complete=self.complete)
        self.run.finish(reason=self.troubles.reason, remedy=self.troubles.remedy)

    def _show(self) -> None:
        total = self.expected if self.expected > self.done else None
        self.run.progress(_("Reading tags"), self.done, total, **asdict(self.tally))

    # --- troubles ------------------------------------------------------------------------------------------------
    def _trouble(self, repository_id: int, what: str, error: RegistryError, *, shown: bool = False) -> None:
        """Note that ``what`` could not be read (``shown``: it has a row that says so); see whether to go on at all."""
        self.tally.errors += 1
        self.troubles.add(what, error)
        self.complete = self.complete and shown
        if isinstance(error, AccessDenied):
            self._prove_again()
        if isinstance(error, OF_ITS_OWN):
            return
        self.failing.add(repository_id)
        if isinstance(error, CredentialsRefused | RateLimited) or len(self.failing) >= PATIENCE:
            self.broken = error

    def _prove_again(self) -> None:
        """See after a denial whether the credentials still hold: to go on with a changed password locks accounts."""
        if time.monotonic() < self.prove_again_at:
            return
        self.prove_again_at = time.monotonic() + PROVE_AGAIN_SECONDS
        try:
            self.crew.call(self.client.ping)
        except RegistryError as error:
            self.broken = error

    def _unstorable(self, name: str) -> None:
        self.tally.errors += 1
        self.troubles.note(
            text(name, 100),
            _("The name is longer than %(limit)d characters or holds control characters.") % {"limit": NAME_LIMIT},
            _("Rename it in the registry."),
        )


def _as_seen(look: _Look, host: str) -> Seen:
    repository = look.listing.repository
    return Seen(
        repository_id=repository.pk,
        address=f"{host}/{repository.name}",
        repository=repository.name,
        name=look.ref.name,
        digest=look.digest,
        size=look.ref.size,
        pushed_at=look.ref.pushed_at,
    )


def _storable(name: str) -> bool:
    return 0 < len(name) <= NAME_LIMIT and text(name) == name and is_repository(name)


def _expected_tags(run: SyncRun) -> int:
    """How many tags the last whole sync has seen: what to expect of this one."""
    last = SyncRun.objects.filter(registry=run.registry_id, complete=True).order_by("-pk").first()
    return last.tags + last.not_images if last else 0


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) >= size:
            yield batch
            batch = []
    if batch:
        yield batch

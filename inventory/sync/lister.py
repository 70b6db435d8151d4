"""Reading a registry for a sync: what it lists and where its tags point to, and what to do where it does not say.

Lists are read in parts, each used before the next but one is asked for: a list of millions takes no more memory than
one of thousands, but for eight bytes a name.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from console.db.batches import batched
from console.i18n.message_codes import Message
from inventory.models import Repository
from inventory.sync import messages
from inventory.sync.fetch_pool import FetchPool
from inventory.sync.name_hashes import NameHashes
from inventory.sync.problems import SyncProblems
from inventory.sync.tags import ObservedTag, SyncStats
from registries.clients import RegistryClient
from registries.connectors.base import TagRef
from registries.models import Registry
from registries.oci.classify import tag_is_artifact
from registries.oci.errors import (
    AccessDenied,
    CredentialsRefused,
    DigestMismatch,
    InvalidNames,
    ListingTooLong,
    MalformedResponse,
    NotFound,
    PartsUnreadable,
    RateLimited,
    RegistryError,
    Truncated,
)
from registries.oci.references import is_repository
from registries.oci.strict_json import text

MAX_NAME_CHARACTERS = 300  # characters of the name of a repository or a tag
TAGS_PER_PART = 1000  # tags of a list that are read before they are used
MAX_LONG_LISTS = 3  # so many that go on beyond their bounds end the reading of a registry
MAX_CONSECUTIVE_FAILURES = 5  # tags of a repository, repositories of a registry that may fail in a row
PROVE_AGAIN_SECONDS = 60  # between two proofs of the credentials after denials
# These say something of one repository or one content, and nothing of the registry as a whole.
LOCAL_ERRORS = (AccessDenied, NotFound, MalformedResponse, DigestMismatch, Truncated)


@dataclass
class TagListing:
    """The tags of one repository as far as they were listed."""

    repository: Repository
    rest: Iterator[TagRef]  # asks for page after page
    error: RegistryError | None = None  # why the list has no end
    invalid_names: InvalidNames | None = None  # it held more, which nobody can ask for
    ended: bool = False  # nothing more comes
    names: NameHashes = field(default_factory=NameHashes)  # all but those that prove to be gone
    failures: int = 0  # of its tags, in a row
    tag_error: RegistryError | None = None  # the last one of its tags
    absent_noted: bool = False  # that the registry lacks something that a person has typed


@dataclass(frozen=True)
class TagLookup:
    """One listed tag, with the digest it points to or the error that was answered in its place."""

    listing: TagListing
    ref: TagRef
    digest: str = ""
    error: RegistryError | None = None


class RegistryLister:
    """Reads ``registry`` by the threads of ``pool``; used by the main thread, which alone touches the database.

    ``broken`` is set once asking for more has become pointless; ``cut_off`` where the list of repositories has no
    proper end. ``complete`` tells whether everything that was listed could be read.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        pool: FetchPool,
        client: RegistryClient,
        since: datetime,
        stats: SyncStats,
        repositories: Iterable[str] | None = None,
    ) -> None:
        """``repositories`` are those to read, in place of all that the registry lists."""
        self.registry, self.pool, self.client, self.since, self.stats = registry, pool, client, since, stats
        self._requested_repositories = repositories
        self.problems = SyncProblems()
        self.complete = True
        self.broken: RegistryError | None = None
        self.cut_off: RegistryError | None = None
        self.tags_done = 0  # tags
        self.listed: set[str] = set()  # names of repositories
        self.unlisted: set[str] = set()  # known from earlier, not listed any more
        self.excluded: set[str] = set()  # known from earlier, and not wanted any more
        self.long_lists = 0  # of tags
        # Counted by the id of their repository (0: the registry's own lists) until that was read to its end. What was
        # not is read again, by this sync or where it goes on after a break, and is counted then.
        self.errors_of: Counter[int] = Counter()
        self.not_images_of: Counter[int] = Counter()
        self.unread: set[int] = set()  # repositories of which something has to be read again
        self._failing: set[int] = set()  # repositories that failed since the last one that did not
        self._prove_again_at = 0.0

    def tags(self, *, ask_unlisted: bool) -> Iterator[ObservedTag | TagListing]:
        """Yield all tags with their digests, and after those of a repository its listing.

        Repositories read whole at ``since`` or later are left out. With ``ask_unlisted`` those that are known and not
        listed any more are asked for too: their own word decides whether they are gone.
        """
        listings = self.pool.map(self._begin, self._repositories(ask_unlisted), ahead=8)
        for lookup in self.pool.map(self.lookup, self._lookups(listings), ahead=64):
            if isinstance(lookup, TagListing):
                if self.client.fixed and not lookup.names and lookup.error is None:
                    self._note_absent(lookup)
                self.stats.repositories += lookup.repository.name in self.listed
                yield lookup
                continue
            self.tags_done += 1
            if not isinstance(lookup.error, NotFound):  # that is gone since it was listed
                lookup.listing.names.add(lookup.ref.name)
            if lookup.error is None:
                lookup.listing.failures = 0
                self._failing.clear()
                yield _observed_tag(lookup, self.registry.host)
                continue
            if isinstance(lookup.error, NotFound):
                if self.client.fixed and self.client.names_tag(lookup.listing.repository.name, lookup.ref.name):
                    self._note_absent(lookup.listing, lookup.ref.name)
                continue
            lookup.listing.tag_error = lookup.error
            if lookup.error is not self.broken:
                lookup.listing.failures += 1
                repository = lookup.listing.repository
                self.record_problem(repository.pk, f"{repository.name}:{lookup.ref.name}", lookup.error)

    def lookup(self, lookup: TagLookup | TagListing) -> TagLookup | TagListing:
        """In a thread: ask where a tag points to, unless the listing has told or asking has become pointless."""
        if isinstance(lookup, TagListing):
            return lookup
        listing, ref = lookup.listing, lookup.ref
        if ref.digest:
            return TagLookup(listing, ref, ref.digest)
        error = self.broken or (listing.tag_error if listing.failures >= MAX_CONSECUTIVE_FAILURES else None)
        if error is not None:
            return TagLookup(listing, ref, error=error)
        try:
            return TagLookup(listing, ref, str(self.client.head(listing.repository.name, ref.name).digest))
        except RegistryError as request_error:
            return TagLookup(listing, ref, error=request_error)

    def record_problem(self, repository_id: int, what: str, error: RegistryError, *, shown: bool = False) -> None:
        """Note that ``what`` could not be read (``shown``: it has a row that says so); see whether to go on at all."""
        self.errors_of[repository_id] += 1
        self.problems.add(what, error)
        if not shown:
            self.complete = False
            self.unread.add(repository_id)
        if isinstance(error, AccessDenied):
            self._prove_again()
        if isinstance(error, LOCAL_ERRORS):
            return
        self._failing.add(repository_id)
        if isinstance(error, CredentialsRefused | RateLimited) or len(self._failing) >= MAX_CONSECUTIVE_FAILURES:
            self.broken = error

    # --- in order: names, repositories, listings, tags ----------------------------------------------------------------
    def _names(self, ask_unlisted: bool) -> Iterator[str]:
        requested, left_out = self._requested_repositories, tuple[str, ...]()
        try:
            for name in self.pool.each(self.client.repositories()) if requested is None else requested:
                if self.broken is not None or self.long_lists >= MAX_LONG_LISTS:
                    return
                if name in self.listed:
                    continue
                if not _storable(name):
                    self._record_skipped(name, _unstorable())
                    continue
                self.listed.add(name)
                yield name
        except ListingTooLong as error:
            self.complete = False
            self._record_skipped(messages.LIST_OF_REPOSITORIES(), error)
            return
        except InvalidNames as error:
            self._record_skipped(messages.LIST_OF_REPOSITORIES(), error)
        except PartsUnreadable as error:
            self.complete, left_out = False, tuple(f"{part}/" for part in error.parts)
            self._record_skipped(messages.LIST_OF_REPOSITORIES(), error)
        except RegistryError as error:
            self.cut_off = error
            return
        if requested is not None:
            return
        known = Repository.objects.filter(registry=self.registry).values_list("name", flat=True)
        unlisted = [name for name in known.iterator() if name not in self.listed]
        self.excluded = {name for name in unlisted if not self.client.includes_repository(name)}
        self.unlisted = {name for name in unlisted if name not in self.excluded and not name.startswith(left_out)}
        if ask_unlisted:
            yield from sorted(self.unlisted)

    def _repositories(self, ask_unlisted: bool) -> Iterator[Repository]:
        rows = Repository.objects.filter(registry=self.registry)
        for names in batched(self._names(ask_unlisted), 100):
            read = set(rows.filter(name__in=names, synced_at__gte=self.since).values_list("name", flat=True))
            requested = [name for name in names if name not in read]
            listed = [name for name in requested if name in self.listed]
            new = set(listed) - set(rows.filter(name__in=listed).values_list("name", flat=True))
            Repository.objects.bulk_create(
                [Repository(registry=self.registry, name=name) for name in sorted(new)], ignore_conflicts=True
            )
            yield from rows.filter(name__in=requested).order_by("name")

    def _begin(self, repository: Repository) -> tuple[TagListing, list[TagRef]]:
        """In a thread: begin to list the tags of ``repository``; return the first part, too."""
        listing = TagListing(repository, self.client.tags(repository.name))
        return listing, self._part(listing)

    def _part(self, listing: TagListing) -> list[TagRef]:
        """In a thread: return the next part of ``listing``, each name once."""
        refs: dict[str, TagRef] = {}
        try:
            if self.broken is not None:
                raise self.broken
            for ref in listing.rest:
                refs[ref.name] = ref
                self.pool.raise_if_stopped()
                if len(refs) >= TAGS_PER_PART:
                    return list(refs.values())
        except InvalidNames as error:
            listing.invalid_names = error
        except RegistryError as error:
            listing.error = error
        listing.ended = True
        return list(refs.values())

    def _lookups(self, listings: Iterable[tuple[TagListing, list[TagRef]]]) -> Iterator[TagLookup | TagListing]:
        for listing, first in listings:
            refs = first
            while True:
                if listing.ended:
                    self._note_end(listing)
                following = None if listing.ended else self.pool.submit(partial(self._part, listing))
                for ref in refs:
                    if self.broken is not None:
                        return
                    if not _storable(ref.name):
                        name = f"{listing.repository.name}:{ref.name}"
                        self._record_skipped(name, _unstorable(), repository_id=listing.repository.pk)
                    elif tag_is_artifact(ref.name):
                        self.not_images_of[listing.repository.pk] += 1
                        self.tags_done += 1
                    else:
                        yield TagLookup(listing, ref)
                if following is None:
                    break
                refs = self.pool.result(following)
            if self.broken is None:
                yield listing

    def _note_end(self, listing: TagListing) -> None:
        """Note how a list has ended."""
        if listing.error is None:
            self._failing.clear()
        elif listing.error is not self.broken:
            self.long_lists += isinstance(listing.error, ListingTooLong)
            self.record_problem(listing.repository.pk, listing.repository.name, listing.error)
        if listing.invalid_names is not None:
            name, invalid = listing.repository.name, listing.invalid_names
            self._record_skipped(name, invalid, repository_id=listing.repository.pk)

    def _note_absent(self, listing: TagListing, tag: str = "") -> None:
        """Note that the registry does not hold what a person has typed into the fixed list."""
        if not tag and listing.absent_noted:
            return
        listing.absent_noted = True
        self.errors_of[listing.repository.pk] += 1
        name = f"{listing.repository.name}:{tag}" if tag else listing.repository.name
        self.problems.note(name, messages.LISTED_NAME_MISSING(), messages.CORRECT_FIXED_LIST())

    def _prove_again(self) -> None:
        """See after a denial whether the credentials still hold: to go on with a changed password locks accounts."""
        if time.monotonic() < self._prove_again_at:
            return
        self._prove_again_at = time.monotonic() + PROVE_AGAIN_SECONDS
        try:
            self.pool.call(self.client.ping)
        except RegistryError as error:
            self.broken = error

    def _record_skipped(self, what: str, error: RegistryError, *, repository_id: int = 0) -> None:
        """Note names that cannot be had by any means. The rest of their list is whole."""
        self.errors_of[repository_id] += 1
        self.problems.add(what if isinstance(what, Message) else text(what, 100), error)


def _observed_tag(lookup: TagLookup, host: str) -> ObservedTag:
    repository = lookup.listing.repository
    return ObservedTag(
        repository_id=repository.pk,
        address=f"{host}/{repository.name}",
        repository=repository.name,
        name=lookup.ref.name,
        digest=lookup.digest,
        size=lookup.ref.size,
        pushed_at=lookup.ref.pushed_at,
    )


def _storable(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME_CHARACTERS and text(name) == name and is_repository(name)


def _unstorable() -> RegistryError:
    return MalformedResponse(
        messages.NAME_UNSTORABLE(limit=MAX_NAME_CHARACTERS),
        messages.RENAME_IT(),
    )

"""Tags that a complete listing lacks: gone where they are few, else kept until a later listing or a person confirms it.

A registry whose storage is not mounted lists nothing and says so with 200. What was known is worth more than that: the
tags stay, with all that was found in their images, and say since when they are missing.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet

from console.db.batches import batched
from inventory.models import Repository, Tag
from inventory.sync.name_hashes import NameHashes
from inventory.sync.prune import BATCH_ROWS, delete_tags, unlisted_tags

BELIEVED_SHARE = 0.1  # of the tags of a registry that may be gone at once
CONFIRMED_AFTER = timedelta(hours=1)  # so much later another listing without them confirms that tags are gone


@dataclass
class MissingTags:
    """What becomes of the tags of one registry that are not listed any more, in a sync that began at ``since``.

    ``is_chosen`` says whether the registry is asked for a tag (repository, name) at all: one that a person has excluded
    goes at once. With ``confirmed`` a person has said that what is missing is gone.
    """

    registry_id: int
    since: datetime
    is_chosen: Callable[[str, str], bool]
    confirmed: bool = False

    def note(self, listed: Mapping[int, NameHashes], *, held: Collection[int] = ()) -> int:
        """Take note of the tags of the repositories ``listed`` (id → all names) that are not among those names.

        Only for repositories whose listing has ended without an error. Of those in ``held`` the registry still holds
        tags that it does not list: they are kept whatever was confirmed. Returns how many tags were deleted.
        """
        gone, missing = array("q"), array("q")
        names = dict(Repository.objects.filter(pk__in=list(listed)).values_list("pk", "name"))
        for row in unlisted_tags(listed):
            long_ago = row.missing_since is not None and row.missing_since <= self.since - CONFIRMED_AFTER
            confirmed = (self.confirmed or long_ago) and row.repository_id not in held
            excluded = not self.is_chosen(names.get(row.repository_id, ""), row.name)
            (gone if confirmed or excluded else missing).append(row.pk)
        for batch in batched(missing, BATCH_ROWS):
            Tag.objects.filter(pk__in=batch, missing_since=None).update(missing_since=self.since)
        return delete_tags(gone)

    def settle(
        self, *, before: int | None, unlisted: Collection[str], repositories: QuerySet[Repository] | None = None
    ) -> int:
        """Delete what is missing where that is believed, and return how many tags that were.

        ``before`` is how many tags the registry had; None: any number may be gone. Not believed are the loss of more
        than a tenth of them, and that of all tags of a repository which the registry still lists: ``unlisted`` are
        those that it does not. ``repositories`` are those that were read; None: those that this sync has read.
        """
        read = Repository.objects.filter(registry=self.registry_id, synced_at__gte=self.since)
        missing = self.rows().filter(repository__in=repositories if repositories is not None else read)
        count = missing.count()
        if not count or (before is not None and count > before * BELIEVED_SHARE):
            return 0
        others = Tag.objects.filter(repository=OuterRef("repository"), missing_since=None)
        gone = array("q", missing.filter(Exists(others)).values_list("pk", flat=True))
        for names in batched(sorted(unlisted), BATCH_ROWS):
            emptied = missing.filter(repository__name__in=names).exclude(Exists(others))
            gone.extend(emptied.values_list("pk", flat=True))
        return delete_tags(gone)

    def rows(self) -> QuerySet[Tag]:
        """Return the tags of the registry that are missing."""
        return Tag.objects.filter(registry=self.registry_id, missing_since__isnull=False)

"""Selection: images that somebody is choosing on a page, kept here so that the page need not hold them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, QuerySet
from django.utils import timezone

from inventory.models import Tag

LIFE = timedelta(days=7)
ROWS = 1000  # written at a time


def in_batches(tags: QuerySet[Tag]) -> Iterator[list[int]]:
    """Yield the ids of ``tags``, so many at a time as are written at once; what is written may change ``tags``."""
    last = 0
    while ids := list(tags.filter(pk__gt=last).order_by("pk").values_list("pk", flat=True)[:ROWS]):
        yield ids
        last = ids[-1]


class Selection(models.Model):
    """The right one of two lists, before what it is for is started or saved; ``purpose`` says what that is.

    It goes a week after its last use.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=40)
    tags = models.ManyToManyField("inventory.Tag", blank=True, related_name="+")
    used_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "purpose"], name="selection_unique")]

    def __str__(self) -> str:
        return f"selection {self.pk} for {self.purpose}"

    def chosen(self) -> QuerySet[Tag]:
        """Return the tags that are in it."""
        return Tag.objects.filter(self._held())

    def others(self) -> QuerySet[Tag]:
        """Return the tags that are not."""
        return Tag.objects.filter(~self._held())

    def add(self, tags: QuerySet[Tag]) -> None:
        """Take ``tags`` in, whatever their number, some at a time."""
        through = Selection.tags.through
        for batch in in_batches(tags):
            rows = [through(selection_id=self.pk, tag_id=pk) for pk in batch]
            through._base_manager.bulk_create(rows, ignore_conflicts=True)
        self.save(update_fields=["used_at"])

    def remove(self, tags: QuerySet[Tag]) -> None:
        """Let go of ``tags``."""
        Selection.tags.through._base_manager.filter(selection=self, tag__in=tags.order_by().values("pk")).delete()
        self.save(update_fields=["used_at"])

    def replace(self, tags: QuerySet[Tag]) -> None:
        """Hold ``tags`` and nothing else."""
        self.tags.clear()
        self.add(tags)

    def _held(self) -> Exists:
        return Exists(Selection.tags.through._base_manager.filter(selection=self, tag=OuterRef("pk")))

    @classmethod
    def prune(cls) -> None:
        """Delete what nobody has used for a week."""
        cls.objects.filter(used_at__lt=timezone.now() - LIFE).delete()

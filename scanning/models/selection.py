"""Selection: images that somebody is choosing on a page, kept here so that the page need not hold them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import EmptyResultSet
from django.db import connection, models
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.utils import timezone

from console.visibility import Scope, ScopedManager
from inventory.models import Tag

SELECTION_LIFETIME = timedelta(days=7)


def add_tags(owner: models.Model, relation: str, tags: QuerySet[Tag]) -> None:
    """Add ``tags`` to the many-to-many field ``relation`` of ``owner`` in one statement, whatever their number."""
    field: Any = owner._meta.get_field(relation)
    try:
        sql, params = (
            tags.order_by().values_list(Value(owner.pk, models.BigIntegerField()), "pk").query.sql_with_params()
        )
    except EmptyResultSet:
        return
    quote = connection.ops.quote_name
    columns = f"{quote(field.m2m_column_name())}, {quote(field.m2m_reverse_name())}"
    into = f"INSERT INTO {quote(field.m2m_db_table())} ({columns})"
    with connection.cursor() as cursor:  # names are those of our models; values are parameters
        picked = f"SELECT * FROM ({sql}) AS picked WHERE true"  # noqa: S608  # nosec B608
        cursor.execute(f"{into} {picked} ON CONFLICT DO NOTHING", params)


class Selection(models.Model):
    """The right one of two lists, before what it is for is started or saved; ``purpose`` says what that is.

    It goes a week after its last use.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=40)
    tags = models.ManyToManyField("inventory.Tag", blank=True, related_name="+")
    used_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager["Selection"]()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "purpose"], name="selection_unique")]

    def __str__(self) -> str:
        return f"selection {self.pk} for {self.purpose}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Own ones."""
        return models.Q(owner__in=[scope.person])

    def chosen(self) -> QuerySet[Tag]:
        """Return the tags that are in it."""
        return Tag.objects.filter(self._held())

    def others(self) -> QuerySet[Tag]:
        """Return the tags that are not."""
        return Tag.objects.filter(~self._held())

    def add(self, tags: QuerySet[Tag]) -> None:
        """Take ``tags`` in, whatever their number."""
        add_tags(self, "tags", tags)
        self.save(update_fields=["used_at"])

    def remove(self, tags: QuerySet[Tag]) -> None:
        """Let go of ``tags``."""
        Selection.tags.through._base_manager.filter(selection=self, tag__in=tags.order_by().values("pk")).delete()
        self.save(update_fields=["used_at"])

    def replace(self, tags: QuerySet[Tag]) -> None:
        """Hold ``tags`` and nothing else. Rows are written only where that changes anything."""
        held = Selection.tags.through._base_manager.filter(selection=self)
        gone = held.exclude(tag__in=tags.order_by().values("pk"))
        if gone.exists() or tags.order_by().filter(~self._held()).exists():
            self.tags.clear()
            self.add(tags)
        else:
            self.save(update_fields=["used_at"])

    def _held(self) -> Exists:
        return Exists(Selection.tags.through._base_manager.filter(selection=self, tag=OuterRef("pk")))

    @classmethod
    def prune(cls) -> None:
        """Delete what nobody has used for a week."""
        cls.objects.filter(used_at__lt=timezone.now() - SELECTION_LIFETIME).delete()

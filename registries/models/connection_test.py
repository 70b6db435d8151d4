"""ConnectionTest: one test of a connection, as the page that waits for it sees it."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone

from console.i18n.fields import MessagesField
from console.visibility import Scope, ScopedManager

TEST_RETENTION = timedelta(days=1)  # rows are kept so long
MAX_TEST_DURATION = timedelta(seconds=90)  # a test takes no longer
LOST_AFTER = timedelta(seconds=30)  # so long after that, one without an end has lost its process


class ConnectionTest(models.Model):
    """One test, of a stored registry or of a form not saved. It holds what was seen, and no credential.

    ``steps`` are those done so far: {stage, result, seconds, detail, reason, remedy}.
    """

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    registry = models.ForeignKey("registries.Registry", null=True, on_delete=models.CASCADE, related_name="tests")
    saved = models.BooleanField()  # whether what was tested is what is stored
    steps = MessagesField(default=list)
    started_at = models.DateTimeField(default=timezone.now, db_index=True)
    ended_at = models.DateTimeField(null=True)

    objects = ScopedManager["ConnectionTest"]()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"connection test {self.pk}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

    @property
    def lost(self) -> bool:
        """Whether the process that did it is gone."""
        return self.ended_at is None and timezone.now() - self.started_at > MAX_TEST_DURATION + LOST_AFTER

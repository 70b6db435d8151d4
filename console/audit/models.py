"""AuditEvent: one row of the audit trail."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models


class AppendOnlyError(RuntimeError):
    """Somebody tried to change the audit trail."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Events. They cannot be changed, and go by ``expire`` alone."""

    def update(self, **values: Any) -> int:
        """Raise AppendOnlyError: events are never changed."""
        raise AppendOnlyError("The audit trail is not changed.")

    def delete(self) -> tuple[int, dict[str, int]]:
        """Raise AppendOnlyError: old events are removed by ``expire``."""
        raise AppendOnlyError("The audit trail is not deleted.")

    def expire(self, *, before: datetime) -> int:
        """Remove the events older than ``before``; return how many they were."""
        rows = self.filter(at__lt=before)
        return rows._raw_delete(rows.db)


class AuditEvent(models.Model):
    """A decision that somebody took, or an access that was refused. Rows are only ever added.

    It points to nothing, so that nothing else can change it: names are copied, and stay when an account goes.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    actor_id = models.BigIntegerField(null=True, blank=True)  # None: nobody was signed in, or the console itself
    actor_name = models.CharField(max_length=150, blank=True)
    address = models.GenericIPAddressField(null=True, blank=True)
    action = models.CharField(max_length=60)  # e.g. "registry.add"; see console.audit.trail.ACTIONS
    target = models.CharField(max_length=300, blank=True)
    detail = models.JSONField(default=dict, blank=True)  # never a secret
    before = models.JSONField(default=dict, blank=True)  # what a change has changed, as it was
    after = models.JSONField(default=dict, blank=True)  # and as it is since

    objects = AuditEventQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["action", "-at"]), models.Index(fields=["actor_name", "-at"])]

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Add the event; raise AppendOnlyError if it is stored already."""
        if not self._state.adding:
            raise AppendOnlyError("The audit trail is not changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Raise AppendOnlyError: old events are removed by ``expire`` of the queryset."""
        raise AppendOnlyError("The audit trail is not deleted.")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name or '-'} {self.action} {self.target}"

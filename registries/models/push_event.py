"""PushAddress: where a registry reports pushes to. PushEvent: one reported change, a job and then its record."""

from __future__ import annotations

import secrets as random

from django.db import models
from django.utils.translation import gettext_lazy as _

from console.jobs.models import Job, State
from console.scope import Scope, ScopedManager
from registries import secrets


def new_key() -> str:
    """Return a random name for an address; it identifies and proves nothing."""
    return random.token_urlsafe(12)


class PushAddress(models.Model):
    """The address of one registry's push events. ``key`` is public; the secret proves where an event comes from."""

    registry = models.OneToOneField("registries.Registry", on_delete=models.CASCADE, related_name="push_address")
    key = models.CharField(max_length=40, unique=True, default=new_key, editable=False)
    secret_token = models.TextField(editable=False)  # encrypted
    scans = models.BooleanField(_("Scan what is pushed"), default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    received_at = models.DateTimeField(null=True, blank=True, editable=False)  # last event with the right secret
    refused_at = models.DateTimeField(null=True, blank=True, editable=False)  # last one with a wrong one

    objects = ScopedManager["PushAddress"]()

    class Meta:
        verbose_name_plural = "push addresses"

    def __str__(self) -> str:
        return f"push events of registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

    def new_secret(self) -> str:
        """Make a new secret, store it encrypted (unsaved) and return it, to be shown this once."""
        secret = random.token_urlsafe(24)
        self.secret_token = secrets.encrypt(secret)
        return secret

    def reveal_secret(self) -> str:
        """Return the secret, to compare with. Raises SecretUnreadableError where its key is gone."""
        return secrets.decrypt(self.secret_token)


class PushEvent(Job):
    """A hint that something changed behind a name: looked at again, never believed."""

    kind = "event"

    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="push_events")
    names = models.JSONField()  # the repository, by the names that it may have; the first that exists counts
    repository = models.CharField(max_length=300)  # the first of them
    tag = models.CharField(max_length=300, blank=True)  # "": the whole repository is listed anew, as after a delete
    images = models.PositiveIntegerField(default=0)  # tags that are new or point elsewhere now

    objects = ScopedManager["PushEvent"]()

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "lane", "id"], name="pushevent_queue")]
        constraints = [  # what is reported again while it waits is one event
            models.UniqueConstraint(
                fields=["registry", "repository", "tag"],
                condition=models.Q(state=State.QUEUED),
                name="pushevent_collapsed",
            )
        ]

    def __str__(self) -> str:
        return f"push event {self.pk} of registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

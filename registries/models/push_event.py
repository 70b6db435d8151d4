"""PushAddress: where a registry reports pushes to. PushEvent: one reported change, a job and then its record."""

from __future__ import annotations

import secrets as random
from collections import Counter
from datetime import timedelta

from django.db import models
from django.db.models import Min, Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from console.jobs.models import Job, Priority, State
from console.jobs.slots import job_capacity
from console.visibility import Scope, ScopedManager
from registries import credential_encryption
from registries.models.registry import IS_SLOW, Registry

FAIR_SHARE_WINDOW = timedelta(minutes=1)  # over which the events of registries are counted, so that each gets its share
ALL_TAGS = "*"  # in place of a tag, which cannot have this name: all tags of the repository


class PushAddress(models.Model):
    """The address of one registry's push events. ``key`` is public; the secret proves where an event comes from."""

    registry = models.OneToOneField("registries.Registry", on_delete=models.CASCADE, related_name="push_address")
    key = models.CharField(max_length=40, unique=True, editable=False)  # random; it identifies and proves nothing
    secret_token = models.TextField(editable=False)  # encrypted
    scans = models.BooleanField(_("Scan what is pushed"), default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    received_at = models.DateTimeField(null=True, blank=True, editable=False)  # last event with the right secret
    # Last event with the right secret and of a form that is not known: nothing follows from it.
    not_understood_at = models.DateTimeField(null=True, blank=True, editable=False)
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
        """Make a new secret, store it encrypted (unsaved) and return it, to be shown this once.

        An address that is new gets its key too.
        """
        self.key = self.key or random.token_urlsafe(12)
        secret = random.token_urlsafe(24)
        self.secret_token = credential_encryption.encrypt(secret)
        return secret

    def reveal_secret(self) -> str:
        """Return the secret, to compare with. Raises SecretUnreadableError where its key is gone."""
        return credential_encryption.decrypt(self.secret_token)


class PushEvent(Job):
    """A hint that something changed behind a name: looked at again, never believed."""

    kind = "event"

    registry = models.ForeignKey("registries.Registry", on_delete=models.CASCADE, related_name="push_events")
    names = models.JSONField()  # the repository, by the names that it may have; the first that exists counts
    repository = models.CharField(max_length=300, blank=True)  # the first of them; "": the whole registry
    # "": the repository is listed anew, as after a delete. EVERYTHING: each of its tags is looked at.
    tag = models.CharField(max_length=300, blank=True)
    images = models.PositiveIntegerField(default=0)  # tags that are new or point elsewhere now

    objects = ScopedManager["PushEvent"]()

    class Meta(Job.Meta):
        abstract = False
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "priority", "id"], name="pushevent_queue"),
            models.Index(fields=["started_at"], name="pushevent_started"),  # for the shares
        ]
        constraints = [  # what is reported again while it waits is one event; one that was begun may come back
            models.UniqueConstraint(
                fields=["registry", "repository", "tag"],
                condition=models.Q(state=State.QUEUED, attempt=0),
                name="pushevent_collapsed",
            )
        ]

    def __str__(self) -> str:
        return f"push event {self.pk} of registry {self.registry_id}"

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Those of registries in scope."""
        return models.Q(registry__in=scope.registries)

    @classmethod
    def next_to_claim(cls, queue: models.QuerySet[PushEvent], *, priority: Priority | None) -> PushEvent | None:
        """Return the next event: of the registry that had the fewest begun in the last minute, then by age.

        A registry has one at work at a time, which takes along what else waits for the same repository. Registries that
        do not answer and looks at whole repositories have half of the places at most, all together.
        """
        rows = queue if priority is None else queue.filter(priority=priority)
        slow = Q(registry__in=Registry._base_manager.filter(IS_SLOW).values("pk")) | Q(tag=ALL_TAGS)
        at_work = PushEvent._base_manager.filter(state=State.RUNNING)
        rows = rows.exclude(registry__in=list(at_work.values_list("registry", flat=True)))
        if at_work.filter(slow).count() >= max(1, job_capacity(cls.kind) // 2):
            rows = rows.exclude(slow)
        lately = PushEvent._base_manager.filter(started_at__gt=Now() - FAIR_SHARE_WINDOW).values_list(
            "registry", flat=True
        )
        begun = Counter(lately.order_by().iterator())
        heads = list(rows.order_by().values_list("registry", "priority").annotate(first=Min("pk")))
        if not heads:
            return None
        first = min(heads, key=lambda head: (head[1], begun[head[0]], head[2]))[2]
        return PushEvent._base_manager.get(pk=first)

    def coalesced(self) -> list[PushEvent]:
        """Return the other events that wait and are served by the same look at the same repository."""
        if not self.repository:
            return []
        others = PushEvent._base_manager.filter(registry=self.registry_id, repository=self.repository)
        return [each for each in others.filter(state=State.QUEUED).order_by("pk") if each.names == self.names]

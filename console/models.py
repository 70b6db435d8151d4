"""People, and what the console keeps about its own work."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.text import slugify
from django.utils.translation import gettext_lazy as _

from console.jobs.models import Job, Lane, State
from console.jobs.slots import hands
from console.machines.models import FileChunk, FleetVersion, Machine, StoredFile
from console.visibility import Scope, ScopedManager

__all__ = ["FileChunk", "FleetVersion", "Machine", "StoredFile"]  # of a module of their own


class Team(models.Model):
    """People who see the same registries, where they are limited to some. Which ones, the registries say."""

    name = models.CharField(_("Name"), max_length=100)
    # Groups of the provider of single sign-on, one a line: whoever is in one of them is a member.
    groups = models.TextField(_("Groups of single sign-on"), blank=True)

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"), name="team_name_unique", violation_error_message=_("Another team has this name.")
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def group_names(self) -> set[str]:
        """The groups, as a set."""
        return {line.strip() for line in self.groups.splitlines()} - {""}


class User(AbstractUser):
    """Somebody who signs in. ``role`` decides what the console allows; ``is_staff`` opens Django admin."""

    class Role(models.TextChoices):
        VIEWER = "viewer", _("Viewer")
        OPERATOR = "operator", _("Operator")
        ADMINISTRATOR = "administrator", _("Administrator")

    class Theme(models.TextChoices):
        SYSTEM = "", _("Follows the system")
        LIGHT = "light", _("Light")
        DARK = "dark", _("Dark")

    class Density(models.TextChoices):
        COMFORTABLE = "", _("Comfortable")
        COMPACT = "compact", _("Compact")

    role = models.CharField(max_length=20, choices=Role.choices, default=Role.VIEWER)
    theme = models.CharField(max_length=10, choices=Theme.choices, default=Theme.SYSTEM, blank=True)
    density = models.CharField(max_length=10, choices=Density.choices, default=Density.COMFORTABLE, blank=True)
    language = models.CharField(max_length=10, choices=settings.LANGUAGES, blank=True)  # empty: as the browser asks
    time_zone = models.CharField(max_length=64, blank=True)
    columns = models.JSONField(default=dict, blank=True)  # listing name → names of the columns shown, in order
    # Whoever is limited and in no team sees nothing: taking a team away never shows more.
    limited = models.BooleanField(_("Limited to teams"), default=False)
    teams = models.ManyToManyField(Team, verbose_name=_("Teams"), blank=True, related_name="members")
    sessions_round = models.PositiveIntegerField(default=0, editable=False)  # see end_sessions

    @property
    def may_operate(self) -> bool:
        """Whether this person may scan, sync and export."""
        return self.role in {self.Role.OPERATOR, self.Role.ADMINISTRATOR} or self.is_superuser

    @property
    def may_administer(self) -> bool:
        """Whether this person may change registries, schedules, quota and users."""
        return self.role == self.Role.ADMINISTRATOR or self.is_superuser

    @property
    def is_limited(self) -> bool:
        """Whether this person sees the registries of the own teams alone. Administrators see all: they set limits."""
        return self.limited and not self.may_administer

    def get_session_auth_hash(self) -> str:
        """Return what every session of this person must carry: it changes with the password and the round."""
        return self._hash(super().get_session_auth_hash())

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """Yield the same for former secret keys."""
        for found in super().get_session_auth_fallback_hash():
            yield self._hash(found)

    def _hash(self, of_password: str) -> str:
        return hashlib.sha256(f"{of_password}:{self.sessions_round}".encode()).hexdigest()

    def end_sessions(self) -> None:
        """Sign this person out everywhere: no session begun before this counts any more."""
        type(self)._default_manager.filter(pk=self.pk).update(sessions_round=models.F("sessions_round") + 1)
        self.refresh_from_db(fields=["sessions_round"])


class AppendOnlyError(RuntimeError):
    """Somebody tried to change the audit trail."""


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Events. They cannot be changed, and go by ``expire`` alone."""

    def update(self, **values: Any) -> int:
        raise AppendOnlyError("The audit trail is not changed.")

    def delete(self) -> tuple[int, dict[str, int]]:
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
        if not self._state.adding:
            raise AppendOnlyError("The audit trail is not changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnlyError("The audit trail is not deleted.")

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.actor_name or '-'} {self.action} {self.target}"


class JobEvent(models.Model):
    """One change of state of one job, written by ``advance()`` in the same transaction as the change itself."""

    at = models.DateTimeField(auto_now_add=True)
    kind = models.CharField(max_length=20)
    job_id = models.BigIntegerField()
    from_state = models.CharField(max_length=10)
    to_state = models.CharField(max_length=10)
    attempt = models.PositiveIntegerField()
    worker = models.CharField(max_length=120, blank=True)
    reason = models.TextField(blank=True)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["kind", "job_id"])]

    def __str__(self) -> str:
        return f"{self.kind} {self.job_id}: {self.from_state} → {self.to_state}"


class Canary(Job):
    """A job of no consequence: while one ends every minute, the cluster ``quick`` is alive (rule J7)."""

    kind = "canary"

    class Meta(Job.Meta):
        abstract = False
        verbose_name_plural = "canaries"

    def __str__(self) -> str:
        return f"canary {self.pk}"


class ScanCanary(Job):
    """The same for the cluster ``scan``."""

    kind = "scan-canary"

    class Meta(Job.Meta):
        abstract = False
        verbose_name_plural = "scan canaries"

    def __str__(self) -> str:
        return f"scan canary {self.pk}"


class Export(Job):
    """A file made of rows of a list in the background: what was asked for, and when ready where it lies.

    The filters are judged again when the work starts; the columns are those of the moment it was asked for.
    """

    kind = "export"

    class Format(models.TextChoices):
        XLSX = "xlsx", _("Excel")
        CSV = "csv", _("CSV")

    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="exports")
    listing = models.CharField(max_length=40)  # key of settings.LISTINGS
    within = models.BigIntegerField(null=True, blank=True)  # what the list is narrowed to: see Listing.within
    view = models.TextField(blank=True)  # query of the view: filters and order
    ids = models.JSONField(default=list, blank=True)  # of the rows chosen; empty for all that match
    columns = models.JSONField(default=list)
    description = models.CharField(max_length=300, blank=True)  # which rows, in words
    format = models.CharField(max_length=4, choices=Format.choices, default=Format.XLSX)
    time_zone = models.CharField(max_length=64)
    language = models.CharField(max_length=10)

    seen_as = models.CharField(max_length=64, blank=True, editable=False)  # key of what its owner saw when asking

    rows = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    cut = models.PositiveBigIntegerField(default=0, editable=False)  # cells cut to what a spreadsheet can hold
    size = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    file = models.CharField(max_length=60, blank=True, editable=False)  # its name in the folder of exports
    stored = models.ForeignKey(  # the same file for other machines, where there are some
        StoredFile, on_delete=models.SET_NULL, null=True, blank=True, editable=False, related_name="+"
    )
    expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ScopedManager["Export"]()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"export {self.pk} of {self.listing}"

    @classmethod
    def next_in_line(cls, queue: models.QuerySet[Export], *, lane: Lane | None) -> Export | None:
        """Return the next export: of the person who has the fewest at work, then by age.

        One person has half of the places at most, so that nobody waits for the large ones of another.
        """
        rows = queue if lane is None else queue.filter(lane=lane)
        at_work = Counter(
            Export._base_manager.filter(state=State.RUNNING).order_by().values_list("requested_by", flat=True)
        )
        full = [person for person, count in at_work.items() if count >= max(1, hands(cls.kind) // 2)]
        waiting = list(rows.exclude(requested_by__in=full).values_list("pk", "requested_by"))
        if not waiting:
            return None
        return Export._base_manager.get(pk=min(waiting, key=lambda each: (at_work[each[1]], each[0]))[0])

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Own ones, asked for while the same was seen: a file of more than that is out of reach."""
        return models.Q(requested_by__in=[scope.person], seen_as=scope.key)


class KeptFigures(models.Model):
    """Figures that took long to count, as :mod:`console.db.cached_counts` keeps them for the pages."""

    name = models.CharField(max_length=60, unique=True)  # key of settings.KEPT
    values = models.JSONField()
    at = models.DateTimeField()  # when counting began
    took = models.FloatField()  # seconds
    asked_at = models.DateTimeField()  # about when a page last wanted them

    class Meta:
        verbose_name_plural = "kept figures"

    def __str__(self) -> str:
        return self.name


class SavedView(models.Model):
    """Filters, order and columns of a list that somebody keeps under a name."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="views")
    listing = models.CharField(max_length=40)
    name = models.CharField(max_length=60)
    query = models.TextField(blank=True)  # as in the address, without "?"
    columns = models.JSONField(null=True, blank=True)  # None: those of the person
    is_default = models.BooleanField(default=False)  # what the list opens with for its owner
    shared = models.BooleanField(default=False)  # everybody may open it, its owner alone may change it

    objects = ScopedManager["SavedView"]()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint("user", "listing", Lower("name"), name="view_name_once"),
            models.UniqueConstraint(
                fields=["user", "listing"], condition=models.Q(is_default=True), name="view_one_default"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """Own ones: what others call and search for may tell of what is hidden."""
        return models.Q(user__in=[scope.person])

    @property
    def key(self) -> str:
        """What stands in addresses; the number decides, the words are for people."""
        return f"{self.pk}-{slugify(self.name, allow_unicode=True)[:40]}".rstrip("-")

"""People who sign in, and their teams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from django.conf import settings
from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils.translation import gettext_lazy as _


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
    session_generation = models.PositiveIntegerField(default=0, editable=False)  # see end_sessions

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
        return hashlib.sha256(f"{of_password}:{self.session_generation}".encode()).hexdigest()

    def end_sessions(self) -> None:
        """Sign this person out everywhere: no session begun before this counts any more."""
        type(self)._default_manager.filter(pk=self.pk).update(session_generation=models.F("session_generation") + 1)
        self.refresh_from_db(fields=["session_generation"])

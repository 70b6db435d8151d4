"""CloudAccount: one API key of a cloud, by which its registries are found and kept in step."""

from __future__ import annotations

import hashlib

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.i18n.fields import MessageField, MessagesField
from console.i18n.message_codes import NOTHING, Message
from console.visibility import Scope, ScopedManager
from registries import credential_encryption
from registries.models.registry import Registry


class CloudAccount(models.Model):
    """A key of Tencent Cloud. Registries made by it hold copies of its credentials, so each works like any other."""

    name = models.CharField(_("Name"), max_length=100)
    secret_id = models.CharField(_("SecretId"), max_length=100)
    secret_key_token = models.TextField(blank=True, editable=False)  # encrypted; see set_secret_key
    endpoint = models.CharField(_("API endpoint"), max_length=300, blank=True)  # scheme://host[:port]; "" is the usual
    # Regions whose personal edition (CCR) is looked into, one a line. Instances of TCR are found in all regions.
    regions = models.TextField(_("Regions of the personal edition"), blank=True, default="ap-guangzhou")
    pull_username = models.CharField(_("Registry user"), max_length=300, blank=True)  # of CCR: the account ID
    pull_password_token = models.TextField(blank=True, editable=False)  # encrypted; see set_pull_password
    nightly_on = models.DateField(null=True, blank=True, editable=False)  # local date of the last nightly discovery

    state = models.CharField(
        max_length=10, choices=Registry.Connection.choices, default=Registry.Connection.UNKNOWN, editable=False
    )
    reason = MessageField(blank=True, editable=False)
    remedy = MessageField(blank=True, editable=False)
    checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    login = models.CharField(max_length=64, blank=True, editable=False)  # which credentials ``state`` was said of
    instances = models.PositiveIntegerField(default=0, editable=False)  # of TCR, listed last
    namespaces = models.PositiveIntegerField(default=0, editable=False)  # of CCR, listed last
    notes = MessagesField(default=list, editable=False)  # messages on what was found and not taken as it is
    made = models.JSONField(default=list, editable=False)  # keys of all registries ever made: none is made twice

    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager["CloudAccount"]()

    class Meta:
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                Lower("name"), name="cloud_account_name_unique", violation_error_message=_("Another key has this name.")
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """None: a key of a cloud lists whatever that account holds."""
        return models.Q(pk__in=())

    def set_secret_key(self, key: str) -> None:
        """Encrypt ``key`` into this row (unsaved)."""
        self.secret_key_token = credential_encryption.encrypt(key) if key else ""

    def reveal_secret_key(self) -> str:
        """Return the key in plain text, for the call that needs it. Raises SecretUnreadableError."""
        return credential_encryption.decrypt(self.secret_key_token) if self.secret_key_token else ""

    @property
    def has_pull_password(self) -> bool:
        """Whether a password for pulling from the personal edition is stored."""
        return bool(self.pull_password_token)

    def set_pull_password(self, password: str) -> None:
        """Encrypt the password of the personal edition into this row (unsaved); empty text removes it."""
        self.pull_password_token = credential_encryption.encrypt(password) if password else ""

    @property
    def credentials_refused(self) -> bool:
        """Whether exactly the credentials stored now were refused: they are not tried again unasked."""
        return self.state == Registry.Connection.REFUSED and self.login == self.current_login

    def record(self, *, state: str, reason: Message = NOTHING, remedy: Message = NOTHING, **found: object) -> None:
        """Keep what the last discovery has shown; ``found`` are further columns. Touches no other field."""
        values = {"state": state, "reason": reason, "remedy": remedy, "checked_at": timezone.now(), **found}
        values["login"] = self.current_login
        for name, value in values.items():
            setattr(self, name, value)
        type(self)._default_manager.filter(pk=self.pk).update(**values)

    @property
    def current_login(self) -> str:
        """A digest of the stored key and where it goes; another one after every change of them."""
        parts = (self.endpoint, self.secret_id, self.secret_key_token)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

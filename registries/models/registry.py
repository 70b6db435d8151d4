"""Registry: where images come from, and how it is reached."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import models
from django.db.models.functions import Lower, Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from console.i18n.fields import MessageField
from console.i18n.message_codes import NOTHING, Message
from console.visibility import Scope, ScopedManager
from registries import credential_encryption

if TYPE_CHECKING:
    from registries.models.sync_run import SyncRun

SLOW_DURATION = timedelta(minutes=10)  # a registry that did not answer counts as slow for so long
# What credentials are and where they go.
CREDENTIAL_FIELDS = (
    *("address", "endpoint", "username", "password_token", "role", "pull_username", "pull_password_token"),
    "token_service",
)
IS_REFUSED = models.Q(refused_login__gt="")
IS_SLOW = models.Q(slow_until__gt=Now())


class RegistryQuerySet(models.QuerySet["Registry"]):
    """Registries, those included that are being removed."""

    def present(self) -> RegistryQuerySet:
        """Those that are not being removed."""
        return self.filter(deleting_at__isnull=True)


class Registry(models.Model):
    """One registry as the form of the page describes it. Secrets are stored encrypted and never shown again."""

    class Type(models.TextChoices):
        HARBOR = "harbor", "Harbor"
        QUAY = "quay", "Quay"
        JFROG = "jfrog", "JFrog"
        AWS = "aws", "AWS"
        TCR = "tcr", "TCR"
        CCR = "ccr", "CCR"
        DOCKER_HUB = "dockerhub", "Docker Hub"
        GITHUB = "ghcr", "GitHub (ghcr.io)"
        GITLAB = "gitlab", "GitLab"
        AZURE = "acr", "Azure ACR"
        GOOGLE = "gar", "Google Artifact Registry"
        ALIBABA = "alibaba", "Alibaba ACR"
        HUAWEI = "swr", "Huawei SWR"
        ORACLE = "ocir", "Oracle OCIR"
        DIGITALOCEAN = "docean", "DigitalOcean"
        NEXUS = "nexus", "Nexus"
        GITEA = "gitea", "Gitea / Forgejo"
        ZOT = "zot", "zot"
        OCI = "oci", "OCI"

    class Version(models.TextChoices):
        NONE = "", "–"
        V1 = "v1", "V1"
        V2 = "v2", "V2"

    class Network(models.TextChoices):
        PUBLIC = "public", _("Public network")
        VPC = "vpc", _("VPC")

    class Connection(models.TextChoices):
        UNKNOWN = "unknown", _("Not tested")
        CONNECTED = "connected", _("Connected")
        REFUSED = "refused", _("Credentials refused")
        FAILED = "failed", _("Failed")

    name = models.CharField(_("Instance name"), max_length=100)
    type = models.CharField(_("Repository type"), max_length=10, choices=Type.choices, default=Type.OCI)
    version = models.CharField(_("Version"), max_length=5, choices=Version.choices, blank=True, default=Version.NONE)
    network = models.CharField(_("Network type"), max_length=10, choices=Network.choices, default=Network.PUBLIC)
    region = models.CharField(_("Region"), max_length=40, blank=True)  # "" is the default region
    address = models.CharField(_("Address"), max_length=300)  # scheme://host[:port][/prefix], no trailing slash
    username = models.CharField(_("Username"), max_length=300, blank=True)
    password_token = models.TextField(blank=True, editable=False)  # encrypted; see set_password
    # Where pulling needs other credentials than listing does; "" means the same ones.
    pull_username = models.CharField(_("Username for pulling"), max_length=300, blank=True)
    pull_password_token = models.TextField(blank=True, editable=False)  # encrypted; see set_pull_password
    role = models.CharField(_("Role"), max_length=300, blank=True)  # taken on after sign-in, as an ARN of AWS
    endpoint = models.CharField(_("API endpoint"), max_length=300, blank=True)  # scheme://host[:port]; "" is the usual
    limit = models.PositiveIntegerField(_("Limit"), null=True, blank=True)  # images an hour; None is unlimited
    # Host that may be sent the password though it is not the registry's: see Endpoint.token_hosts. "": none.
    token_service = models.CharField(_("Token service"), max_length=255, blank=True)
    verify_tls = models.BooleanField(_("Validate remote certificates"), default=True)
    ca_bundle = models.TextField(_("Certificate bundle"), blank=True)  # PEM, used in addition to the public ones
    repositories = models.TextField(_("Repositories"), blank=True)  # fixed list, one a line; empty: ask the catalog
    # Which repositories and tags are wanted at all: see registries.chosen. "" and None: all.
    repository_patterns = models.TextField(_("Choice of repositories"), blank=True)
    tag_patterns = models.TextField(_("Choice of tags"), blank=True)
    newest_tags = models.PositiveIntegerField(_("Newest tags"), null=True, blank=True)  # of each repository
    tag_days = models.PositiveIntegerField(_("Tags younger than"), null=True, blank=True)  # days since the push
    nightly_on = models.DateField(null=True, blank=True, editable=False)  # local date of the last nightly sync
    slow_until = models.DateTimeField(null=True, blank=True, editable=False)  # it did not answer a while ago
    deleting_at = models.DateTimeField(null=True, blank=True, editable=False)  # set: it is being removed

    connection = models.CharField(max_length=10, choices=Connection.choices, default=Connection.UNKNOWN, editable=False)
    connection_reason = MessageField(blank=True, editable=False)
    connection_remedy = MessageField(blank=True, editable=False)
    connection_checked_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Which credentials were refused, "" for none: they are sent by nothing but a test that a person starts.
    refused_login = models.CharField(max_length=64, blank=True, editable=False)
    # Who tries credentials that are not proven, and until when nobody else does: see registries.login_guard.
    login_lease_holder = models.CharField(max_length=32, blank=True, editable=False)
    login_lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    last_sync = models.ForeignKey(
        "registries.SyncRun", null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    # Made by the key of a cloud account: what the cloud calls it, the address it gave last, and what is amiss there.
    cloud_account = models.ForeignKey(
        "registries.CloudAccount",
        null=True,
        blank=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="registries",
    )
    cloud_id = models.CharField(max_length=200, blank=True, editable=False)  # instance of TCR, namespace of CCR
    cloud_address = models.CharField(max_length=300, blank=True, editable=False)
    cloud_state = models.CharField(max_length=60, blank=True, editable=False)  # "" is running and listed
    teams = models.ManyToManyField("console.Team", blank=True, editable=False, related_name="registries")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = ScopedManager.from_queryset(RegistryQuerySet)()

    class Meta:
        verbose_name_plural = "registries"
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(  # the name of one that is being removed is free
                Lower("name"),
                condition=models.Q(deleting_at__isnull=True),
                name="registry_name_unique",
                violation_error_message=_("Another registry has this name."),
            )
        ]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def in_scope(cls, scope: Scope) -> models.Q:
        """The registries themselves."""
        return models.Q(pk__in=scope.registries)

    @property
    def host(self) -> str:
        """The host, with its port where it has one, as it stands in image names."""
        return self.address.split("://", 1)[-1].split("/", 1)[0]

    @property
    def has_password(self) -> bool:
        """Whether a password is stored."""
        return bool(self.password_token)

    @property
    def has_login(self) -> bool:
        """Whether somebody signs in: a user name, a token or both are stored."""
        return bool(self.username or self.password_token)

    def set_password(self, password: str) -> None:
        """Encrypt ``password`` into this row (unsaved); empty text removes it."""
        self.password_token = credential_encryption.encrypt(password) if password else ""

    def reveal_password(self) -> str:
        """Return the stored password in plain text, for the connection that needs it and for nothing else.

        Raises SecretUnreadableError where the key it was encrypted with is gone.
        """
        return credential_encryption.decrypt(self.password_token) if self.password_token else ""

    @property
    def has_pull_password(self) -> bool:
        """Whether a password for pulling is stored."""
        return bool(self.pull_password_token)

    def set_pull_password(self, password: str) -> None:
        """Encrypt ``password`` into this row (unsaved) for pulling; empty text removes it."""
        self.pull_password_token = credential_encryption.encrypt(password) if password else ""

    def reveal_pull_password(self) -> str:
        """Return the stored password for pulling; as :meth:`reveal_password`."""
        return credential_encryption.decrypt(self.pull_password_token) if self.pull_password_token else ""

    @property
    def credentials_refused(self) -> bool:
        """Whether the registry refused exactly the credentials stored now. They must not be tried again unasked:
        registries lock accounts for it. Any edit of what they are or where they go lifts this, and so does a test that
        they pass."""
        return bool(self.refused_login) and self.refused_login == self.current_login

    def record_connection(
        self, *, state: str, reason: Message = NOTHING, remedy: Message = NOTHING, proven: bool | None = None
    ) -> None:
        """Keep what the last attempt to talk to this registry has shown, if it has the same credentials still.

        A refusal holds until the credentials have ``proven`` right (None: where CONNECTED is recorded) or are changed:
        a registry that cannot be reached meanwhile has not taken them. Touches no other field.
        """
        self.connection, self.connection_reason, self.connection_remedy = state, reason, remedy
        self.connection_checked_at = timezone.now()
        values: dict[str, object] = {
            "connection": state,
            "connection_reason": reason,
            "connection_remedy": remedy,
            "connection_checked_at": self.connection_checked_at,
        }
        if state == self.Connection.REFUSED:
            self.refused_login = values["refused_login"] = self.current_login
        elif proven or (proven is None and state == self.Connection.CONNECTED):
            self.refused_login = values["refused_login"] = ""
        same = {name: getattr(self, name) for name in CREDENTIAL_FIELDS}
        type(self)._default_manager.filter(pk=self.pk, **same).update(**values)

    @property
    def current_login(self) -> str:
        """A digest of the stored credentials and where they go; another one after every change of them."""
        parts = (str(getattr(self, name)) for name in CREDENTIAL_FIELDS)
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def slow_since(self) -> datetime | None:
        """Since when it counts as slow: when a pull from it last stood still or timed out; None where it does not."""
        until = self.slow_until
        return until - SLOW_DURATION if until is not None and until > timezone.now() else None

    def mark_slow(self) -> None:
        """Note that a pull from it stands still or has timed out. By the database's clock; touches no other field."""
        type(self)._default_manager.filter(pk=self.pk).update(slow_until=Now() + SLOW_DURATION)

    def record_sync(self, run: SyncRun) -> None:
        """Keep ``run``, which has ended, as the last sync of this registry."""
        self.last_sync = run
        type(self)._default_manager.filter(pk=self.pk).update(last_sync=run)

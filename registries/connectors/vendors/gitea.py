"""Gitea and Forgejo: container packages of owners, listed by the catalog; the version by their API."""

from __future__ import annotations

from typing import ClassVar

from django.utils.translation import gettext_lazy as _

from registries.connectors import messages
from registries.connectors.base import Declaration, Guide, Vendor, Wording
from registries.connectors.declarations import REPOSITORIES_WORDING
from registries.connectors.vendor import VendorConnector
from registries.oci import strict_json
from registries.oci.errors import RegistryError

DECLARATION = Declaration(
    type="gitea",
    label="Gitea / Forgejo",
    fields=("address", "username", "password", "token_service", "repositories"),
    wording={
        "address": Wording(placeholder="https://git.example.com"),
        "password": Wording(label=_("Access token or password"), help=_("A token needs the scope read:package.")),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_("The address of Gitea, on port 443 unless it has another."),
        account=_("A user who may see the owners' packages, with an access token of the scope read:package."),
        notes=_(
            "If ROOT_URL in Gitea's settings names another host, the connection test asks to allow it as the token"
            " service. Every container package of the owners that the account sees is listed."
        ),
    ),
)


class GiteaConnector(VendorConnector):
    """One Gitea or Forgejo."""

    declaration: ClassVar[Declaration] = DECLARATION

    def ping(self) -> None:
        """Prove the credentials, and see which version it is where it tells."""
        super().ping()
        try:
            about = self.client.api("/api/v1", scheme="none").get("/version").item(messages.ITS_VERSION())
            self.about = strict_json.text(about.get("version"), 60)
        except RegistryError:
            self.about = ""  # not told to everybody


VENDOR = Vendor(DECLARATION, GiteaConnector)

"""zot: the distribution API and nothing else; its extension mgmt tells the version (zotregistry.dev, "mgmt")."""

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
    type="zot",
    label="zot",
    fields=("address", "username", "password", "token_service", "repositories"),
    wording={
        "address": Wording(placeholder="https://zot.example.com"),
        "username": Wording(help=_("Leave empty if zot allows anonymous reading.")),
        "password": Wording(label=_("Password or API key")),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_("The address of zot, on port 443 unless it has another."),
        account=_("A user of htpasswd, LDAP or an API key, with the action read on the repositories in accessControl."),
        notes=_("zot lists only the repositories that the account may read: without rights it shows none."),
    ),
)


class ZotConnector(VendorConnector):
    """One zot."""

    declaration: ClassVar[Declaration] = DECLARATION

    def ping(self) -> None:
        """Prove the credentials, and see which zot it is where it tells."""
        super().ping()
        try:
            about = self.client.api("/v2/_zot/ext", scheme="none").get("/mgmt").item(messages.ITS_VERSION())
            self.about = strict_json.text(about.get("releaseTag") or about.get("distSpecVersion"), 60)
        except RegistryError:
            self.about = ""  # built without the extension


VENDOR = Vendor(DECLARATION, ZotConnector)

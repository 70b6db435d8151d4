"""Azure Container Registry: catalog of the registry, tags with digest and time by its API ``/acr/v1``.

learn.microsoft.com, "Azure Container Registry REST API": GET /acr/v1/{name}/_tags?n=&last=, of which ``n`` is 100 by
default; it takes Basic with what docker login takes. A scope map shows what it names (Azure/acr#751: an empty catalog).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from django.utils.translation import gettext_lazy as _

from registries.connectors import messages
from registries.connectors.base import Declaration, Guide, TagRef, Vendor, Wording
from registries.connectors.declarations import REPOSITORIES_WORDING
from registries.connectors.vendor import VendorConnector
from registries.oci import strict_json
from registries.oci.errors import MalformedResponse
from registries.oci.references import Digest, repository_path
from registries.oci.vendor_api import objects

PAGE_SIZE = 100
MAX_PAGES = 20_000
DECLARATION = Declaration(
    type="acr",
    label="Azure ACR",
    fields=("address", "username", "password", "repositories"),
    required=frozenset({"address", "username", "password"}),
    wording={
        "address": Wording(help=_("The login server."), placeholder="https://acme.azurecr.io"),
        "username": Wording(
            label=_("Application ID or token name"),
            help=_("Of a service principal, or of a token with a scope map."),
        ),
        "password": Wording(label=_("Secret or token password")),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_(
            "The login server (name.azurecr.io) and its data endpoint (*.blob.core.windows.net, or"
            " name.region.data.azurecr.io), on 443."
        ),
        account=_(
            "A service principal with the role AcrPull on the registry, or a token whose scope map has content/read and"
            " metadata/read on the repositories. Without metadata/read images are pulled, and not listed."
        ),
        notes=_("With network rules, add this machine's outgoing IP address. Client secrets expire: note the date."),
    ),
)


class AzureConnector(VendorConnector):
    """One registry of Azure."""

    declaration: ClassVar[Declaration] = DECLARATION

    def list_tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags with digest and push time; names alone where the account may not read metadata."""
        api = self.client.api("/acr/v1", scheme="basic")
        subject, last = messages.LIST_OF_TAGS(), ""
        for number in range(MAX_PAGES):
            params: dict[str, str | int] = {"n": PAGE_SIZE, "orderby": "none", **({"last": last} if last else {})}
            response = api.get(f"/{repository_path(repository)}/_tags", params)
            if response.status in {401, 403, 404, 405} and not number:
                yield from super().list_tags(repository)
                return
            rows = objects(response.item(subject).get("tags"), subject)
            for row in rows:
                name = strict_json.text(row.get("name"), 200)
                pushed = strict_json.parse_time(row.get("lastUpdateTime"))
                yield TagRef(name, digest=str(Digest.parse(row.get("digest"))), pushed_at=pushed)
            if len(rows) < PAGE_SIZE:
                return
            previous, last = last, strict_json.text(rows[-1].get("name"), 200)
            if last == previous:
                break
        raise MalformedResponse(messages.SAME_PAGE_AGAIN(what=subject), messages.CHECK_TYPE())


VENDOR = Vendor(DECLARATION, AzureConnector)

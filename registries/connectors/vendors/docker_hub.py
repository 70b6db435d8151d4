"""Docker Hub: repositories of namespaces by Hub's API, pulled from registry-1.docker.io.

docs.docker.com/reference/api/hub: POST /v2/auth/token with ``identifier`` and ``secret`` gives a token; GET
/v2/namespaces/{namespace}/repositories and …/repositories/{name}/tags are paged by ``page`` and ``page_size``. Hub
counts each GET of a manifest as a pull, and no HEAD; it tells by ``ratelimit-limit`` and ``ratelimit-remaining``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import quote

from django.utils.translation import gettext_lazy as _

from registries.connectors import messages
from registries.connectors.base import Declaration, Guide, RegistryFacts, TagRef, Vendor, Wording
from registries.connectors.declarations import REPOSITORIES_WORDING
from registries.connectors.parts import Parts
from registries.connectors.vendor import VendorConnector
from registries.oci import strict_json
from registries.oci.client import DistributionClient
from registries.oci.errors import AccessDenied, MalformedResponse
from registries.oci.references import Digest
from registries.oci.vendor_api import JsonApi, objects

API = "https://hub.docker.com"
PAGE_SIZE = 100
MAX_PAGES = 20_000
DECLARATION = Declaration(
    type="dockerhub",
    label="Docker Hub",
    fields=("address", "username", "password", "endpoint", "repositories"),
    wording={
        "address": Wording(placeholder="https://docker.io"),
        "username": Wording(help=_("The user; of an organization token: the organization.")),
        "password": Wording(label=_("Access token"), help=_("Read-only is enough.")),
        "endpoint": Wording(help=_("Empty: https://hub.docker.com."), placeholder=API),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_("registry-1.docker.io, auth.docker.io, hub.docker.com and production.cloudflare.docker.com, on 443."),
        account=_("A personal or organization access token with the permission Read-only."),
        notes=_(
            "The repositories of the user and of the user's organizations are listed; type others, such as"
            " library/nginx. Docker Hub limits pulls: a sync asks by HEAD, which it does not count; set an hourly limit"
            " for scans."
        ),
    ),
)


class DockerHubConnector(VendorConnector):
    """The namespaces of one account of Docker Hub."""

    declaration: ClassVar[Declaration] = DECLARATION

    def __init__(self, client: DistributionClient, facts: RegistryFacts) -> None:
        super().__init__(client, facts)
        self._open = facts.open_api(facts.endpoint or API, "none")
        self._lock = threading.Lock()
        self._signed_in: JsonApi | None = None

    def ping(self) -> None:
        """Prove the credentials by the registry's own token service."""
        self.client.ping()
        with self._lock:
            self._signed_in = None

    def _api(self) -> JsonApi:
        """Return Hub's API, signed in. Raises CredentialsRefused."""
        with self._lock:
            if self._signed_in is None:
                with self.client.proving():
                    username, password = self._open.credentials
                    body = json.dumps({"identifier": username, "secret": password}).encode()
                    response = self._open.post("/v2/auth/token", body, headers={"Content-Type": "application/json"})
                    if response.status == 401:
                        raise self._open.refuse()
                    token = response.item(messages.HUB_SIGN_IN()).get("access_token")
                    if not isinstance(token, str) or not token.isprintable():
                        raise MalformedResponse(messages.HUB_GAVE_NO_TOKEN(), messages.CHECK_ENDPOINT())
                    self._open.accept()
                self._signed_in = self._open.with_token(token)
            return self._signed_in

    def list_repositories(self) -> Iterator[str]:
        """Yield the repositories of the account and its organizations. Raises PartsUnreadable for those left out."""
        if not self.has_login:
            raise AccessDenied(messages.HUB_NEEDS_SIGN_IN(), messages.TYPE_HUB_REPOSITORIES())
        parts, own = Parts(), self.facts.username.lower()
        names = [own]
        response = self._api().get("/v2/user/orgs/", {"page_size": PAGE_SIZE})
        if response.status == 200:  # an organization's token has no organizations
            rows = objects(response.item(messages.LIST_OF_NAMESPACES()).get("results"), messages.LIST_OF_NAMESPACES())
            names += [strict_json.text(row.get("orgname"), 100) for row in rows]
        for namespace in dict.fromkeys(filter(None, names)):
            path = f"/v2/namespaces/{quote(namespace, safe='')}/repositories"
            yield from parts.read(namespace, (f"{namespace}/{row['name']}" for row in self._rows(path)))
        parts.raise_failed(lambda left: messages.PACKAGES_NOT_LISTABLE(owners=left), messages.AUTHORIZE_TOKEN())

    def list_tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags with digest and push time; names alone of what is not the account's own."""
        namespace, slash, name = repository.partition("/")
        if not (self.has_login and slash):
            yield from super().list_tags(repository)
            return
        path = f"/v2/namespaces/{quote(namespace, safe='')}/repositories/{quote(name, safe='')}/tags"
        for row in self._rows(path):
            digest = row.get("digest")
            yield TagRef(
                row["name"],
                digest=str(Digest.parse(digest)) if digest else None,
                pushed_at=strict_json.parse_time(row.get("tag_last_pushed") or row.get("last_updated")),
            )

    def _rows(self, path: str) -> Iterator[dict[str, Any]]:
        subject = messages.LIST_OF_REPOSITORIES()
        for page in range(1, MAX_PAGES):
            response = self._api().get(path, {"page": page, "page_size": PAGE_SIZE})
            if response.status == 404:
                return
            body = response.item(subject)
            yield from (row for row in objects(body.get("results"), subject) if isinstance(row.get("name"), str))
            if not body.get("next"):
                return


VENDOR = Vendor(DECLARATION, DockerHubConnector)

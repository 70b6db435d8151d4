"""GitHub Container Registry: packages and their versions by GitHub's API, pulled from ghcr.io.

docs.github.com/rest/packages: ``/user/packages`` and ``/orgs/{org}/packages`` with package_type=container; a version is
a digest with the tags that point to it, so that one call tells a hundred of them.
"""

from __future__ import annotations

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

API = "https://api.github.com"
PAGE_SIZE = 100
MAX_PAGES = 20_000
DECLARATION = Declaration(
    type="ghcr",
    label="GitHub (ghcr.io)",
    fields=("address", "username", "password", "endpoint", "repositories"),
    required=frozenset({"address", "username", "password"}),
    wording={
        "address": Wording(help=_("https://ghcr.io, or containers.HOST of a GitHub Enterprise Server.")),
        "username": Wording(help=_("The user who owns the token.")),
        "password": Wording(label=_("Personal access token (classic)"), help=_("With the scope read:packages.")),
        "endpoint": Wording(
            help=_("Empty: https://api.github.com. Of an Enterprise Server: https://HOST/api/v3."),
            placeholder=API,
        ),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_("ghcr.io, api.github.com and pkg-containers.githubusercontent.com, on 443."),
        account=_(
            "A personal access token (classic) with read:packages of a user who may read the packages, authorized for"
            " organizations with single sign-on. Listing organizations needs read:org too."
        ),
        notes=_("The packages of the user and of all organizations of the user are listed."),
    ),
)


class GithubConnector(VendorConnector):
    """The container packages that the user of a token sees."""

    declaration: ClassVar[Declaration] = DECLARATION

    def __init__(self, client: DistributionClient, facts: RegistryFacts) -> None:
        super().__init__(client, facts)
        self._api = facts.open_api(facts.endpoint or API, "bearer")

    def ping(self) -> None:
        """Prove the token by GitHub's API, and by the registry itself."""
        with self.client.proving():
            response = self._api.get("/user")
            if response.status == 401:
                raise self._api.refuse()
            response.item(messages.USER_OF_TOKEN())
            self._api.accept()
        self.client.ping()

    def list_repositories(self) -> Iterator[str]:
        """Yield the packages of the user and of each organization. Raises PartsUnreadable for those left out."""
        parts = Parts()
        login = strict_json.text(self._api.get("/user").item(messages.USER_OF_TOKEN()).get("login"), 100)
        yield from parts.read(login, self._packages("/user/packages", login))
        for row in self._rows("/user/orgs"):
            name = strict_json.text(row.get("login"), 100)
            yield from parts.read(name, self._packages(f"/orgs/{quote(name, safe='')}/packages", name))
        parts.raise_failed(lambda names: messages.PACKAGES_NOT_LISTABLE(owners=names), messages.AUTHORIZE_TOKEN())

    def _packages(self, path: str, owner: str) -> Iterator[str]:
        for row in self._rows(path, package_type="container"):
            named = row.get("owner")
            login = named.get("login") if isinstance(named, dict) else None
            yield f"{strict_json.text(login or owner, 100)}/{strict_json.text(row.get('name'), 200)}".lower()

    def list_tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags with digest and push time; names alone where GitHub does not list the versions."""
        owner, _slash, name = repository.partition("/")
        versions = f"/packages/container/{quote(name, safe='')}/versions"
        for path in (f"/orgs/{quote(owner, safe='')}{versions}", f"/users/{quote(owner, safe='')}{versions}"):
            rows = self._rows(path)
            try:
                first = next(rows, None)
            except AccessDenied:
                continue
            except MalformedResponse:
                raise
            if first is None:
                continue
            yield from _refs(first)
            for row in rows:
                yield from _refs(row)
            return
        yield from super().list_tags(repository)

    def _rows(self, path: str, **params: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of all pages; none for what is not there."""
        subject = messages.LIST_OF_PACKAGES()
        for page in range(1, MAX_PAGES):
            response = self._api.get(path, {**params, "per_page": PAGE_SIZE, "page": page})
            if response.status == 404:
                return
            rows = response.items(subject)
            yield from rows
            if len(rows) < PAGE_SIZE:
                return


def _refs(row: dict[str, Any]) -> Iterator[TagRef]:
    container = row.get("metadata", {}).get("container") if isinstance(row.get("metadata"), dict) else None
    for tag in (container or {}).get("tags") or ():
        digest, pushed = str(Digest.parse(row.get("name"))), strict_json.parse_time(row.get("updated_at"))
        yield TagRef(strict_json.text(tag, 200), digest=digest, pushed_at=pushed)


VENDOR = Vendor(DECLARATION, GithubConnector)

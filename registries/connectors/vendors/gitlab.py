"""GitLab: repositories of the projects of an account by GitLab's API, pulled from its registry on a host of its own.

docs.gitlab.com/api/container_registry: ``/projects/:id/registry/repositories`` names ``path``. Pages are told by the
header X-Next-Page (docs.gitlab.com/api/rest, "Offset-based pagination").
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from django.utils.translation import gettext_lazy as _

from registries.connectors import messages
from registries.connectors.base import Declaration, Guide, RegistryFacts, Vendor, Wording
from registries.connectors.declarations import REPOSITORIES_WORDING
from registries.connectors.parts import Parts
from registries.connectors.vendor import VendorConnector
from registries.oci import strict_json
from registries.oci.client import DistributionClient
from registries.oci.errors import AccessDenied, NotFound

DEFAULT_API = "https://gitlab.com"  # of registry.gitlab.com
PAGE_SIZE = 100
MAX_PAGES = 20_000
DECLARATION = Declaration(
    type="gitlab",
    label="GitLab",
    fields=("address", "username", "password", "token_service", "endpoint", "repositories"),
    required=frozenset({"address"}),
    wording={
        "address": Wording(
            help=_("The host of the registry, as in docker pull."), placeholder="https://registry.gitlab.example.com"
        ),
        "username": Wording(help=_("The user, or the name of the deploy token.")),
        "password": Wording(
            label=_("Access token"),
            help=_("With read_api and read_registry. A deploy token has no API: type the repositories then."),
        ),
        "endpoint": Wording(
            label=_("Address of GitLab"),
            help=_("Empty: https://gitlab.com. It is asked for the projects, and receives the token."),
            placeholder="https://gitlab.example.com",
        ),
        "repositories": REPOSITORIES_WORDING,
    },
    guide=Guide(
        network=_("The host of the registry, that of GitLab (API and tokens) and the object store, on 443."),
        account=_(
            "A personal, group or project access token with read_api and read_registry, of a member with the role"
            " Reporter or more in the projects."
        ),
        notes=_(
            "A self-managed GitLab issues the tokens of its registry: allow it as the token service. Only projects of"
            " which the account is a member are listed."
        ),
    ),
)


class GitlabConnector(VendorConnector):
    """The registry of one GitLab."""

    declaration: ClassVar[Declaration] = DECLARATION

    def __init__(self, client: DistributionClient, facts: RegistryFacts) -> None:
        super().__init__(client, facts)
        self._api = facts.open_api(f"{facts.endpoint or DEFAULT_API}/api/v4", "bearer")

    def list_repositories(self) -> Iterator[str]:
        """Yield the repositories of all projects. Raises PartsUnreadable at the end for projects left out."""
        if not self.has_login:
            yield from super().list_repositories()
            return
        self.client.ping()
        self._prove_token()
        parts, subject = Parts(), messages.LIST_OF_PROJECTS()
        for project in self._rows("/projects", subject, membership="true", simple="true", order_by="id"):
            number = project.get("id")
            if not isinstance(number, int):
                continue
            name = strict_json.text(project.get("path_with_namespace"), 300)
            yield from parts.read(name, self._names(number))
            if isinstance(parts.failed.get(name), NotFound):  # a project without a registry
                del parts.failed[name]
        parts.raise_failed(lambda names: messages.PROJECTS_NOT_LISTABLE(projects=names), messages.MAKE_REPORTER())

    def _prove_token(self) -> None:
        response = self._api.get("/version")
        if response.status == 401:  # the registry has taken it, or this is not asked
            raise AccessDenied(messages.GITLAB_API_REFUSES(), messages.USE_TOKEN_WITH_API())

    def _names(self, project: int) -> Iterator[str]:
        for row in self._rows(f"/projects/{project}/registry/repositories", messages.LIST_OF_REPOSITORIES()):
            yield strict_json.text(row.get("path"), 300)

    def _rows(self, path: str, subject: str, **params: str) -> Iterator[dict[str, Any]]:
        page = "1"
        for _number in range(MAX_PAGES):
            response = self._api.get(path, {**params, "per_page": PAGE_SIZE, "page": page})
            yield from response.items(subject)
            following = response.headers.get("X-Next-Page", "")
            if not following.isdecimal() or following == page:
                return
            page = following


VENDOR = Vendor(DECLARATION, GitlabConnector)

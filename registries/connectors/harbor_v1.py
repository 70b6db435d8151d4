"""Harbor 1.x: projects, repositories and tags of ``/api``."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import ClassVar
from urllib.parse import quote

from registries.connectors import messages
from registries.connectors.base import TagRef
from registries.connectors.harbor import HarborConnector, Row, incomplete_row, projects_denied, require_text
from registries.connectors.parts import Parts
from registries.oci import strict_json
from registries.oci.client import DistributionClient
from registries.oci.errors import AccessDenied, NotFound, RegistryError, TooLarge
from registries.oci.references import Digest

TAG_LIST_SECONDS = 180.0  # Harbor reads the manifest of every tag before it answers


class HarborV1Connector(HarborConnector):
    """Lists digest, size and push time with the tags. Robots of this Harbor may only pull: they need a typed list."""

    version: ClassVar[str] = "v1"

    def __init__(self, client: DistributionClient, *, repositories: str, host: str) -> None:
        super().__init__(client, root="/api", repositories=repositories, host=host)
        self._api_error: RegistryError | None = None  # why the API lists nothing to these credentials
        self._tag_list_lock = threading.Lock()

    def check_api_login(self) -> None:
        """See whether the API knows the account too. One that only pulls will do for a typed list of repositories."""
        status = self._account_status()
        if status == 500:  # Harbor 1 stumbles over its own robots here
            self._api_error = AccessDenied(
                messages.ROBOT_CANNOT_LIST(),
                messages.ENTER_USER_OR_LIST(),
            )
        elif status == 200:
            self._api_error = None
        else:
            self._api_error = AccessDenied(
                messages.HARBOR_REFUSES_CREDENTIALS(),
                messages.USE_HARBOR_USER(),
            )

    def _account_status(self) -> int:
        return self.api.get("/users/current").status

    def repositories(self) -> Iterator[str]:
        """Yield the typed names, or those of all projects. Raises PartsUnreadable at the end for projects left out."""
        if self.fixed:
            yield from self.distribution.repositories()
            return
        self.ensure_proven()
        if self._api_error is not None:
            raise self._api_error
        parts, subject = Parts(), messages.LIST_OF_PROJECTS()
        for projects in self.pages("/projects", subject):
            for project in projects:
                name = require_text(project, "name", subject)
                yield from parts.read(name, self._names(project))
                error = parts.failed.get(name)
                if isinstance(error, NotFound) or (isinstance(error, AccessDenied) and project.get("repo_count") == 0):
                    del parts.failed[name]  # deleted in between, or empty
        if self.api.has_login and self._account_status() == 401:
            raise self.api.refuse()  # changed meanwhile: what was listed last was anybody's view
        parts.raise_failed(projects_denied, messages.MAKE_USER_MEMBER())

    def _names(self, project: Row) -> Iterator[str]:
        subject = messages.LIST_OF_REPOSITORIES()
        number = project.get("project_id")
        if not isinstance(number, int):
            raise incomplete_row("project_id", messages.LIST_OF_PROJECTS())
        for rows in self.pages("/repositories", subject, project_id=number, sort="creation_time"):
            yield from (require_text(row, "name", subject) for row in rows)

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository``; names alone where Harbor's API does not give them."""
        self.ensure_proven()
        rows = self._rows(repository) if self._api_error is None else None
        if rows is None:
            yield from self.distribution.tags(repository)
            return
        for row in rows:
            ref = _ref(row)
            if self.distribution.includes_tag(repository, ref.name):
                yield ref

    def _rows(self, repository: str) -> list[Row] | None:
        """Return the tags, all in one answer; None where the registry itself should be asked for them."""
        path = f"/repositories/{quote(repository)}/tags"
        try:
            with self._tag_list_lock:  # one at a time: each costs Harbor as many reads as there are tags
                response = self.api_get(path, {"detail": 1}, head_seconds=TAG_LIST_SECONDS)
        except TooLarge:
            return None
        if response.status == 500:  # one broken tag spoils the list
            return None
        try:
            return response.items(messages.LIST_OF_TAGS())
        except NotFound:
            return None
        except AccessDenied:
            if not self.api.has_login:
                raise
            return None


def _ref(row: Row) -> TagRef:
    digest, size = row.get("digest"), row.get("size")
    whole = bool(row.get("architecture"))  # of schema 1 the size is that of the manifest alone
    pushed = row.get("push_time") if "push_time" in row else row.get("created")  # before 1.9 there is no push time
    return TagRef(
        name=require_text(row, "name", messages.LIST_OF_TAGS()),
        digest=str(Digest.parse(digest)) if digest else None,
        size=size if whole and isinstance(size, int) and 0 < size < 1 << 50 else None,
        pushed_at=strict_json.parse_time(pushed),
    )

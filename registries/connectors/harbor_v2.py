"""Harbor 2.x: projects, repositories and artifacts of ``/api/v2.0``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import quote

from console.i18n.explained import NOTHING
from registries.connectors import messages
from registries.connectors.base import TagRef
from registries.connectors.harbor import PAGE_SIZE, HarborConnector, Row, projects_denied, require_text, total_count
from registries.oci import media_types, strict_json
from registries.oci.client import DistributionClient
from registries.oci.errors import AccessDenied, NotFound
from registries.oci.references import Digest
from registries.oci.vendor_api import ApiResponse, objects

# What Harbor has recognised has a type of its own (CHART, SBOM, …; the set grows); UNKNOWN may be anything.
_MAYBE_IMAGE_TYPES = frozenset({"IMAGE", "UNKNOWN"})
# Types of a config, or of an index in its place, that images have. Any other tells that this is none.
_IMAGE_TYPES = (
    media_types.IMAGE_CONFIGS
    | media_types.INDEXES
    | media_types.MANIFESTS
    | media_types.SCHEMA1S
    | media_types.GENERIC  # text/html: configs of old Docker pushes (docker/distribution#1621)
)
_LOGGED_IN_KEYS = ("registry_url", "external_url", "current_time")  # Harbor tells these to those who are logged in


class HarborV2Connector(HarborConnector):
    """Lists digest, size and push time of every tag with it, so that a sync asks for no manifest it knows."""

    version: ClassVar[str] = "v2"

    def __init__(self, client: DistributionClient, *, repositories: str, host: str) -> None:
        super().__init__(client, root="/api/v2.0", repositories=repositories, host=host)
        self._denied: set[str] = set()  # projects whose artifacts the account may pull and not list
        self._encode_twice = True  # see _path

    def check_api_login(self) -> None:
        """Raises AccessDenied where the API takes for anybody whom the token service has let in."""
        if not self._is_logged_in():
            raise AccessDenied(
                messages.HARBOR_REFUSES_CREDENTIALS(),
                messages.USE_ROBOT_OR_CLI_SECRET(),
            )

    def _is_logged_in(self) -> bool:
        about = self.api.get("/systeminfo").item(messages.ITS_SYSTEM_INFORMATION())
        return any(about.get(key) for key in _LOGGED_IN_KEYS)

    def repositories(self) -> Iterator[str]:
        """Yield the typed names, or those of all projects. Raises AccessDenied at the end for projects left out."""
        if self.fixed:
            yield from self.distribution.repositories()
            return
        self.ensure_proven()
        denied: set[str] = set()
        for project in self._projects():
            try:
                yield from self._names(f"/projects/{quote(project, safe='')}/repositories")
            except AccessDenied:
                denied.add(project)
        if denied:
            yield from self._visible_elsewhere(denied)
        if self.api.has_login and not self._is_logged_in():
            raise self.api.refuse()  # changed meanwhile: what was listed last was anybody's view

    def _projects(self) -> Iterator[str]:
        subject = messages.LIST_OF_PROJECTS()
        for rows in self.pages("/projects", subject, sort="creation_time"):
            yield from (require_text(row, "name", subject) for row in rows)

    def _names(self, path: str) -> Iterator[str]:
        subject = messages.LIST_OF_REPOSITORIES()
        for rows in self.pages(path, subject, sort="creation_time"):
            yield from (require_text(row, "name", subject) for row in rows)

    def _visible_elsewhere(self, denied: set[str]) -> Iterator[str]:
        """Yield what an account that may only pull from the projects ``denied`` is shown elsewhere (Harbor ≥ 2.3)."""
        shown = set()
        try:
            for name in self._names("/repositories"):
                shown.add(name.partition("/")[0])
                yield name
        except (AccessDenied, NotFound):
            pass
        # one that is not listed any more was deleted in between: Harbor says 403 of what is not there
        if hidden := (denied - shown) & set(self._projects()):
            raise projects_denied(
                hidden,
                messages.GIVE_ROBOT_LIST_RIGHTS(),
            )

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of all artifacts that may be images; names alone where only pulling is allowed."""
        self.ensure_proven()
        project, _slash, name = repository.partition("/")
        if name and project not in self._denied:
            try:
                for row in self._artifacts(project, name):
                    yield from (ref for ref in _refs(row) if self.distribution.includes_tag(repository, ref.name))
                return
            except NotFound:
                pass  # gone, or a proxy that spoils the path: the registry knows
            except AccessDenied:
                if not self.api.has_login:
                    raise
                self._denied.add(project)
        yield from self.distribution.tags(repository)

    def _artifacts(self, project: str, name: str) -> Iterator[Row]:
        """Yield the artifacts of a repository: those with tags, where one page holds them.

        Several pages of them could not be trusted: a tag that moves takes an artifact out of the list, and another one
        slips past the page that is read next. So all artifacts are listed then, oldest first.
        """
        subject = messages.LIST_OF_ARTIFACTS()
        path, first = self._first_page(project, name)
        rows, total = first.items(subject), total_count(first)
        if len(rows) >= total if total >= 0 else len(rows) < PAGE_SIZE:
            yield from rows
            return
        for rows in self.pages(path, subject, with_tag="true", sort="push_time"):
            yield from rows

    def _first_page(self, project: str, name: str) -> tuple[str, ApiResponse]:
        """Ask for the first page of artifacts with tags; return it with the path that has led there.

        A name with slashes is encoded twice, as the proxy that comes with Harbor decodes it once. Where that is
        not found it is tried once the other way, and what works is kept to.
        """
        for twice in (self._encode_twice, not self._encode_twice) if "/" in name else (True,):
            encoded = quote(name, safe="")
            path = f"/projects/{quote(project, safe='')}/repositories/{quote(encoded) if twice else encoded}/artifacts"
            response = self.api_get(path, {"q": "tags=*", "with_tag": "true", "page": 1, "page_size": PAGE_SIZE})
            if response.status == 200 and "/" in name:
                self._encode_twice = twice
            if response.status != 404:
                break
        if response.status == 404:
            raise NotFound(messages.HARBOR_REPOSITORY_UNKNOWN(), NOTHING, what="repository")
        return path, response


def _refs(artifact: Row) -> Iterator[TagRef]:
    """The tags of ``artifact``, none where it is no image by what the listing tells."""
    subject = messages.LIST_OF_ARTIFACTS()
    if not _may_be_image(artifact):
        return
    for tag in objects(artifact.get("tags"), subject):
        media_type = media_types.bare(_text(artifact.get("manifest_media_type")))
        size = artifact.get("size")
        index = media_type in media_types.INDEXES  # whose size is that of all its images
        yield TagRef(
            name=require_text(tag, "name", subject),
            digest=str(Digest.parse(artifact.get("digest"))),
            media_type=media_type,
            size=size if isinstance(size, int) and 0 < size < 1 << 50 and not index else None,
            pushed_at=strict_json.parse_time(tag.get("push_time")) or strict_json.parse_time(artifact.get("push_time")),
        )


def _may_be_image(artifact: Row) -> bool:
    types = (_text(artifact.get(key)) for key in ("media_type", "artifact_type"))
    return _text(artifact.get("type")) in _MAYBE_IMAGE_TYPES and all(
        media_types.bare(each) in _IMAGE_TYPES for each in types
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

"""Harbor 2.x: projects, repositories and artifacts of ``/api/v2.0``."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

from console.i18n.message_codes import NOTHING
from registries.connectors import messages
from registries.connectors.base import TagRef
from registries.connectors.harbor import PAGE_SIZE, HarborConnector, Row, projects_denied, require_text, total_count
from registries.connectors.parts import Parts
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


@dataclass(frozen=True)
class _Project:
    """A project as it is listed. ``repositories`` is how many it holds, None where that is not told."""

    name: str
    repositories: int | None


class HarborV2Connector(HarborConnector):
    """Lists digest, size and push time of every tag with it, so that a sync asks for no manifest it knows."""

    version: ClassVar[str] = "v2"

    def __init__(self, client: DistributionClient, *, repositories: str, host: str) -> None:
        super().__init__(client, root="/api/v2.0", repositories=repositories, host=host)
        self._denied: set[str] = set()  # projects whose artifacts the account may pull and not list
        self._encode_twice = True  # see _path
        self._proxies: set[str] = set()  # projects that cache another registry
        self._proxies_lock = threading.Lock()
        self._projects_known = False

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
        """Yield the typed names, or those of all projects. Raises PartsUnreadable at the end for projects left out."""
        if self.fixed:
            yield from self.distribution.repositories()
            return
        self.ensure_proven()
        parts, denied = Parts(), set[str]()
        for project in self._projects():
            yield from parts.read(project.name, self._names(f"/projects/{quote(project.name, safe='')}/repositories"))
            if isinstance(parts.failed.get(project.name), AccessDenied):
                error = parts.failed.pop(project.name)
                if project.repositories != 0:  # of an empty one nothing is hidden
                    denied.add(project.name)
                    refusal = error
        if denied:
            hidden = yield from self._visible_elsewhere(denied)
            parts.failed |= dict.fromkeys(hidden, refusal)
        if self.api.has_login and not self._is_logged_in():
            raise self.api.refuse()  # changed meanwhile: what was listed last was anybody's view
        parts.raise_failed(projects_denied, messages.GIVE_ROBOT_LIST_RIGHTS())

    def _projects(self) -> Iterator[_Project]:
        subject = messages.LIST_OF_PROJECTS()
        for rows in self.pages("/projects", subject, sort="creation_time"):
            for row in rows:
                count, upstream = row.get("repo_count"), row.get("registry_id")
                name = require_text(row, "name", subject)
                if isinstance(upstream, int) and upstream > 0:
                    self._proxies.add(name)
                yield _Project(name, count if isinstance(count, int) else None)

    def _is_proxy_cache(self, project: str) -> bool:
        """Whether a project only caches what another registry holds."""
        with self._proxies_lock:
            if not self._projects_known:
                for _project in self._projects():
                    pass
                self._projects_known = True
        return project in self._proxies

    def _names(self, path: str) -> Iterator[str]:
        subject = messages.LIST_OF_REPOSITORIES()
        for rows in self.pages(path, subject, sort="creation_time"):
            yield from (require_text(row, "name", subject) for row in rows)

    def _visible_elsewhere(self, denied: set[str]) -> Generator[str, None, set[str]]:
        """Yield what an account that may only pull from the projects ``denied`` is shown elsewhere (Harbor ≥ 2.3).

        Returns those of them of which it is shown nothing.
        """
        shown = set()
        try:
            for name in self._names("/repositories"):
                shown.add(name.partition("/")[0])
                yield name
        except (AccessDenied, NotFound):
            pass
        # one that is not listed any more was deleted in between: Harbor says 403 of what is not there
        return (denied - shown) & {each.name for each in self._projects()} if denied - shown else set()

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of all artifacts that may be images; names alone where only pulling is allowed.

        Of a proxy cache, what its registry lists is what its upstream holds, and asking for that makes Harbor fetch it
        (goharbor/harbor#17155): without the right to list artifacts nothing of it is listed. Raises AccessDenied then.
        """
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
        if project in self._denied and not self.distribution.names_tags(repository) and self._is_proxy_cache(project):
            raise AccessDenied(
                messages.PROXY_CACHE_NOT_LISTABLE(project=project), messages.GIVE_ROBOT_ARTIFACT_RIGHTS()
            )
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

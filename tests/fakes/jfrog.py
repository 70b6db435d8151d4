"""An Artifactory 7, as far as it is listed and pulled from, by its documentation: there is none to run.

Each key is a registry below ``/artifactory/api/<docker|oci>/<key>/v2/``. What lies at ``/v2/`` itself is the work of a
proxy before it: all keys by path, or the one key that a subdomain or a port stands for. Its search takes AQL, of which
this server understands what a connector has reason to send; it refuses the rest.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from demo.registry_server import RegistryServer, ServerRequest, ServerResponse, error_response, json_response
from tests.fakes.registry import FakeRegistry

CHALLENGES = 'Bearer realm="{realm}",service="{service}"'  # without a scope
LOCKED_AFTER_FAILURES = 5  # failed logins
_QUERY = re.compile(r"items\.find\((\{.*\})\)\.include\(([^()]*)\)", re.DOTALL)
_NEEDED = {"repo", "path", "name"}  # of those who are no administrators


def repositories(request: ServerRequest) -> bool:
    return request.path.endswith("/api/repositories")


def search(request: ServerRequest) -> bool:
    return request.path.endswith("/api/search/aql")


def catalogs(request: ServerRequest) -> bool:
    return request.path.endswith("/v2/_catalog")


def tag_lists(request: ServerRequest) -> bool:
    return request.path.endswith("/tags/list")


def rest(request: ServerRequest) -> bool:
    return request.path.startswith("/artifactory/")


@dataclass
class ArtifactoryRepository:
    """A repository. ``kind`` is local, remote, virtual or federated; ``holds`` names the members of a virtual one."""

    key: str
    kind: str = "local"
    package: str = "docker"
    holds: tuple[str, ...] = ()
    catalog: bool = True  # whether its catalog is open


@dataclass
class RepositoryTarget:
    """Where a test puts the images of one key."""

    server: _Artifactory
    key: str

    def put_blob(self, data: bytes) -> str:
        return self.server.put_blob(data)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        return self.server.put_manifest(f"{self.key}/{repository}", reference, content, media_type)


@dataclass
class AcceptedLogins:
    """What gets in. ``users`` holds passwords and, as good as those, tokens and API keys of users."""

    users: dict[str, str] = field(default_factory=dict)
    bearers: set[str] = field(default_factory=set)  # access tokens
    api_keys: set[str] = field(default_factory=set)
    issued: set[str] = field(default_factory=set)  # by the token service of Docker
    failures: list[str] = field(default_factory=list)


class _Artifactory(RegistryServer):
    """Artifactory without faults.

    ``alone`` is the key that a proxy has put at ``/v2/`` (subdomain, port); else keys are in the path. ``context`` is
    where Artifactory lies, ``api`` whether its REST API can be reached here (its token service can, always), ``aql``
    whether its search answers.
    """

    def __init__(
        self,
        *,
        login: AcceptedLogins | None = None,
        kept: tuple[ArtifactoryRepository, ...] = (ArtifactoryRepository("docker-local"),),
        alone: str = "",
        context: str = "/artifactory",
        api: bool = True,
        aql: bool = True,
        anonymous: bool = False,
        oci_paths: bool = True,
        basic_on_docker: bool = True,
        storage: str = "",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.login = login
        self.kept = {each.key: each for each in kept}
        self.alone, self.context, self.has_api, self.has_aql = alone, context, api, aql
        self.anonymous, self.oci_paths, self.basic_on_docker = anonymous, oci_paths, basic_on_docker
        self.storage = storage  # where blobs are redirected to, "" for nowhere
        self.times: dict[tuple[str, str], str] = {}
        self._clock = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)

    # --- content --------------------------------------------------------------------------------------------------
    def shelf(self, key: str) -> RepositoryTarget:
        """Where to put images of ``key`` (of a remote one: what it has cached)."""
        return RepositoryTarget(self, key)

    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        self._clock += timedelta(minutes=1)
        self.times[repository, reference] = self._clock.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return super().put_manifest(repository, reference, content, media_type)

    def _keys(self, key: str) -> tuple[str, ...]:
        """The keys under which the content of ``key`` is stored."""
        found = self.kept.get(key)
        if found is None:
            return (key,) if key.removesuffix("-cache") in self.kept else ()
        return found.holds if found.kind == "virtual" else (f"{key}-cache" if found.kind == "remote" else key,)

    # --- who asks -------------------------------------------------------------------------------------------------
    def _lets_in(self, request: ServerRequest, *, docker: bool) -> bool:
        login = self.login
        if login is None:
            return True
        scheme, _space, value = request.headers.get("Authorization", "").partition(" ")
        api_key = request.headers.get("X-JFrog-Art-Api")
        if not scheme and not api_key:
            return self.anonymous
        name, password = _basic(value) if scheme.lower() == "basic" else ("", "")
        if api_key:
            right = api_key in login.api_keys
        elif scheme.lower() == "bearer":
            right = value in login.bearers or (docker and value in login.issued)
        else:
            right = bool(name) and login.users.get(name) == password and len(login.failures) < LOCKED_AFTER_FAILURES
            if docker and not self.basic_on_docker:
                return False
        if not right:
            login.failures.append(name or scheme or "api key")
        return right

    # --- routes ---------------------------------------------------------------------------------------------------
    def answer(self, request: ServerRequest) -> ServerResponse:
        if request.path.startswith(f"{self.context}/api/") and (self.has_api or request.path.endswith("/v2/token")):
            return self._api(request, request.path.removeprefix(f"{self.context}/api"))
        if request.path.startswith("/v2/"):
            key = self.alone
            path = request.path
            if not key:
                key, _slash, rest_of_path = request.path.removeprefix("/v2/").partition("/")
                path = f"/v2/{rest_of_path}"
            return self._docker(request, key, path, realm_key=self.alone or "null")
        return ServerResponse(404, {"Content-Type": "text/html"}, b"<h1>Not Found</h1>")

    def _api(self, request: ServerRequest, path: str) -> ServerResponse:
        if path == "/system/ping":
            return ServerResponse(200, {"Content-Type": "text/plain"}, b"OK")
        if found := re.fullmatch(r"/(docker|oci)/([^/]+)(/v2/.*)", path):
            package, key, rest_of_path = found.groups()
            if package == "oci" and not self.oci_paths:
                return _problem(404, "Not Found")
            if rest_of_path == "/v2/token":
                return self._token(request)
            return self._docker(request, key, rest_of_path, realm_key=key)
        if not self._lets_in(request, docker=False):
            return _problem(401, "Bad credentials")
        if path == "/repositories":
            package = request.first("packageType")
            rows = [each for each in self.kept.values() if package in (None, each.package)]
            kinds = request.first("type")
            return json_response(
                [
                    {"key": each.key, "type": each.kind.upper(), "packageType": each.package.title(), "url": self.url}
                    for each in rows
                    if kinds in (None, each.kind)
                ]
            )
        if path == "/search/aql":
            return self._aql(request) if self.has_aql else _problem(403, "Not allowed to search by AQL")
        return _problem(404, "Not Found")

    def _token(self, request: ServerRequest) -> ServerResponse:
        if not self._lets_in(request, docker=False) or self.login is None:
            return _problem(401, "Bad credentials")
        token = secrets.token_urlsafe(30)
        self.login.issued.add(token)
        return json_response({"token": token, "expires_in": 3600})

    def _docker(self, request: ServerRequest, key: str, path: str, *, realm_key: str) -> ServerResponse:
        if not self._lets_in(request, docker=True):
            refusal = error_response(401, "UNAUTHORIZED", "authentication is required")
            realm = f"{self.url}{self.context}/api/docker/{realm_key}/v2/token"
            refusal.headers["WWW-Authenticate"] = CHALLENGES.format(realm=realm, service=self.host)
            return refusal
        if path == "/v2/":
            return json_response({})
        if request.method not in {"GET", "HEAD"}:
            return error_response(405, "UNSUPPORTED", "not here")
        if path == "/v2/_catalog":
            return self._catalog_of(request, key)
        if path.endswith("/tags/list") and "manifest" in request.headers.get("Accept", ""):
            return ServerResponse(406)
        for stored in self._keys(key):
            inner = f"/v2/{stored}/{path.removeprefix('/v2/')}"
            answer = super().answer(ServerRequest(request.method, inner, request.query, request.headers))
            if answer.status != 404:
                return self._to_storage(answer, inner)
        return error_response(404, "NAME_UNKNOWN" if path.endswith("/tags/list") else "MANIFEST_UNKNOWN", "not found")

    def _to_storage(self, answer: ServerResponse, path: str) -> ServerResponse:
        if answer.blob is not None and self.storage:
            return ServerResponse(302, {"Location": f"{self.storage}{path}?signature=x"})
        return answer

    def _catalog_of(self, request: ServerRequest, key: str) -> ServerResponse:
        found = self.kept.get(key)
        keys = self._keys(key)
        if not keys:
            return error_response(404, "NAME_UNKNOWN", "no such repository")
        if found is not None and not found.catalog:
            return error_response(403, "DENIED", "the catalog needs more rights")
        prefixes = tuple(f"{each}/" for each in keys)
        every = {name.partition("/")[2] for name in self.store.repositories() if name.startswith(prefixes)}
        if key.endswith("-cache") and not every:
            return error_response(404, "NAME_UNKNOWN", "nothing is cached")
        left = sorted(name for name in every if name > (request.first("last") or ""))
        return json_response({"repositories": left[: int(request.first("n") or 100)]})

    # --- search ---------------------------------------------------------------------------------------------------
    def _aql(self, request: ServerRequest) -> ServerResponse:
        found = _QUERY.fullmatch(request.body.decode())
        if request.method != "POST" or request.headers.get("Content-Type") != "text/plain" or not found:
            return _problem(400, "Failed to parse query")
        wanted = [name.strip().strip('"') for name in found[2].split(",")]
        criteria = json.loads(found[1])
        if not set(wanted) >= _NEEDED or set(criteria) - {"repo", "path", "$or"}:
            return _problem(400, "For permissions reasons AQL demands the following fields: repo, path and name.")
        matches = _matcher(criteria)
        rows = [{name: row[name] for name in wanted} for row in self._files() if matches(row)]
        return json_response({"results": rows, "range": {"start_pos": 0, "end_pos": len(rows), "total": len(rows)}})

    def _files(self) -> list[dict[str, str]]:
        rows = []
        for (repository, reference), time in self.times.items():
            manifest = self.store.manifest(repository, reference)
            if manifest is None:
                continue
            key, _slash, image = repository.partition("/")
            folder = reference.replace(":", "__", 1)
            rows.append(
                {
                    "repo": key,
                    "path": f"{image}/{folder}",
                    "name": "list.manifest.json" if b'"manifests"' in manifest.content else "manifest.json",
                    "modified": time,
                    "sha256": manifest.digest.removeprefix("sha256:"),
                }
            )
        return rows


class FakeArtifactory(FakeRegistry, _Artifactory):
    """An Artifactory with faults on command: see FakeRegistry and _Artifactory for its options."""


def _matcher(criteria: dict[str, Any]) -> Callable[[dict[str, str]], bool]:
    names = [each["name"] for each in criteria["$or"]]
    pattern = criteria.get("path", {}).get("$match", "*")
    return lambda row: row["repo"] == criteria["repo"] and row["name"] in names and fnmatchcase(row["path"], pattern)


def _problem(status: int, message: str) -> ServerResponse:
    return json_response({"errors": [{"status": status, "message": message}]}, status)


def _basic(value: str) -> tuple[str, str]:
    try:
        name, _colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password

"""Registries with an API of their vendor beside ``/v2/``: each refuses what its vendor's would, and pages as small.

The users of all are ``ann`` with the password or token ``T``; what is put into the registry is at once in the API.
"""

from __future__ import annotations

import json
from typing import Any

from demo.registry_server import RegistryServer, ServerRequest, ServerResponse, error_response, json_response
from tests.fakes.registry import FakeRegistry

USER, TOKEN = "ann", "T"
PUSHED_AT = "2026-03-04T05:06:07.123Z"


class _Vendor(RegistryServer):
    """What all have: an API behind a token, the failed sign-ins that it has seen, owners that it does not show."""

    page_size = 2  # rows of a page, whatever more is asked for

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"method": "bearer", "users": {USER: TOKEN}, **options})
        self.failed_logins = 0
        self.hidden: set[str] = set()

    def signed_in(self, request: ServerRequest, token: str = TOKEN) -> bool:
        right = request.headers.get("Authorization", "") == f"Bearer {token}"
        self.failed_logins += not right
        return right

    def names(self, owner: str = "") -> list[str]:
        return [name for name in self.store.repositories() if name.startswith(owner)]

    def tags(self, repository: str) -> list[tuple[str, Any]]:
        return [(tag, self.store.manifest(repository, tag)) for tag in self.store.tags(repository) or ()]

    def page(self, request: ServerRequest, rows: list[Any]) -> tuple[list[Any], int]:
        """Return the rows of the page asked for, and the number of the next one, 0 at the end."""
        number = int(request.first("page") or 1)
        size = min(self.page_size, int(request.first("per_page") or request.first("page_size") or 20))
        shown = rows[(number - 1) * size : number * size]
        return shown, number + 1 if number * size < len(rows) else 0


class _Gitlab(_Vendor):
    """GitLab, with its API at ``/api/v4``. A project is all but the last part of a repository's name."""

    def answer(self, request: ServerRequest) -> ServerResponse:
        if not request.path.startswith("/api/v4/"):
            return super().answer(request)
        if not self.signed_in(request):
            return json_response({"message": "401 Unauthorized"}, 401)
        path = request.path.removeprefix("/api/v4")
        projects = sorted({name.rpartition("/")[0] for name in self.names()} | {"team/without-registry"})
        if path == "/version":
            return json_response({"version": "18.1.0"})
        if path == "/projects":
            if request.first("membership") != "true":
                return json_response({"message": "all projects of the world"}, 400)
            rows = [{"id": number, "path_with_namespace": name} for number, name in enumerate(projects, 1)]
            return self._rows(request, rows)
        project = projects[int(path.split("/")[2]) - 1]
        if project in self.hidden:
            return json_response({"message": "403 Forbidden"}, 403)
        if project == "team/without-registry":
            return json_response({"message": "404 Not found"}, 404)
        return self._rows(request, [{"id": 1, "path": name} for name in self.names(f"{project}/")])

    def _rows(self, request: ServerRequest, rows: list[Any]) -> ServerResponse:
        shown, following = self.page(request, rows)
        answer = json_response(shown)
        answer.headers["X-Next-Page"] = str(following or "")
        return answer


class FakeGitlab(FakeRegistry, _Gitlab):
    """A GitLab with faults on command."""


class _Github(_Vendor):
    """GitHub's API and ghcr.io in one: ann is a member of acme and closed."""

    page_size = 100
    orgs = ("acme", "closed")

    def answer(self, request: ServerRequest) -> ServerResponse:
        path = request.path
        if path.startswith("/v2/") or path == "/token":
            return super().answer(request)
        if not self.signed_in(request):
            return json_response({"message": "Bad credentials"}, 401)
        if path == "/user":
            return json_response({"login": "Ann"})
        if path == "/user/orgs":
            return json_response([{"login": each} for each in self.orgs])
        parts = path.strip("/").split("/")
        owner = USER if parts[0] == "user" else parts[1]
        if owner in self.hidden:
            return json_response({"message": "Resource protected by organization SAML enforcement"}, 403)
        if path.endswith("/packages"):
            if request.first("package_type") != "container":
                return json_response({"message": "package_type is missing"}, 400)
            rows = [{"name": name.partition("/")[2], "owner": {"login": owner}} for name in self.names(f"{owner}/")]
            return json_response(self.page(request, rows)[0])
        if path.endswith("/versions") and (parts[0] == "orgs") == (owner in self.orgs):
            held: dict[str, list[str]] = {}
            for tag, manifest in self.tags(f"{owner}/{parts[-2]}"):
                held.setdefault(manifest.digest, []).append(tag)
            rows = [
                {"name": digest, "updated_at": PUSHED_AT, "metadata": {"container": {"tags": tags}}}
                for digest, tags in held.items()
            ]
            return json_response(self.page(request, rows)[0])
        return json_response({"message": "Not Found"}, 404)


class FakeGithub(FakeRegistry, _Github):
    """A GitHub with faults on command."""


class _DockerHub(_Vendor):
    """Docker Hub's API: it signs in by a POST, and gives a token of its own."""

    orgs = ("acme", "closed")

    def answer(self, request: ServerRequest) -> ServerResponse:
        path = request.path
        if path == "/v2/auth/token":
            given = json.loads(request.body or b"{}")
            if (request.method, given) != ("POST", {"identifier": USER, "secret": TOKEN}):
                self.failed_logins += 1
                return json_response({"detail": "Incorrect authentication credentials"}, 401)
            return json_response({"access_token": "jwt"})
        if path.startswith(("/v2/user/", "/v2/namespaces/")):
            return self._api(request) if self.signed_in(request, "jwt") else json_response({"detail": "no"}, 401)
        return super().answer(request)

    def _api(self, request: ServerRequest) -> ServerResponse:
        path = request.path
        if path == "/v2/user/orgs/":
            return json_response({"count": 2, "results": [{"orgname": each} for each in self.orgs]})
        namespace = path.split("/")[3]
        if namespace in self.hidden:
            return json_response({"message": "permission denied"}, 403)
        if path.endswith("/repositories"):
            rows: list[Any] = [{"name": name.partition("/")[2]} for name in self.names(f"{namespace}/")]
        else:
            found = self.tags(f"{namespace}/{path.split('/')[5]}")
            rows = [{"name": tag, "digest": each.digest, "tag_last_pushed": PUSHED_AT} for tag, each in found]
        shown, following = self.page(request, rows)
        return json_response({"results": shown, "next": f"?page={following}" if following else None})


class FakeDockerHub(FakeRegistry, _DockerHub):
    """A Docker Hub with faults on command."""


class _Azure(_Vendor):
    """Azure ACR: ``/acr/v1`` takes Basic and lists tags with what is known of them."""

    may_read_metadata = True

    def answer(self, request: ServerRequest) -> ServerResponse:
        if not request.path.startswith("/acr/v1/"):
            return super().answer(request)
        if self.sign_in.check_basic(request.headers.get("Authorization", "")) is None or not self.may_read_metadata:
            return error_response(401, "UNAUTHORIZED", "authentication required")
        repository = request.path.removeprefix("/acr/v1/").removesuffix("/_tags")
        last = request.first("last") or ""
        found = [(tag, each) for tag, each in self.tags(repository) if tag > last][: int(request.first("n") or 100)]
        rows = [{"name": tag, "digest": each.digest, "lastUpdateTime": PUSHED_AT} for tag, each in found]
        return json_response({"registry": self.host, "imageName": repository, "tags": rows})


class FakeAzure(FakeRegistry, _Azure):
    """An Azure ACR with faults on command."""


class _Google(_Vendor):
    """Google Artifact Registry: its lists of tags tell of each manifest too."""

    def answer(self, request: ServerRequest) -> ServerResponse:
        answer = super().answer(request)
        if answer.status != 200 or not request.path.endswith("/tags/list"):
            return answer
        name = request.path.removeprefix("/v2/").removesuffix("/tags/list")
        held: dict[str, Any] = {}
        for tag, each in self.tags(name):
            facts = {"imageSizeBytes": "1234", "mediaType": each.media_type, "timeUploadedMs": "1772600767123"}
            held.setdefault(each.digest, {**facts, "tag": []})["tag"].append(tag)
        page = json.loads(answer.body)
        made = json_response({"name": name, "tags": page["tags"], "manifest": held, "child": []})
        made.headers |= {key: value for key, value in answer.headers.items() if key == "Link"}
        return made


class FakeGoogle(FakeRegistry, _Google):
    """A Google Artifact Registry with faults on command."""


class FakePlain(FakeRegistry, _Vendor):
    """Nexus, Gitea, Forgejo and zot: the distribution API, and facts about themselves at ``about``."""

    about: dict[str, Any] = {}  # path → answer

    def answer(self, request: ServerRequest) -> ServerResponse:
        if request.path in self.about:
            return json_response(self.about[request.path])
        return super().answer(request)

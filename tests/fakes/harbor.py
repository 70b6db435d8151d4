"""A Harbor, 1.10 or 2.5, as far as it is listed and pulled from; what is put into it by name is at once in its API.

It holds to what was seen of real ones: a wrong password makes its API answer 200 to anybody, a login that failed locks
the user for a while, more than 100 rows a page are refused, empty lists are null, names with slashes must be encoded
twice, hidden accessories make pages short, and every GET of a manifest moves its pull time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from demo.registry_server import ServerRequest, ServerResponse, error_response, json_response
from tests.fakes.harbor_content import ZERO_TIME, Account, Artifact, HarborContent, Nested, Project, basic, robot, user
from tests.fakes.registry import FakeRegistry

__all__ = ["Account", "FakeHarbor", "Nested", "robot", "user"]

UNSET_TIME = "0001-01-01T00:00:00Z"
_COUNT = re.compile(r"-?\d{1,6}")


def projects(request: ServerRequest) -> bool:
    return request.path.endswith("/projects")


def repositories(request: ServerRequest) -> bool:
    return request.path.endswith("/repositories")


def artifacts(request: ServerRequest) -> bool:
    return request.path.endswith("/artifacts")


def v1_tags(request: ServerRequest) -> bool:
    return request.path.startswith("/api/repositories/") and request.path.endswith("/tags")


def api(request: ServerRequest) -> bool:
    return request.path.startswith("/api/")


class _Harbor(HarborContent):
    """What it answers."""

    def answer(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/service/token":
            return self._service_token(request)
        if request.path.startswith("/api/"):
            return self._v1(request) if self.version.startswith("1.") else self._v2(request)
        answer = super().answer(request)
        if answer.status == 200 and request.method == "GET" and "/manifests/" in request.path:
            self._note_pull(request.path)
        return answer

    def _note_pull(self, path: str) -> None:
        name, _slash, reference = path.removeprefix("/v2/").rpartition("/")
        repository = name.removesuffix("/manifests")
        digest = self.store.manifest(repository, reference)
        if digest is not None:
            self.pulled.append(f"{repository}@{digest.digest}")
            self.artifacts[repository][digest.digest].row["pull_time"] = self.now()

    def _refuse(self, request: ServerRequest, scope: str) -> ServerResponse | None:
        name, _password = basic(request)
        if name is not None and self.version.startswith("2."):  # Harbor 2 takes Basic on /v2 too
            return None if self.caller(request) else error_response(401, "UNAUTHORIZED", "unauthorized")
        refusal = super()._refuse(request, scope)
        if refusal is not None:
            realm = f"{self.external_url or self.url}/service/token"
            challenge = f'Bearer realm="{realm}",service="harbor-registry"' + (f',scope="{scope}"' if scope else "")
            refusal.headers["WWW-Authenticate"] = challenge
        return refusal

    def _service_token(self, request: ServerRequest) -> ServerResponse:
        name, _password = basic(request)
        account = self.caller(request)
        if name is not None and account is None:
            return ServerResponse(401)
        if request.first("service") != "harbor-registry":
            return error_response(400, "BAD_REQUEST", "no such service")
        scopes = [value for key, value in request.query if key == "scope"]
        granted = [scope for scope in scopes if self.sees(account, scope.partition(":")[2].partition("/")[0])]
        token = self.sign_in.issue(name or "", granted)  # fewer rights than asked for are no error
        body = {"token": token, "access_token": "", "expires_in": self.sign_in.token_seconds}
        return json_response(body | {"issued_at": datetime.now(UTC).isoformat()})

    # --- Harbor 2 -------------------------------------------------------------------------------------------------
    def _v2(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/api/version":
            return ServerResponse(200, {"Content-Type": "text/plain; charset=utf-8"}, b'{"version":"v2.0"}\n')
        if not request.path.startswith("/api/v2.0/"):
            return ServerResponse(404, {"Content-Type": "text/html"}, b"<h1>404 Not Found</h1>")
        account, path = self.caller(request), request.path.removeprefix("/api/v2.0")
        if path == "/systeminfo":
            about = {"auth_mode": "db_auth", "self_registration": False, "harbor_version": f"v{self.version}-ab"}
            if account:
                about |= {"registry_url": self.host, "external_url": self.url}
            return json_response(about)
        if path == "/projects":
            seen = [each for each in self.projects.values() if self.sees(account, each.name)]
            return self._page(request, [self._project_row(each) for each in seen])
        if path == "/repositories" and self.with_global_list:
            names = [name for name in self.artifacts if self.sees(account, name.partition("/")[0])]
            return self._page(request, [self._repository_row(name) for name in names])
        if found := re.fullmatch(r"/projects/([^/]+)/repositories", path):
            project = self._project_named(found[1], request)
            return self._deny(account, project) or self._page(
                request, [self._repository_row(name) for name in self.artifacts if name.startswith(f"{project}/")]
            )
        if found := re.fullmatch(r"/projects/([^/]+)/repositories/(.+)/artifacts", path):
            name = found[2]
            if ("/" in name and self.nested != "single") or ("%2F" in name and self.nested != "double"):
                return ServerResponse(404, {"Content-Type": "text/html"}, b"<h1>404 Not Found</h1>")
            project = self._project_named(found[1], request)
            return self._deny(account, project) or self._artifacts(request, f"{project}/{unquote(name)}")
        return error_response(404, "NOT_FOUND", f"path {path} was not found")

    def _project_named(self, name: str, request: ServerRequest) -> str:
        if name.isdecimal() and request.headers.get("X-Is-Resource-Name") != "true":
            return next((each.name for each in self.projects.values() if each.project_id == int(name)), "")
        return name

    def _deny(self, account: Account | None, project: str) -> ServerResponse | None:
        if self.lists(account, project):
            return None
        return (
            error_response(403, "FORBIDDEN", "forbidden")
            if account
            else error_response(401, "UNAUTHORIZED", "unauthorized")
        )

    def _artifacts(self, request: ServerRequest, repository: str) -> ServerResponse:
        wanted = request.first("q")
        if wanted not in (None, "tags=*"):
            return error_response(400, "BAD_REQUEST", f"invalid query {wanted}")
        held = self.artifacts.get(repository, {}).values()
        rows = [each for each in held if (each.tags if wanted else each.tags or not each.child)]
        by_age = sorted(rows, key=lambda each: str(each.row["push_time"]), reverse=request.first("sort") != "push_time")
        with_tag = request.first("with_tag") != "false"
        return self._page(
            request,
            [_artifact_row(each, with_tag) for each in by_age],
            hidden={each.row["digest"] for each in by_age if each.accessory},
        )

    def _project_row(self, project: Project) -> dict[str, Any]:
        count = sum(name.startswith(f"{project.name}/") for name in self.artifacts)
        metadata = {"public": "true" if project.public else "false"}
        return {
            "project_id": project.project_id,
            "name": project.name,
            "registry_id": project.registry_id,
            "metadata": metadata,
            "repo_count": count,
        }

    def _repository_row(self, name: str) -> dict[str, Any]:
        return {"name": name, "artifact_count": len(self.artifacts[name]), "tags_count": 0, "pull_count": 0}

    def _page(self, request: ServerRequest, rows: list[dict[str, Any]], hidden: Iterable[str] = ()) -> ServerResponse:
        """One page. What is ``hidden`` is taken out after cutting, so that a page may be short, and is not counted."""
        number, size = request.first("page") or "1", request.first("page_size") or "10"
        if not (_COUNT.fullmatch(number) and _COUNT.fullmatch(size)) or not 1 <= int(size) <= 100 or int(number) < 1:
            return error_response(422, "UNPROCESSABLE_ENTITY", "page_size in query should be less than or equal to 100")
        start = (int(number) - 1) * int(size)
        left_out = set(hidden)
        shown = [row for row in rows[start : start + int(size)] if row.get("digest") not in left_out]
        answer = json_response(shown or None)
        answer.headers["X-Total-Count"] = str(len(rows) - len(left_out))
        if start + int(size) < len(rows):  # without the prefix of a proxy, and unescaped
            following = f"{request.path}?page={int(number) + 1}&page_size={size}&q=tags=~s,type=IMAGE"
            answer.headers["Link"] = f'<{following}>; rel="next"'
        return answer

    # --- Harbor 1 -------------------------------------------------------------------------------------------------
    def _v1(self, request: ServerRequest) -> ServerResponse:
        path = request.path.removeprefix("/api")
        account = self.caller(request) if path != "/systeminfo" else None
        name, _password = basic(request)
        if path == "/systeminfo":
            return json_response(
                {"harbor_version": f"v{self.version}-ab", "auth_mode": "db_auth", "registry_url": self.host}
            )
        if path == "/users/current":
            status = 401 if account is None else 500 if account.robot else 200
            return json_response(
                {"user_id": 1, "username": name} if status == 200 else {"code": status, "message": ""}, status
            )
        if path == "/projects":
            robot = account is not None and account.robot
            seen = [each for each in self.projects.values() if self.sees(None if robot else account, each.name)]
            return self._v1_page(request, [self._project_row(each) for each in seen], empty=None)
        if path == "/repositories":
            number = request.first("project_id") or ""
            if not number.isdecimal():
                return json_response({"code": 400, "message": "invalid project_id"}, 400)
            found = next((each.name for each in self.projects.values() if each.project_id == int(number)), None)
            return self._v1_deny(account, found) or self._v1_page(
                request, [self._repository_row(each) for each in self.artifacts if each.startswith(f"{found}/")]
            )
        if path.startswith("/repositories/") and path.endswith("/tags"):
            repository = path.removeprefix("/repositories/").removesuffix("/tags")
            project = repository.partition("/")[0]
            held = self.artifacts.get(repository, {}).values()
            return self._v1_deny(account, project if project in self.projects else None) or json_response(
                [self._v1_tag(request, each, tag, time) for each in held for tag, time in each.tags.items()]
            )
        return ServerResponse(404, {"Content-Type": "text/html"}, b"<title>Page Not Found</title>")

    def _v1_deny(self, account: Account | None, project: str | None) -> ServerResponse | None:
        if project is None:
            return json_response({"code": 404, "message": "project not found"}, 404)
        if self.lists(account, project):
            return None
        status = 403 if account else 401
        return json_response({"code": status, "message": "forbidden" if account else "UnAuthorized"}, status)

    def _v1_page(self, request: ServerRequest, rows: list[dict[str, Any]], empty: Any = ()) -> ServerResponse:
        number, size = request.first("page") or "", request.first("page_size") or ""
        if not number.isdecimal() or not size.isdecimal():
            return json_response({"code": 500, "message": "no page"}, 500)
        if not int(size):
            return json_response({"code": 400, "message": "invalid page_size"}, 400)
        start, count = (int(number) - 1) * int(size), min(int(size), 500)
        answer = json_response(rows[start : start + count] or empty)
        answer.headers["X-Total-Count"] = str(len(rows))
        return answer

    def _v1_tag(self, request: ServerRequest, artifact: Artifact, tag: str, pushed: str) -> dict[str, Any]:
        detail = request.first("detail") != "0"
        return {
            "name": tag,
            "digest": artifact.row["digest"] if detail else "",
            "size": artifact.row["size"] if detail else 0,
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-02T03:04:05.678901234Z",
            "config": None,
            "push_time": pushed,
            "pull_time": UNSET_TIME,
        }


class FakeHarbor(FakeRegistry, _Harbor):
    """A Harbor with faults on command: see FakeRegistry and HarborContent for its options."""


def _artifact_row(artifact: Artifact, with_tag: bool) -> dict[str, Any]:
    tags = [
        {"name": name, "push_time": pushed, "pull_time": ZERO_TIME, "immutable": False, "signed": False}
        for name, pushed in artifact.tags.items()
    ]
    return artifact.row | {"tags": (tags if with_tag else None) or None}

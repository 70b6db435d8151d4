"""A Quay 3.18, as far as it is listed and pulled from; what is put into it by name is at once in its API.

It holds to what was seen of a real one: the API knows OAuth tokens alone and takes any other credential for nobody, who
gets 200 with what is public; the root of the registry gives ``true`` as text/html; the registry takes tokens of
``/v2/auth`` alone, which gives no ``expires_in`` and refuses the scope of the catalog; failed logins of a user lock it,
for the right password too; pages hold 100 at most; the catalog does not know ``last``; and blobs come whole whatever
Range was asked for.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from demo.registry_server import RegistryServer, ServerRequest, ServerResponse, error_response, json_response
from registries.oci.media_types import ACCEPT_MANIFESTS
from tests.fakes.registry import FakeRegistry

TOKEN_USER = "$oauthtoken"
PUSHED_AT = 1_795_404_859  # start_ts of the first push; each later one is a minute later
MAX_PAGE_ROWS = 100  # rows of a page, whatever was asked for


def api(request: ServerRequest) -> bool:
    return request.path.startswith("/api/v1/")


def user_info(request: ServerRequest) -> bool:
    return request.path == "/api/v1/user/"


def repository_lists(request: ServerRequest) -> bool:
    return request.path == "/api/v1/repository"


def tag_lists(request: ServerRequest) -> bool:
    return request.path.startswith("/api/v1/") and request.path.endswith("/tag/")


def logins(request: ServerRequest) -> bool:
    return request.path == "/v2/auth"


@dataclass(frozen=True)
class OAuthToken:
    """A token that an application has given to ``user``."""

    user: str
    scopes: frozenset[str] = frozenset({"repo:read", "user:read"})


@dataclass
class AccountLock:
    """Failed logins of one user in a row, and until when nobody gets in."""

    failures: int = 0
    until: float = 0.0


@dataclass
class QuayContent:
    """What Quay knows beside manifests and blobs: the tags of each repository with their past, oldest first."""

    tags: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)  # of repositories that are not NORMAL
    kinds: dict[str, str] = field(default_factory=dict)  # of repositories that hold no images


class _Quay(RegistryServer):
    """Quay without faults. ``users`` holds passwords and robot tokens, ``rights`` the namespaces of each.

    Who is not in ``rights`` sees all namespaces. ``page_size`` is that of repositories and of the catalog.
    """

    def __init__(
        self,
        *,
        users: dict[str, str] | None = None,
        tokens: dict[str, OAuthToken] | None = None,
        rights: dict[str, set[str]] | None = None,
        public: set[str] | None = None,
        page_size: int = MAX_PAGE_ROWS,
        **options: Any,
    ) -> None:
        super().__init__(method="bearer", users=users or {}, token_seconds=3600, **options)
        self.oauth_tokens, self.rights = dict(tokens or {}), dict(rights or {})
        self.public, self.page_size = set(public or ()), page_size
        self.content = QuayContent()
        self.logins: list[tuple[str, int]] = []  # name and status of the answer
        self._locks: dict[str, AccountLock] = {}
        self._turn = threading.RLock()
        self._clock = PUSHED_AT

    # --- content --------------------------------------------------------------------------------------------------
    def put_manifest(self, repository: str, reference: str, content: bytes, media_type: str) -> str:
        digest = super().put_manifest(repository, reference, content, media_type)
        if reference != digest:
            self._tag(repository, reference, digest, json.loads(content))
        return digest

    def _tag(self, repository: str, name: str, digest: str, manifest: dict[str, Any]) -> None:
        with self._turn:
            self._end(repository, name)
            is_list = "manifests" in manifest
            row: dict[str, Any] = {
                "name": name,
                "manifest_digest": digest,
                "is_manifest_list": is_list,
                "size": None if is_list else sum(layer["size"] for layer in manifest.get("layers", ())),
                "start_ts": self._clock,
                "reversion": False,
                "immutable": False,
            }
            if is_list:
                present = {
                    child["digest"]: self.store.manifest(repository, child["digest"]) is not None
                    for child in manifest["manifests"]
                }
                row["child_manifests_presence"] = present
                row["is_sparse"] = not all(present.values())
            self.content.tags.setdefault(repository, []).append(row)
            self._clock += 60

    def _end(self, repository: str, name: str) -> None:
        for row in self.content.tags.get(repository, ()):
            if row["name"] == name and "end_ts" not in row:
                row["end_ts"] = self._clock

    def remove_tag(self, repository: str, name: str, *, at: int | None = None) -> None:
        """Delete a tag, or let it have expired ``at`` a time; it stays in the repository's past."""
        with self._turn:
            self._end(repository, name)
            for row in self.content.tags[repository]:
                if at is not None and row["name"] == name:
                    row["end_ts"] = at
            self.store.remove_tag(repository, name)

    def remove_repository(self, repository: str) -> None:
        """Delete a repository with all its tags."""
        with self._turn:
            self.content.tags.pop(repository, None)
            self.store.remove_repository(repository)

    def _live(self, repository: str) -> list[dict[str, Any]]:
        return [row for row in self.content.tags.get(repository, ()) if "end_ts" not in row]

    # --- who asks -------------------------------------------------------------------------------------------------
    def _sees(self, user: str | None, repository: str) -> bool:
        namespace = repository.partition("/")[0]
        if repository in self.public:
            return True
        return user is not None and namespace in self._namespaces(user)

    def _namespaces(self, user: str) -> set[str]:
        every = {name.partition("/")[0] for name in self.content.tags}
        return self.rights.get(user, every)

    def _bearer(self, request: ServerRequest) -> OAuthToken | None:
        scheme, _space, value = request.headers.get("Authorization", "").partition(" ")
        return self.oauth_tokens.get(value) if scheme.lower() == "bearer" else None

    # --- routes ---------------------------------------------------------------------------------------------------
    def answer(self, request: ServerRequest) -> ServerResponse:
        if request.path == "/v2/auth":
            return self._login(request)
        if request.path.startswith("/api/v1/"):
            return self._api(request)
        for pattern, scope, route in _OWN_ROUTES:
            if request.method in {"GET", "HEAD"} and (found := pattern.fullmatch(request.path)):
                refusal = self._refuse(request, scope.format(**found.groupdict()))
                return refusal or route(self, request, **found.groupdict())
        return super().answer(request)

    def _login(self, request: ServerRequest) -> ServerResponse:
        name, password = _basic(request)
        status, message = self._judge(name, password) if name is not None else (200, "")
        if name is not None:
            self.logins.append((name, status))
        if status == 429:
            return ServerResponse(
                429, {"Content-Type": "text/html; charset=utf-8", "Retry-After": "1"}, b"Too many login attempts"
            )
        if status == 401:
            return error_response(401, "UNAUTHORIZED", message)
        if request.first("service") != self.host:
            return error_response(400, "INVALID_REQUEST", "no such service")
        scopes = [value for key, value in request.query if key == "scope"]
        if not all(re.fullmatch(r"repository:[^:]+:[a-z,*]+", scope) for scope in scopes):
            return error_response(400, "INVALID_REQUEST", "Unable to decode repository and actions")
        user = self.oauth_tokens[password].user if name == TOKEN_USER else name
        if name == TOKEN_USER and "repo:read" not in self.oauth_tokens[password].scopes:
            scopes = []
        names = {scope: scope.split(":")[1] for scope in scopes}  # less than was asked for is no error
        granted = [scope for scope, held in names.items() if held in self.content.tags and self._sees(user, held)]
        return json_response({"token": self.sign_in.issue(user or "", granted)})  # no expires_in, and it lives an hour

    def _judge(self, name: str, password: str) -> tuple[int, str]:
        if name == TOKEN_USER:
            known = password in self.oauth_tokens
            return (200, "") if known else (401, "OAuth token is not valid")
        right = self.sign_in.users.get(name) == password
        if "+" in name:  # robots are not locked
            known = name in self.sign_in.users
            message = "Invalid Username or Password" if known else f"Could not find robot with username: {name}"
            return (200, "") if right else (401, message)
        lock = self._locks.setdefault(name, AccountLock())
        if time.monotonic() < lock.until:
            return 429, ""
        if right:
            lock.failures = 0
            return 200, ""
        lock.failures += 1
        lock.until = time.monotonic() + 2**lock.failures
        return 401, "Invalid Username or Password"

    def lock(self, name: str) -> None:
        """Let somebody else have failed to sign in as ``name``."""
        self._locks[name] = AccountLock(failures=1, until=time.monotonic() + 3600)

    # --- the registry ---------------------------------------------------------------------------------------------
    def _refuse(self, request: ServerRequest, scope: str) -> ServerResponse | None:
        authorization = request.headers.get("Authorization", "")
        if authorization.lower().startswith("basic"):
            return ServerResponse(401, {"Content-Type": "text/html"}, b'{"error": "Invalid bearer token format"}')
        if request.path == "/v2/_catalog":  # any token will do, and none
            return None
        refusal = super()._refuse(request, scope)
        if refusal is not None:
            challenge = f'Bearer realm="{self.url}/v2/auth",service="{self.host}"'
            refusal.headers["WWW-Authenticate"] = challenge + (f',scope="{scope}"' if scope else "")
        return refusal

    def _root(self, request: ServerRequest) -> ServerResponse:
        return ServerResponse(200, {"Content-Type": "text/html; charset=utf-8"}, b"true")

    def _catalog(self, request: ServerRequest) -> ServerResponse:
        token = request.headers.get("Authorization", "").partition(" ")[2]
        user = None
        if token:
            if self.sign_in.refuse_bearer(f"Bearer {token}", "") is not None:
                return error_response(401, "UNAUTHORIZED", "Invalid token")
            encoded = token.partition(".")[0]
            user = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))["sub"] or None
        names = [name for name in self.content.tags if user and self._sees(user, name)]  # by id, not by name
        size = min(int(request.first("n") or MAX_PAGE_ROWS), self.page_size)
        start = _position(request.first("next_page"))
        answer = json_response({"repositories": names[start : start + size]})
        if start + size < len(names):
            following = urlencode({"n": size, "next_page": _opaque(start + size)})
            answer.headers["Link"] = f'</v2/_catalog?{following}>; rel="next"'
        return answer

    def _tags(self, request: ServerRequest, name: str) -> ServerResponse:
        names = sorted(row["name"] for row in self._live(name))
        left = [each for each in names if each > (request.first("last") or "")]
        size = min(int(request.first("n") or 50), MAX_PAGE_ROWS)
        answer = json_response({"name": name, "tags": left[:size]})
        if len(left) > size:
            following = urlencode({"n": size, "last": left[size - 1]})
            answer.headers["Link"] = f'</v2/{quote(name)}/tags/list?{following}>; rel="next"'
        return answer

    def _manifest(self, request: ServerRequest, name: str, reference: str) -> ServerResponse:
        if request.headers.get("Accept") != ACCEPT_MANIFESTS:  # it would be converted, to another digest
            return error_response(404, "MANIFEST_UNKNOWN", "converted to schema 1")
        ended = [row for row in self.content.tags.get(name, ()) if row["name"] == reference and "end_ts" in row]
        if ended and not any(row["name"] == reference for row in self._live(name)):
            return error_response(404, "TAG_EXPIRED", f"Tag {reference} was deleted or has expired.")
        return super()._manifest(request, name, reference)

    def _blob(self, request: ServerRequest, name: str, digest: str) -> ServerResponse:
        del request.headers["Range"]
        return super()._blob(request, name, digest)

    # --- the API --------------------------------------------------------------------------------------------------
    def _api(self, request: ServerRequest) -> ServerResponse:
        token, path = self._bearer(request), request.path.removeprefix("/api/v1")
        if path == "/user/":
            if token is None or "user:read" not in token.scopes:
                return _problem(401, "invalid_token")
            others = sorted(self._namespaces(token.user) - {token.user})
            return json_response({"username": token.user, "organizations": [{"name": name} for name in others]})
        if path == "/repository":
            return self._repositories(request, token)
        if found := re.fullmatch(r"/repository/([^/]+/.+)/tag/", path):
            return self._api_tags(request, token, found[1])
        return _problem(404, "not_found")

    def _repositories(self, request: ServerRequest, token: OAuthToken | None) -> ServerResponse:
        namespace = request.first("namespace")
        if not namespace:
            return _problem(400, "invalid_request")
        user = token.user if token and "repo:read" in token.scopes else None
        rows = [
            {
                "namespace": namespace,
                "name": name.partition("/")[2],
                "is_public": name in self.public,
                "kind": self.content.kinds.get(name, "image"),
                "state": self.content.states.get(name, "NORMAL"),
            }
            for name in self.content.tags
            if name.startswith(f"{namespace}/") and self._sees(user, name)
        ]
        wanted = request.first("repo_kind")
        rows = [row for row in rows if wanted in (None, row["kind"])]
        start = _position(request.first("next_page"))
        body: dict[str, Any] = {"repositories": rows[start : start + self.page_size]}
        if start + self.page_size < len(rows):
            body["next_page"] = _opaque(start + self.page_size)
        return json_response(body)

    def _api_tags(self, request: ServerRequest, token: OAuthToken | None, name: str) -> ServerResponse:
        user = token.user if token and "repo:read" in token.scopes else None
        if not self._sees(user, name):  # of what does not exist it says the same, but to the namespace's own
            if token is None:
                return _problem(401, "invalid_token")
            return _problem(403, "insufficient_scope")
        if name not in self.content.tags:
            return _problem(404, "not_found")
        rows = self._live(name) if request.first("onlyActiveTags") == "true" else self.content.tags[name]
        rows = sorted(rows, key=lambda row: int(row["start_ts"]), reverse=True)
        size, number = min(int(request.first("limit") or 50), MAX_PAGE_ROWS), int(request.first("page") or 1)
        shown = rows[(number - 1) * size : number * size]
        return json_response({"tags": shown, "page": number, "has_additional": len(rows) > number * size})


# path, scope that a token needs, method: where Quay differs from other registries
_OWN_ROUTES: tuple[tuple[re.Pattern[str], str, Callable[..., ServerResponse]], ...] = (
    (re.compile(r"/v2/"), "", _Quay._root),
    (re.compile(r"/v2/_catalog"), "", _Quay._catalog),
    (re.compile(r"/v2/(?P<name>.+)/tags/list"), "repository:{name}:pull", _Quay._tags),
    (re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)"), "repository:{name}:pull", _Quay._manifest),
    (re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>[^/]+)"), "repository:{name}:pull", _Quay._blob),
)


class FakeQuay(FakeRegistry, _Quay):
    """A Quay with faults on command: see FakeRegistry and _Quay for its options."""


def _problem(status: int, kind: str) -> ServerResponse:
    return json_response(
        {"status": status, "error_type": kind, "detail": kind, "title": kind, "type": f"/error/{kind}"}, status
    )


def _opaque(position: int) -> str:
    return base64.urlsafe_b64encode(f"page={position}&=".encode()).decode()


def _position(token: str | None) -> int:
    """Where a page begins; a token that cannot be read means the first one."""
    try:
        return int(base64.urlsafe_b64decode(token or "").decode()[5:-2])
    except (ValueError, binascii.Error):
        return 0


def _basic(request: ServerRequest) -> tuple[str | None, str]:
    scheme, _space, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None, ""
    try:
        name, _colon, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password

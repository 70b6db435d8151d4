"""Quay (quay.io and Red Hat Quay): by its API with an OAuth token, by the registry itself with any other login.

Quay's API takes a wrong or expired token for nobody and answers 200 with what is public. So the API's word on who asks,
or the registry's token service, must come before and after all that a list says.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeGuard
from urllib.parse import quote

from registries.connectors import messages
from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import QUAY
from registries.connectors.distribution import DistributionConnector
from registries.connectors.parts import Parts
from registries.oci.client import DistributionClient
from registries.oci.errors import AccessDenied, MalformedResponse, NotARegistry
from registries.oci.references import Digest
from registries.oci.vendor_api import ApiResponse, JsonApi, Params, objects

TOKEN_USER = "$oauthtoken"  # noqa: S105  # nosec B105  # the user name by which Quay's registry takes an OAuth token
PAGE_SIZE = 100  # of tags; more is not given
MAX_PAGES = 100_000
# What a Quay that limits its clients lets through in a second (conf/nginx/rate-limiting.conf: 5), and at once.
REQUESTS_PER_SECOND, API_BURST_REQUESTS, TAGS_BURST_REQUESTS = 4.0, 20, 2
MAX_SIZE_BYTES = 2**50

Row = dict[str, Any]


class QuayConnector:
    """One Quay. A token lists digest, size and push time with the tags; robots and users list names alone."""

    declaration: ClassVar[Declaration] = QUAY

    def __init__(self, client: DistributionClient, *, username: str, repositories: str, host: str) -> None:
        self._client = client
        self._distribution = DistributionConnector(client, repositories=repositories, host=host)
        self.fixed = self._distribution.fixed
        self._by_token = username == TOKEN_USER
        self._anonymous = not username
        self._api: JsonApi = client.api("/api/v1", scheme="bearer" if self._by_token else "none")
        self._api_limiter = RateLimiter(client.wait, burst=API_BURST_REQUESTS)
        self._registry_limiter = RateLimiter(client.wait, burst=TAGS_BURST_REQUESTS)
        self._proof = threading.Lock()
        self._proven = False
        self._namespaces: tuple[str, ...] | None = None  # None: the token may not tell

    def ping(self) -> None:
        """Prove the credentials: by what the API calls the token's user, or by the registry's token service."""
        with self._proof:
            self._proven = False
            self._prove()

    def _ensure_proven(self) -> None:
        with self._proof:
            if not self._proven:
                self._prove()

    def _prove(self) -> None:
        with self._client.proving():
            self._namespaces = self._own_namespaces() if self._by_token else None
            if self._namespaces is None:  # a token without user:read is refused by the API, and still lists and pulls
                self._client.ping()
        self._proven = True

    def _own_namespaces(self) -> tuple[str, ...] | None:
        """Return the namespaces of the token's user; None where the API takes the token for nobody's."""
        self._api_limiter()
        response = self._api.get("/user/")
        if response.status in {401, 403}:
            return None
        if response.status == 404:
            raise NotARegistry(messages.NO_QUAY(), messages.CHECK_TYPE_AND_ADDRESS())
        subject = messages.USER_OF_TOKEN()
        user = response.item(subject)
        self._api.accept()
        names = [_text(user, "username", subject)]
        names += [_text(each, "name", subject) for each in objects(user.get("organizations"), subject)]
        return tuple(dict.fromkeys(names))

    def repositories(self) -> Iterator[str]:
        """Yield the typed names, those in all namespaces of the token's user, or the catalog of another login.

        Raises PartsUnreadable at the end for namespaces left out.
        """
        if self.fixed:
            yield from self._distribution.repositories()
            return
        if self._anonymous:
            raise AccessDenied(
                messages.QUAY_NEEDS_SIGN_IN(),
                messages.ENTER_ROBOT_OR_TOKEN(),
            )
        self._ensure_proven()
        if self._namespaces is None:
            yield from self._client.repositories()
            return
        parts = Parts()
        for namespace in self._namespaces:
            yield from parts.read(namespace, self._names(namespace))
        if self._own_namespaces() is None:
            raise self._api.refuse()  # revoked meanwhile: what was listed last was anybody's view
        parts.raise_failed(lambda names: messages.TOKEN_MAY_NOT_READ(what=names), messages.NEEDS_SCOPE())

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether the typed list asks for ``tag``."""
        return self._distribution.includes_tag(repository, tag)

    def _names(self, namespace: str) -> Iterator[str]:
        subject = messages.LIST_OF_REPOSITORIES()
        params: Params = {"namespace": namespace, "repo_kind": "image"}
        requested = {""}
        following = ""
        while True:
            body = self._api_get("/repository", {**params, **({"next_page": following} if following else {})}).item(
                subject
            )
            for row in objects(body.get("repositories"), subject):
                if row.get("kind") in {None, "image"} and row.get("state") != "MARKED_FOR_DELETION":
                    yield f"{_text(row, 'namespace', subject)}/{_text(row, 'name', subject)}"
            following = body.get("next_page") or ""
            if not following:
                return
            if not isinstance(following, str) or following in requested or len(requested) > MAX_PAGES:
                raise _endless_list()
            requested.add(following)

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags that are in force; names alone for other logins than tokens."""
        self._ensure_proven()
        if "/" not in repository or not (self._by_token or (self._anonymous and self.fixed)):
            self._registry_limiter()
            yield from self._distribution.tags(repository)
            return
        listed: set[str] = set()
        pages = 0
        for rows in self._pages(repository):
            pages += 1
            for row in rows:
                ref = _ref(row)
                listed.add(ref.name)
                if self._distribution.includes_tag(repository, ref.name):
                    yield ref
        if pages <= 1:
            return
        # Newest first: a tag deleted between two pages lets another one slip past. The registry lists them by name.
        self._registry_limiter()
        for name in self._client.tags(repository):
            if name not in listed and self._distribution.includes_tag(repository, name):
                yield TagRef(name)

    def _pages(self, repository: str) -> Iterator[list[Row]]:
        """Yield the tags in force, page by page; nothing for a repository that is gone."""
        subject = messages.TAGS_OF_REPOSITORY(repository=repository)
        before: list[Row] = []
        for number in range(1, MAX_PAGES):
            params: Params = {"onlyActiveTags": "true", "limit": PAGE_SIZE, "page": number}
            response = self._api_get(f"/repository/{quote(repository)}/tag/", params)
            if response.status == 404 and response.error_text("error_type") == "not_found":
                return
            if response.status == 403 and self._by_token:
                raise AccessDenied(
                    messages.TOKEN_MAY_NOT_READ(what=subject),
                    messages.NEEDS_SCOPE(),
                )
            body = response.item(subject)
            rows = objects(body.get("tags"), subject)
            if rows and rows == before:
                raise _endless_list()
            yield [row for row in rows if not _has_ended(row)]
            if body.get("has_additional") is not True:
                return
            before = rows
        raise _endless_list()

    def _api_get(self, path: str, params: Params) -> ApiResponse:
        self._api_limiter()
        return self._api.get(path, params)


class RateLimiter:
    """Lets a call through ``REQUESTS_PER_SECOND`` times a second, ``burst`` of them at once. For several threads."""

    def __init__(self, wait: Callable[[float], None], *, burst: int) -> None:
        self._wait, self._burst = wait, burst
        self._lock = threading.Lock()
        self._due = 0.0  # time.monotonic() by which all calls so far would have come one by one

    def __call__(self) -> None:
        """Wait for this call's turn. Raises what the wait raises."""
        with self._lock:
            now = time.monotonic()
            self._due = max(self._due, now) + 1 / REQUESTS_PER_SECOND
            pause = self._due - now - self._burst / REQUESTS_PER_SECOND
        if pause > 0:
            self._wait(pause)


def _ref(row: Row) -> TagRef:
    digest, size, since = row.get("manifest_digest"), row.get("size"), row.get("start_ts")
    return TagRef(
        name=_text(row, "name", messages.LIST_OF_TAGS()),
        digest=str(Digest.parse(digest)) if digest else None,
        size=size if _is_count(size) and not row.get("is_manifest_list") else None,
        pushed_at=datetime.fromtimestamp(since, UTC) if _is_count(since, below=1 << 35) else None,
    )


def _has_ended(row: Row) -> bool:
    """Whether a tag was deleted or has expired: an old Quay may list those too."""
    ends = row.get("end_ts")
    return _is_count(ends) and ends <= time.time()


def _is_count(value: Any, *, below: int = MAX_SIZE_BYTES) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < below


def _text(row: Row, key: str, subject: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise MalformedResponse(
            messages.KEY_NOT_PROPER(key=key, what=subject),
            messages.CHECK_TYPE(),
        )
    return value


def _endless_list() -> MalformedResponse:
    return MalformedResponse(
        messages.QUAY_LIST_WITHOUT_END(),
        messages.ENTER_LIST_OR_ROBOT(),
    )

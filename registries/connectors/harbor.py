"""What both generations of Harbor share: which one answers, whom it knows, and lists that come in numbered pages.

Harbor answers a wrong password on its API like no password: 200, with what is public. So nothing that a list says
counts before the credentials are proven, by its token service (which refuses) and by its API (which tells who asks).
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from console.i18n.message_codes import Message
from registries.connectors import messages
from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import HARBOR
from registries.connectors.distribution import DistributionConnector
from registries.oci import strict_json
from registries.oci.client import DistributionClient
from registries.oci.errors import (
    AccessDenied,
    MalformedResponse,
    NotARegistry,
    NotFound,
    ServerError,
    WrongVersion,
)
from registries.oci.vendor_api import ApiResponse, JsonApi

PAGE_SIZE = 100  # more is refused with 422
MAX_PAGES = 100_000
MAX_EMPTY_PAGES = 3  # in a row where more was announced: Harbor takes what it hides out of a page after cutting it
MAX_LIST_STARTS = 4  # of one list that shrinks while it is read

Row = dict[str, Any]


class HarborConnector(ABC):
    """One Harbor. See Connector; ``version`` is the generation that a person chose."""

    declaration: ClassVar[Declaration] = HARBOR
    version: ClassVar[str]

    def __init__(self, client: DistributionClient, *, root: str, repositories: str, host: str) -> None:
        self.client = client
        self.api: JsonApi = client.api(root)
        self.distribution = DistributionConnector(client, repositories=repositories, host=host)
        self.fixed = self.distribution.fixed
        self.about = ""  # the version of Harbor, once it was asked
        self._proof = threading.Lock()
        self._proven = False

    def ping(self) -> None:
        """Prove that a Harbor of the chosen version answers and that it takes the credentials.

        Raises WrongVersion, NotARegistry, CredentialsRefused, and what the network raises.
        """
        with self._proof:
            self._proven = False
            self._prove()

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether the typed list asks for ``tag``."""
        return self.distribution.includes_tag(repository, tag)

    @abstractmethod
    def repositories(self) -> Iterator[str]:
        """Yield the names of all repositories that the account can list, "project/name"."""

    @abstractmethod
    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of a repository with the digest that each names."""

    @abstractmethod
    def check_api_login(self) -> None:
        """Ask the API whom it takes us for, the token service having taken the credentials."""

    def ensure_proven(self) -> None:
        """Prove the credentials unless that is done: one thread does, lest a wrong password is tried by several."""
        with self._proof:
            if not self._proven:
                self._prove()

    def _prove(self) -> None:
        found, name = detect_version(self.client)
        self.about = name or found.upper()
        if found != self.version:
            raise WrongVersion(
                messages.HARBOR_OF_OTHER_VERSION(found=self.about),
                messages.CHOOSE_VERSION(version=found.upper()),
                version=found,
            )
        self.client.ping()
        if self.api.has_login:
            self.check_api_login()
        self._proven = True

    def api_get(self, path: str, params: dict[str, str | int], *, head_seconds: float | None = None) -> ApiResponse:
        """GET from the API. Raises CredentialsRefused where credentials that were proven are taken no more."""
        response = self.api.get(path, params, headers={"X-Is-Resource-Name": "true"}, head_seconds=head_seconds)
        if response.status == 401 and self.api.has_login:
            raise self.api.refuse()
        return response

    def pages(self, path: str, subject: str, **params: str | int) -> Iterator[list[Row]]:
        """Yield the rows of ``path`` page by page. Raises for an answer that is no success."""
        return iter_pages(
            lambda page: self.api_get(path, {**params, "page": page, "page_size": PAGE_SIZE}), subject=subject
        )


def detect_version(client: DistributionClient) -> tuple[str, str]:
    """Return which Harbor answers, "v1" or "v2", and all of its version where it tells. No password is sent.

    Only Harbor 2 has ``/api/version``; of Harbor 1 there is ``/api/systeminfo``, open to anybody.
    Raises NotARegistry where neither answers, and what the network raises.
    """
    api = client.api("/api", scheme="none")
    reported = _get_object(api, "/version").get("version")
    if isinstance(reported, str) and reported.startswith("v") and not reported.startswith("v1"):
        return "v2", strict_json.text(_get_object(api, "/v2.0/systeminfo").get("harbor_version"), 60) or reported[:60]
    about = _get_object(api, "/systeminfo")
    if about.keys() & {"harbor_version", "auth_mode"}:
        return "v1", strict_json.text(about.get("harbor_version"), 60)
    raise NotARegistry(
        messages.NO_HARBOR(),
        messages.CHECK_TYPE_AND_PORT(),
    )


def _get_object(api: JsonApi, path: str) -> Row:
    """The object at ``path``, or an empty one where something else answers. Raises ServerError."""
    try:
        return api.get(path).item(messages.ITS_VERSION())
    except (NotFound, NotARegistry, MalformedResponse, AccessDenied):
        return {}


def iter_pages(get: Callable[[int], ApiResponse], *, subject: str) -> Iterator[list[Row]]:
    """Yield the pages 1, 2, 3 … that ``get`` asks for, each as its rows; some come twice where the list shrinks.

    Counts by itself: the Link of Harbor does not escape its query. A page may be short and not the last one, so the end
    is where as many rows came as ``X-Total-Count`` announces, or, without it, a page that is not full.
    Raises ServerError for a list that does not stop shrinking: rows move up then, past the page that is read next.
    """
    for _start in range(MAX_LIST_STARTS):
        given, empty, most = 0, 0, -1
        before: list[Row] = []
        for page in range(1, MAX_PAGES):
            response = get(page)
            rows = response.items(subject)
            if rows and rows == before:
                raise MalformedResponse(
                    messages.SAME_PAGE_AGAIN(what=subject),
                    messages.PROXY_MUST_PASS_QUERY(),
                )
            yield rows
            total = total_count(response)
            given, before, most = given + len(rows), rows, max(most, total)
            empty = 0 if rows else empty + 1
            if 0 <= total < most and page > 1:
                break
            if (given >= total or empty >= MAX_EMPTY_PAGES) if total >= 0 else len(rows) < PAGE_SIZE:
                return
    raise ServerError(
        messages.LIST_SHRANK_REPEATEDLY(what=subject),
        messages.SYNC_AFTER_CLEANING(),
    )


def require_text(row: Row, key: str, subject: str) -> str:
    """The text under ``key``. Raises MalformedResponse where there is none."""
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise incomplete_row(key, subject)
    return value


def incomplete_row(key: str, subject: str) -> MalformedResponse:
    """The error for a row of a list that lacks what every row has."""
    return MalformedResponse(
        messages.KEY_NOT_PROPER(key=key, what=subject),
        messages.CHECK_TYPE_AND_VERSION(),
    )


def projects_denied(names: str) -> Message:
    """The reason for projects whose repositories the account may not list, all others having been listed."""
    return messages.PROJECTS_NOT_LISTABLE(projects=names)


def total_count(response: ApiResponse) -> int:
    """How many rows there are in all, by ``X-Total-Count``; -1 where it does not tell."""
    count = response.headers.get("X-Total-Count", "")
    return int(count) if count.isascii() and count.isdecimal() and len(count) < 12 else -1

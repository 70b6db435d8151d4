"""Instances of the Tencent Container Registry (TCR): listed by the API, pulled by the tokens that it issues."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from console.i18n.message_codes import NOTHING
from registries.connectors import messages
from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import TCR
from registries.connectors.logins import IssuedLoginProvider
from registries.connectors.parts import Parts
from registries.connectors.tencent_api import DEFAULT_REGION, TencentApi
from registries.connectors.tencent_errors import not_running
from registries.connectors.tencent_lists import (
    is_image,
    iter_numbered_pages,
    iter_offset_rows,
    parse_size,
    parse_timestamp,
)
from registries.oci.client import DistributionClient
from registries.oci.endpoint import Endpoint
from registries.oci.errors import AccessDenied, MalformedResponse, NotFound, TimedOut, Unreachable
from registries.oci.strict_json import text

TOKEN_SECONDS = 60 * 60  # by the documentation of CreateInstanceToken
TOKEN_MARGIN_SECONDS = 5 * 60
MIN_MILLISECOND_TIMESTAMP = 10**11  # what is larger is a time in milliseconds
HOST_PATTERN = re.compile(r"(?![\d.]+(:|$))[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:\d{1,5})?")  # no IP address


@dataclass(frozen=True)
class TcrInstance:
    """An instance of TCR as DescribeInstances gives it."""

    id: str
    name: str
    status: str
    region: str
    host: str  # public
    internal_host: str

    @property
    def is_running(self) -> bool:
        """Whether it can be listed and pulled from."""
        return self.status == "Running"


def list_instances(api: TencentApi, *, ids: tuple[str, ...] = ()) -> Iterator[TcrInstance]:
    """Yield the instances of the account in all regions, or those with ``ids``. Raises RegistryError."""
    chosen: dict[str, Any] = {"Registryids": list(ids)} if ids else {}
    for row in iter_offset_rows(
        api, "DescribeInstances", "Registries", name="RegistryId", region=DEFAULT_REGION, AllRegion=True, **chosen
    ):
        yield TcrInstance(
            id=text(row.get("RegistryId"), 150),
            name=text(row.get("RegistryName"), 150),
            status=text(row.get("Status"), 60),
            region=text(row.get("RegionName"), 40),
            host=_host(row.get("PublicDomain")),
            internal_host=_host(row.get("InternalEndpoint")),
        )


def find_instance(api: TencentApi, *, id: str, host: str) -> TcrInstance:
    """Return the instance ``id``, or else the one that ``host`` belongs to, as its own domain or as the customer's.

    Raises NotFound, and what the API raises.
    """
    candidates = list(list_instances(api, ids=(id,) if id else ()))
    for each in candidates:
        if each.id == id or host in {each.host, each.internal_host}:
            return each
    for each in candidates:
        if not id and each.is_running and host in _custom_domains(api, each):
            return each
    raise NotFound(
        messages.INSTANCE_NOT_LISTED() if id else messages.NO_INSTANCE_OF_ADDRESS(host=host),
        messages.CHECK_WHETHER_DELETED(),
    )


def _custom_domains(api: TencentApi, instance: TcrInstance) -> set[str]:
    response = api.call(
        "DescribeInstanceCustomizedDomain", region=instance.region, RegistryId=instance.id, Limit=100, Offset=0
    )
    found = response.get("DomainInfoList") or []
    return (
        {str(each.get("DomainName")) for each in found if isinstance(each, dict)} if isinstance(found, list) else set()
    )


class TcrConnector:
    """An instance of TCR: repositories namespace by namespace, tags with digest, size and push time.

    ``id`` names the instance where it is known; else ``host`` does. With ``vpc`` it is pulled by its internal address.
    """

    declaration: ClassVar[Declaration] = TCR
    fixed = False

    def __init__(
        self, client: DistributionClient, api: TencentApi, *, host: str, id: str = "", vpc: bool = False
    ) -> None:
        self._client, self._api, self._host, self._id, self._vpc = client, api, host, id, vpc
        self._lock = threading.Lock()
        self._cached_instance: TcrInstance | None = None
        self._logins = TcrLoginProvider(api, self._instance)
        client.use_login_provider(self._logins)
        client.use_endpoint_resolver(self._pull_endpoint)

    def ping(self) -> None:
        """Prove the key, that the instance runs, that it issues a login, and that the registry accepts it."""
        with self._lock:
            self._cached_instance = None
        if not (instance := self._instance()).is_running:
            raise not_running(instance.status)
        self._logins.issue()
        try:
            self._client.ping()
        except (Unreachable, AccessDenied) as error:
            raise self._blocked_error(error) from error

    def includes_tag(self, repository: str, tag: str) -> bool:
        """All are wanted: there is no typed list."""
        return True

    def repositories(self) -> Iterator[str]:
        """Yield the repositories of all namespaces. Raises PartsUnreadable at the end for namespaces left out."""
        instance, parts = self._instance(), Parts()
        where: dict[str, Any] = {"region": instance.region, "RegistryId": instance.id}
        for namespace in iter_numbered_pages(
            self._api, "DescribeNamespaces", "NamespaceList", name="Name", All=True, **where
        ):
            name = str(namespace["Name"])
            listed = iter_numbered_pages(
                self._api,
                "DescribeRepositories",
                "RepositoryList",
                name="Name",
                NamespaceName=name,
                SortBy="-name",
                **where,
            )
            yield from parts.read(name, (_full_name(name, str(row["Name"])) for row in listed))
            if isinstance(parts.failed.get(name), NotFound):
                del parts.failed[name]  # deleted since it was listed
        first = next(iter(parts.failed.values()), None)
        remedy = first.remedy if first else NOTHING
        parts.raise_failed(lambda names: messages.NAMESPACES_NOT_LISTABLE(names=names), remedy)

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository`` that may be images; none where it is gone."""
        instance = self._instance()
        namespace, _slash, name = repository.partition("/")
        try:
            for row in iter_numbered_pages(
                self._api,
                "DescribeImages",
                "ImageInfoList",
                name="ImageVersion",
                region=instance.region,
                RegistryId=instance.id,
                NamespaceName=namespace,
                RepositoryName=name,
            ):
                if is_image(row):
                    digest = str(row.get("Digest") or "")
                    yield TagRef(
                        name=str(row["ImageVersion"]),
                        digest=digest if re.fullmatch(r"sha256:[0-9a-f]{64}", digest) else None,
                        size=parse_size(row.get("Size")),
                        pushed_at=parse_timestamp(row.get("UpdateTime")),
                    )
        except NotFound:
            return

    def _instance(self) -> TcrInstance:
        with self._lock:
            if self._cached_instance is None:
                self._cached_instance = find_instance(self._api, id=self._id, host=self._host)
            return self._cached_instance

    def _pull_endpoint(self, endpoint: Endpoint) -> Endpoint:
        """Where the instance is pulled from, and which hosts may name each other as the place where tokens are had."""
        instance = self._instance()
        inside = instance.internal_host
        if self._vpc and HOST_PATTERN.fullmatch(inside):
            endpoint = replace(endpoint, url=f"{endpoint.origin.scheme}://{inside}")
        hosts = (each.partition(":")[0] for each in (instance.host, inside, self._host) if each)
        return replace(endpoint, token_hosts=tuple(hosts))

    def _blocked_error(self, error: Unreachable | AccessDenied) -> Unreachable | AccessDenied:
        if self._vpc:
            remedy = messages.CHECK_VPC_LINK()
        else:
            remedy = messages.PUT_ON_ALLOWLIST()
        reason = messages.REGISTRY_LETS_NOBODY_IN(reason=error.reason)
        if isinstance(error, AccessDenied):
            return AccessDenied(reason, remedy)
        return (TimedOut if isinstance(error, TimedOut) else Unreachable)(reason, remedy, host=error.host)


def _full_name(namespace: str, repository: str) -> str:
    return repository if repository.startswith(f"{namespace}/") else f"{namespace}/{repository}"


class TcrLoginProvider(IssuedLoginProvider):
    """The logins for pulling from one instance: tokens of an hour, replaced five minutes before their end.

    Long-term tokens are never made: they would pile up in the console of the account.
    """

    def __init__(self, api: TencentApi, instance: Callable[[], TcrInstance]) -> None:
        super().__init__(remedy=messages.ALLOW_PULL_IN_CAM())
        self._api, self._instance = api, instance

    def _issue(self) -> tuple[str, str, float]:
        instance = self._instance()
        response = self._api.call(
            "CreateInstanceToken", region=instance.region, RegistryId=instance.id, TokenType="temp"
        )
        username, token = response.get("Username"), response.get("Token")
        if not (isinstance(username, str) and isinstance(token, str) and username and token and token.isprintable()):
            raise MalformedResponse(messages.TENCENT_ISSUED_NO_LOGIN(), messages.TRY_LATER())
        return username, token, _token_lifetime(response.get("ExpTime")) - TOKEN_MARGIN_SECONDS


def _token_lifetime(ends: object) -> float:
    """Seconds until ``ends``, a time in seconds or milliseconds; those of the documentation where it makes no sense."""
    if not isinstance(ends, (int, float)) or isinstance(ends, bool):
        return TOKEN_SECONDS
    remaining = (ends / 1000 if ends > MIN_MILLISECOND_TIMESTAMP else ends) - time.time()
    return remaining if 2 * TOKEN_MARGIN_SECONDS < remaining <= 2 * TOKEN_SECONDS else TOKEN_SECONDS


def _host(value: object) -> str:
    return text(value, 250).rpartition("://")[2].strip("/").lower()

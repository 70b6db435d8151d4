"""Instances of the Tencent Container Registry (TCR): listed by the API, pulled by the tokens that it hands out."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from django.utils.translation import gettext as _

from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import TCR
from registries.connectors.logins import HandedOutLogins
from registries.connectors.tencent_api import DEFAULT_REGION, TencentApi
from registries.connectors.tencent_errors import not_running
from registries.connectors.tencent_lists import is_image, pages_of, rows_of, when, whole
from registries.oci.client import DistributionClient
from registries.oci.endpoint import Endpoint
from registries.oci.errors import AccessDenied, MalformedAnswer, NamesUnfit, NotFound, TimedOut, Unreachable
from registries.oci.strict_json import text

TOKEN_SECONDS = 60 * 60  # by the documentation of CreateInstanceToken
MARGIN_SECONDS = 5 * 60
MILLISECONDS = 10**11  # what is larger is a time in milliseconds
HOST = re.compile(r"(?![\d.]+(:|$))[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:\d{1,5})?")  # no IP address


@dataclass(frozen=True)
class Instance:
    """An instance of TCR as DescribeInstances gives it."""

    id: str
    name: str
    status: str
    region: str
    host: str  # public
    internal_host: str

    @property
    def runs(self) -> bool:
        """Whether it can be listed and pulled from."""
        return self.status == "Running"


def instances(api: TencentApi, *, ids: tuple[str, ...] = ()) -> Iterator[Instance]:
    """Yield the instances of the account in all regions, or those with ``ids``. Raises RegistryError."""
    chosen: dict[str, Any] = {"Registryids": list(ids)} if ids else {}
    for row in rows_of(
        api, "DescribeInstances", "Registries", name="RegistryId", region=DEFAULT_REGION, AllRegion=True, **chosen
    ):
        yield Instance(
            id=text(row.get("RegistryId"), 150),
            name=text(row.get("RegistryName"), 150),
            status=text(row.get("Status"), 60),
            region=text(row.get("RegionName"), 40),
            host=_host(row.get("PublicDomain")),
            internal_host=_host(row.get("InternalEndpoint")),
        )


def find_instance(api: TencentApi, *, id: str, host: str) -> Instance:
    """Return the instance ``id``, or else the one that ``host`` belongs to, as its own domain or as the customer's.

    Raises NotFound, and what the API raises.
    """
    known = list(instances(api, ids=(id,) if id else ()))
    for each in known:
        if each.id == id or host in {each.host, each.internal_host}:
            return each
    for each in known:
        if not id and each.runs and host in _custom_domains(api, each):
            return each
    raise NotFound(
        _("The instance is no longer listed at Tencent Cloud.")
        if id
        else _("No instance of this account has the address %(host)s.") % {"host": host},
        _("Look in the Tencent Cloud console whether it was deleted, and whether the key belongs to its account."),
    )


def _custom_domains(api: TencentApi, instance: Instance) -> set[str]:
    answer = api.call(
        "DescribeInstanceCustomizedDomain", region=instance.region, RegistryId=instance.id, Limit=100, Offset=0
    )
    found = answer.get("DomainInfoList") or []
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
        self._found: Instance | None = None
        self._logins = TcrLogins(api, self._instance)
        client.sign_in_by(self._logins)
        client.correct_by(self._place)

    def ping(self) -> None:
        """Prove the key, that the instance runs, that it hands out a login, and that the registry takes it."""
        with self._lock:
            self._found = None
        if not (instance := self._instance()).runs:
            raise not_running(instance.status)
        self._logins.hand_out()
        try:
            self._client.ping()
        except (Unreachable, AccessDenied) as error:
            raise self._kept_out(error) from error

    def repositories(self) -> Iterator[str]:
        """Yield the repositories of all namespaces; raise NamesUnfit at the end where some of these are closed."""
        instance, closed = self._instance(), []
        where: dict[str, Any] = {"region": instance.region, "RegistryId": instance.id}
        for namespace in pages_of(self._api, "DescribeNamespaces", "NamespaceList", name="Name", All=True, **where):
            name = str(namespace["Name"])
            listed = pages_of(
                self._api,
                "DescribeRepositories",
                "RepositoryList",
                name="Name",
                NamespaceName=name,
                SortBy="-name",
                **where,
            )
            try:
                for row in listed:
                    repository = str(row["Name"])
                    yield repository if repository.startswith(f"{name}/") else f"{name}/{repository}"
            except NotFound:
                continue  # deleted since it was listed
            except AccessDenied as error:
                closed.append((name, error))
        if closed:
            raise NamesUnfit(
                _("The key may not list these namespaces: %(names)s. All others were read.")
                % {"names": ", ".join(name for name, _error in closed[:10])},
                closed[0][1].remedy,
            )

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository`` that may be images; none where it is gone."""
        instance = self._instance()
        namespace, _slash, name = repository.partition("/")
        try:
            for row in pages_of(
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
                        size=whole(row.get("Size")),
                        pushed_at=when(row.get("UpdateTime")),
                    )
        except NotFound:
            return

    def _instance(self) -> Instance:
        with self._lock:
            if self._found is None:
                self._found = find_instance(self._api, id=self._id, host=self._host)
            return self._found

    def _place(self, endpoint: Endpoint) -> Endpoint:
        """Where the instance is pulled from, and which hosts may name each other as the place where tokens are had."""
        instance = self._instance()
        inside = instance.internal_host
        if self._vpc and HOST.fullmatch(inside):
            endpoint = replace(endpoint, url=f"{endpoint.origin.scheme}://{inside}")
        hosts = (each.partition(":")[0] for each in (instance.host, inside, self._host) if each)
        return replace(endpoint, token_hosts=tuple(hosts))

    def _kept_out(self, error: Unreachable | AccessDenied) -> Unreachable | AccessDenied:
        if self._vpc:
            remedy = _(
                "Check in the Tencent Cloud console that the instance has an access link to the VPC of this machine."
            )
        else:
            remedy = _(
                "Put this machine's public address on the instance's allowlist for public access in the Tencent Cloud"
                " console, or choose VPC as the network type."
            )
        reason = _("The API works, but the registry itself lets nobody in from here: %(reason)s") % {
            "reason": error.reason
        }
        if isinstance(error, AccessDenied):
            return AccessDenied(reason, remedy)
        return (TimedOut if isinstance(error, TimedOut) else Unreachable)(reason, remedy, host=error.host)


class TcrLogins(HandedOutLogins):
    """The logins for pulling from one instance: tokens of an hour, replaced five minutes before their end.

    Long-term tokens are never made: they would pile up in the console of the account.
    """

    def __init__(self, api: TencentApi, instance: Callable[[], Instance]) -> None:
        super().__init__(remedy=_("Allow tcr:PullRepository* on this instance to the key's user in CAM."))
        self._api, self._instance = api, instance

    def _hand_out(self) -> tuple[str, str, float]:
        instance = self._instance()
        answer = self._api.call("CreateInstanceToken", region=instance.region, RegistryId=instance.id, TokenType="temp")
        username, token = answer.get("Username"), answer.get("Token")
        if not (isinstance(username, str) and isinstance(token, str) and username and token and token.isprintable()):
            raise MalformedAnswer(_("Tencent Cloud has handed out no login for the registry."), _("Try again later."))
        return username, token, _life(answer.get("ExpTime")) - MARGIN_SECONDS


def _life(ends: object) -> float:
    """Seconds until ``ends``, a time in seconds or milliseconds; those of the documentation where it makes no sense."""
    if not isinstance(ends, (int, float)) or isinstance(ends, bool):
        return TOKEN_SECONDS
    left = (ends / 1000 if ends > MILLISECONDS else ends) - time.time()
    return left if 2 * MARGIN_SECONDS < left <= 2 * TOKEN_SECONDS else TOKEN_SECONDS


def _host(value: object) -> str:
    return text(value, 250).rpartition("://")[2].strip("/").lower()

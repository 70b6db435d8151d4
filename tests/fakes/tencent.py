"""A Tencent Cloud of one account: the API that checks what Tencent's does, and a registry that takes its tokens.

Signatures are computed here from the documentation of TC3-HMAC-SHA256, not by the SDK. The first instance (or the
personal edition) is pulled from this same server; its lists show what is in ``store``.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from demo.registry_auth import RegistryAuth
from demo.registry_server import RegistryServer, ServerRequest, ServerResponse, json_response
from tests.fakes.registry import FakeRegistry

SECRET_ID, SECRET_KEY = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
VERSION = "2019-09-24"
REGIONS = {"ap-guangzhou", "ap-hongkong", "ap-singapore", "eu-frankfurt"}
AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/]+)/(?P<date>\d{4}-\d\d-\d\d)/(?P<service>\w+)/tc3_request, "
    r"SignedHeaders=content-type;host, Signature=(?P<signature>[0-9a-f]{64})"
)
UIN = "100012345678"
PUSHED_AT = "2026-03-04T05:06:07.123456789Z"
GO_TIME = "2026-03-04 05:06:07.123456789 +0000 UTC"


class ApiRefusal(Exception):
    """An error of the API; answered with HTTP 200."""


@dataclass
class FakeInstance:
    """One instance of TCR."""

    id: str
    name: str
    region: str = "ap-guangzhou"
    host: str = ""  # "" is that of the server
    status: str = "Running"
    internal: str = ""
    domains: tuple[str, ...] = ()  # of the customer


@dataclass
class TokenSignIn(RegistryAuth):
    """Takes the tokens that the API has handed out, and the passwords of ``users``."""

    handed_out: dict[str, float] = field(default_factory=dict)  # token → end

    def check_basic(self, authorization: str) -> str | None:
        known = super().check_basic(authorization)
        if known is not None:
            return known
        kept = self.users
        for token, ends in self.handed_out.items():
            self.users = {UIN: token}
            known = super().check_basic(authorization)
            self.users = kept
            if known is not None:
                return known if ends > time.time() else None
        return None

    def hand_out(self, life: float) -> tuple[str, float]:
        """A new token of ``life`` seconds, with its end."""
        token, ends = f"eyJ{secrets.token_urlsafe(40)}", time.time() + life
        self.handed_out[token] = ends
        return token, ends

    def expire_all(self) -> None:
        """Let an hour pass: every token, and every bearer token that was had with it, is at its end."""
        self.handed_out = dict.fromkeys(self.handed_out, 0.0)
        self._key = secrets.token_bytes(32)


class _Api(RegistryServer):
    """The API, at ``POST /``."""

    def __init__(
        self, *, instances: tuple[FakeInstance, ...] = (), users: dict[str, str] | None = None, **options: Any
    ):
        super().__init__(method="bearer", users=users, **options)
        self.sign_in = TokenSignIn("bearer", users or {}, 300, "harbor-registry")
        self.keys = {SECRET_ID: SECRET_KEY}
        self.instances = list(instances)
        self.namespaces: dict[str, list[str]] = {}  # of the personal edition, by region
        self.personal = False  # whether the store is the personal edition's; else it is the first instance's
        self.kinds: dict[str, str] = {}  # tag → Kind
        self.forbidden: set[str] = set()  # namespaces that the key may not list
        self.first_page = 1
        self.exp_in_seconds = False
        self.token_life = 60 * 60
        self.content_type = "application/json"
        self.extra_total = 0
        self.before: Callable[[str, dict[str, Any]], None] = lambda action, parameters: None
        self.calls: list[tuple[str, str, dict[str, Any]]] = []  # action, region, parameters
        self._script: list[list[Any]] = []
        self._turn = threading.Lock()

    def script(self, action: str, code: str, times: int = 1) -> None:
        """Answer ``action`` with the error ``code``, ``times`` times."""
        self._script.append([action, code, times])

    def actions(self) -> list[str]:
        """The names of the calls so far, without those that were refused for their signature."""
        return [action for action, _region, _parameters in self.calls]

    def answer(self, request: ServerRequest) -> ServerResponse:
        if request.method != "POST" or request.path != "/":
            return super().answer(request)
        try:
            body = {**self._answer(request), "RequestId": "7d1c6b6e"}
        except ApiRefusal as error:
            body = {"Error": {"Code": str(error), "Message": f"refused, with {SECRET_KEY}"}, "RequestId": "7d1c6b6e"}
        answer = json_response({"Response": body})
        answer.headers["Content-Type"] = self.content_type
        return answer

    # --- what every call must bring -------------------------------------------------------------------------------
    def _answer(self, request: ServerRequest) -> dict[str, Any]:
        headers = request.headers
        if headers.get("X-TC-Version") != VERSION or headers.get("Content-Type") != "application/json":
            raise ApiRefusal("InvalidParameter")
        self._check_signature(request)
        action, region = headers.get("X-TC-Action", ""), headers.get("X-TC-Region", "")
        if region not in REGIONS:
            raise ApiRefusal("UnsupportedRegion")
        handler = getattr(self, f"_{action}", None)
        if handler is None:
            raise ApiRefusal("InvalidAction")
        parameters = json.loads(request.body)
        with self._turn:
            self.calls.append((action, region, parameters))
            self.before(action, parameters)
            for rule in self._script:
                if rule[0] == action and rule[2]:
                    rule[2] -= 1
                    raise ApiRefusal(rule[1])
        if not 0 < parameters.get("Limit", 20) <= 100:
            raise ApiRefusal("InvalidParameter.ErrorTcrInvalidParameter")
        answer: dict[str, Any] = handler(region, **parameters)
        return answer

    def _check_signature(self, request: ServerRequest) -> None:
        found = AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if not found:
            raise ApiRefusal("AuthFailure.InvalidAuthorization")
        if found["id"] not in self.keys:
            raise ApiRefusal("AuthFailure.SecretIdNotFound")
        timestamp = int(request.headers["X-TC-Timestamp"])
        if abs(time.time() - timestamp) > 300:
            raise ApiRefusal("AuthFailure.SignatureExpire")
        date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
        if found["service"] != "tcr" or found["date"] != date or request.headers["Host"] != self.host:
            raise ApiRefusal("AuthFailure.SignatureFailure")
        hashed = hashlib.sha256(request.body).hexdigest()
        canonical = f"POST\n/\n\ncontent-type:application/json\nhost:{self.host}\n\ncontent-type;host\n{hashed}"
        scope = f"{date}/tcr/tc3_request"
        to_sign = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"TC3{self.keys[found['id']]}".encode()
        for part in (date, "tcr", "tc3_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        if not hmac.compare_digest(hmac.new(key, to_sign.encode(), "sha256").hexdigest(), found["signature"]):
            raise ApiRefusal("AuthFailure.SignatureFailure")

    # --- enterprise -----------------------------------------------------------------------------------------------
    def _DescribeInstances(
        self,
        region: str,
        *,
        Registryids: tuple[str, ...] = (),
        AllRegion: bool = False,
        Limit: int = 20,
        Offset: int = 0,
    ) -> dict[str, Any]:
        chosen = [
            each
            for each in self.instances
            if (AllRegion or each.region == region) and (not Registryids or each.id in Registryids)
        ]
        rows = [
            {
                "RegistryId": each.id,
                "RegistryName": each.name,
                "RegistryType": "premium",
                "Status": each.status,
                "PublicDomain": each.host or self.host,
                "InternalEndpoint": each.internal,
                "RegionName": each.region,
            }
            for each in chosen
        ]
        return {"TotalCount": len(rows), "Registries": rows[Offset : Offset + Limit]}

    def _DescribeInstanceCustomizedDomain(
        self,
        region: str,
        *,
        RegistryId: str,
        Limit: int,
        Offset: int,
    ) -> dict[str, Any]:
        domains = [{"DomainName": name, "Status": "SUCCESS"} for name in self._instance(region, RegistryId).domains]
        return {"TotalCount": len(domains), "DomainInfoList": domains or None}

    def _DescribeNamespaces(
        self,
        region: str,
        *,
        RegistryId: str,
        Limit: int,
        Offset: int,
        All: bool = False,
        NamespaceName: str = "",
    ) -> dict[str, Any]:
        self._instance(region, RegistryId)
        names = sorted({name.partition("/")[0] for name in self._repositories()})
        rows = [{"Name": name, "NamespaceId": number, "Public": False} for number, name in enumerate(names)]
        return self._page("NamespaceList", rows, Limit, Offset)

    def _DescribeRepositories(
        self,
        region: str,
        *,
        RegistryId: str,
        NamespaceName: str,
        Limit: int,
        Offset: int,
        SortBy: str,
    ) -> dict[str, Any]:
        self._instance(region, RegistryId)
        if SortBy not in {"-name", "-creation_time", "-update_time"}:
            raise ApiRefusal("InvalidParameter")
        if NamespaceName in self.forbidden:
            raise ApiRefusal("FailedOperation.ErrorTcrUnauthorized")
        rows = [
            {"Name": name, "Namespace": NamespaceName, "UpdateTime": GO_TIME}
            for name in reversed(self._repositories())
            if name.startswith(f"{NamespaceName}/")
        ]
        return self._page("RepositoryList", rows, Limit, Offset)

    def _DescribeImages(
        self,
        region: str,
        *,
        RegistryId: str,
        NamespaceName: str,
        RepositoryName: str,
        Limit: int = 20,
        Offset: int = 1,
    ) -> dict[str, Any]:
        self._instance(region, RegistryId)
        repository = f"{NamespaceName}/{RepositoryName}"
        tags = self.store.tags(repository)
        if tags is None:
            raise ApiRefusal("ResourceNotFound.ErrNoRepo")
        rows = []
        for tag in tags:
            manifest = self.store.manifest(repository, tag)
            assert manifest
            row = {"Digest": manifest.digest, "Size": _size(manifest.content), "ImageVersion": tag}
            rows.append({**row, "UpdateTime": PUSHED_AT, "Kind": self.kinds.get(tag, "image")})
        return self._page("ImageInfoList", rows, Limit, Offset)

    def _CreateInstanceToken(
        self,
        region: str,
        *,
        RegistryId: str,
        TokenType: str = "temp",
    ) -> dict[str, Any]:
        self._instance(region, RegistryId)
        token, ends = self.sign_in.hand_out(self.token_life)  # type: ignore[attr-defined]
        return {"Username": UIN, "Token": token, "ExpTime": int(ends if self.exp_in_seconds else ends * 1000)}

    def _instance(self, region: str, id: str) -> FakeInstance:
        for each in self.instances:
            if each.id == id and each.region == region:
                if each.status != "Running":
                    raise ApiRefusal("ResourceInsufficient.ErrorInstanceNotRunning")
                return each
        raise ApiRefusal("ResourceNotFound.TcrResourceNotFound")

    def _page(self, name: str, rows: list[dict[str, Any]], limit: int, number: int) -> dict[str, Any]:
        """The rows of page ``number``: limit 20 offset 2 means 21 to 40 where the first page is 1."""
        start = max(number - self.first_page, 0) * limit
        return {name: rows[start : start + limit] or None, "TotalCount": len(rows) + self.extra_total}

    def _repositories(self) -> list[str]:
        return [] if self.personal else self.store.repositories()

    # --- personal -------------------------------------------------------------------------------------------------
    def _DescribeNamespacePersonal(
        self,
        region: str,
        *,
        Namespace: str,
        Limit: int,
        Offset: int,
    ) -> dict[str, Any]:
        rows = [{"Namespace": name, "RepoCount": 1} for name in self._opened(region)]
        return {"Data": {"NamespaceCount": len(rows), "NamespaceInfo": rows[Offset : Offset + Limit]} if rows else None}

    def _DescribeRepositoryOwnerPersonal(
        self,
        region: str,
        *,
        Limit: int = 20,
        Offset: int = 0,
        RepoName: str = "",
    ) -> dict[str, Any]:
        self._opened(region)
        names = [name for name in self.store.repositories() if RepoName in name] if self.personal else []
        rows = [{"RepoName": name, "TagCount": 1, "Public": 0} for name in names]
        found = {"TotalCount": len(rows), "RepoInfo": rows[Offset : Offset + Limit], "Server": self.host}
        return {"Data": found if rows else None}

    def _DescribeImagePersonal(
        self,
        region: str,
        *,
        RepoName: str,
        Limit: int = 20,
        Offset: int = 0,
    ) -> dict[str, Any]:
        self._opened(region)
        tags = self.store.tags(RepoName)
        if tags is None:
            raise ApiRefusal("ResourceNotFound.ErrNoRepo")
        rows = []
        for tag in tags:
            manifest = self.store.manifest(RepoName, tag)
            assert manifest
            config = json.loads(manifest.content)["config"]["digest"]
            row = {"TagName": tag, "ImageId": config, "Size": "12 MB", "SizeByte": _size(manifest.content)}
            rows.append({**row, "PushTime": "2026-03-04 05:06:07", "Kind": self.kinds.get(tag, "image")})
        return {"Data": {"TagCount": len(rows), "TagInfo": rows[Offset : Offset + Limit], "RepoName": RepoName}}

    def _opened(self, region: str) -> list[str]:
        if region not in self.namespaces:
            raise ApiRefusal("ResourceNotFound.ErrNoUser")
        return self.namespaces[region]


class FakeTencent(FakeRegistry, _Api):
    """Both at one address. ``fail`` and ``seen`` see API calls (``POST /``) too; ``script`` gives errors in 200."""


def api(request: ServerRequest) -> bool:
    """The route of the API."""
    return request.path == "/"


def _size(content: bytes) -> int:
    manifest = json.loads(content)
    return sum(
        each["size"] for each in (*manifest.get("layers", ()), *([manifest["config"]] if "config" in manifest else ()))
    )

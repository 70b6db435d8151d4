"""Calls to the API of AWS: signed and read by boto3, carried by the transport that carries everything else.

boto3's own HTTP, its retries, and all places where it looks for settings and credentials by itself (environment,
~/.aws, the metadata service) take no part: of those, the console's machine may have some that nobody meant for it.
"""

from __future__ import annotations

import functools
import io
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from registries.connectors import messages
from registries.connectors.aws_errors import SessionEnded, explain, malformed_response
from registries.oci.errors import AccessDenied, AddressInvalid, CredentialsRefused, MalformedResponse, NotFound
from registries.oci.login_guard import LoginGuard, NoGuard, sending
from registries.oci.transport import Transport

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest, AWSResponse

MAX_RESPONSE_BYTES = 16 * 1024 * 1024
MAX_TRIES = 6
FIRST_PAUSE_SECONDS = 1.0  # seconds, doubled at each try
ROLE_MARGIN_SECONDS = 10 * 60  # before a role's credentials end, which hold for an hour
SESSION_NAME = "tallyman"  # stands in CloudTrail beside what was done with a role
# "partitions" of botocore's endpoint rules: the domains of all their servers
AWS_DOMAINS = (
    *(".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".api.amazonwebservices.com.cn"),
    *(".c2s.ic.gov", ".sc2s.sgov.gov", ".cloud.adc-e.uk", ".csp.hci.ic.gov"),
)


@dataclass(frozen=True)
class AccessKey:
    """What calls are signed with. ``token`` and ``until`` (time.monotonic()) are those of a role that was taken on."""

    id: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)
    until: float = float("inf")


class AwsApi:
    """The API of AWS in one region, with one key and, if given, in one role. May be used by several threads.

    ``transport`` gives the way to a server by its address. ``endpoint`` is asked in place of the public API of ECR, and
    in place of that of STS, which gives out roles, where it is no server of AWS but stands in for it.
    """

    def __init__(
        self,
        key: AccessKey,
        *,
        region: str,
        transport: Callable[[str], Transport],
        role: str = "",
        endpoint: str = "",
        fips: bool = False,
        dual_stack: bool = False,
        guard: LoginGuard | None = None,
    ) -> None:
        self._guard: LoginGuard = guard or NoGuard()
        self._key, self._role, self._region, self._endpoint = key, role, region, endpoint
        self._transport_to = transport
        self._variants = {"use_fips_endpoint": fips, "use_dualstack_endpoint": dual_stack}
        self._lock = threading.RLock()
        self._ecr: tuple[AccessKey, _Service] | None = None

    def call(self, operation: str, **parameters: object) -> dict[str, Any]:
        """Return what ECR answers to ``operation`` (as boto3 spells it). Raises RegistryError."""
        with sending(self._guard):
            try:
                response = self._call(operation, parameters)
            except (AccessDenied, NotFound):
                self._guard.accepted()
                raise
            self._guard.accepted()
            return response

    def _call(self, operation: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        key, service = self._service()
        try:
            return service.call(operation, parameters)
        except SessionEnded:
            self._forget(key)
        try:
            return self._service()[1].call(operation, parameters)
        except SessionEnded as error:
            raise CredentialsRefused(error.reason, error.remedy) from None

    def pages(self, operation: str, *, of: str, **parameters: object) -> Iterator[list[dict[str, Any]]]:
        """Yield the lists called ``of`` in what ECR answers, page by page. Raises as :meth:`call`.

        An answer without that list is none of AWS: taken for an empty one, it would empty the inventory.
        """
        token: object = None
        while True:
            page = self.call(operation, **parameters, **({"nextToken": token} if token else {}))
            rows = page.get(of)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise malformed_response()
            yield rows
            token, before = page.get("nextToken"), token
            if not token:
                return
            if token == before:
                raise MalformedResponse(
                    messages.LIST_IN_CIRCLES(),
                    messages.TRY_LATER_OR_CHECK_ENDPOINT(),
                )

    def _service(self) -> tuple[AccessKey, _Service]:
        if not (self._key.id and self._key.secret):
            raise CredentialsRefused(messages.NO_ACCESS_KEY(), messages.ENTER_ACCESS_KEY())
        with self._lock:
            if self._ecr is None or time.monotonic() > self._ecr[0].until:
                key = self._assume_role() if self._role else self._key
                self._ecr = key, self._open("ecr", key, self._endpoint)
            return self._ecr

    def _forget(self, key: AccessKey) -> None:
        with self._lock:
            if self._ecr is not None and self._ecr[0] is key:
                self._ecr = None

    def _assume_role(self) -> AccessKey:
        sts = self._open("sts", self._key, "" if _is_aws_server(self._endpoint) else self._endpoint)
        try:
            given = sts.call("assume_role", {"RoleArn": self._role, "RoleSessionName": SESSION_NAME})["Credentials"]
            life = (given["Expiration"] - datetime.now(UTC)).total_seconds()
            until = time.monotonic() + max(life - ROLE_MARGIN_SECONDS, life / 2, 60)
            return AccessKey(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], until)
        except (LookupError, TypeError):
            raise malformed_response() from None

    def _open(self, name: str, key: AccessKey, endpoint: str) -> _Service:
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        try:
            with _session_lock:
                client = _session().client(
                    name,
                    region_name=self._region,
                    endpoint_url=endpoint or None,
                    aws_access_key_id=key.id,
                    aws_secret_access_key=key.secret,
                    aws_session_token=key.token or None,
                    config=Config(
                        retries={"total_max_attempts": 1, "mode": "standard"},
                        ignore_configured_endpoint_urls=True,
                        **({} if endpoint else self._variants),
                    ),
                )
        except (BotoCoreError, ValueError):
            raise AddressInvalid(
                messages.NO_ECR_IN_REGION(region=self._region[:60]),
                messages.CORRECT_REGION_OR_ENDPOINT(),
            ) from None
        return _Service(client, self._transport_to(client.meta.endpoint_url), key)


class _Service:
    """One service of AWS."""

    def __init__(self, client: Any, transport: Transport, key: AccessKey) -> None:
        self._client, self._transport, self._key = client, transport, key
        client.meta.events.register("before-send", self._send)

    def call(self, operation: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        for attempt in range(MAX_TRIES):
            try:
                response: dict[str, Any] = getattr(self._client, operation)(**parameters)
                return response
            except ClientError as error:
                failure = explain(error, key=self._key.id, in_role=bool(self._key.token))
            except (BotoCoreError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                raise malformed_response() from None  # raised by boto3 where it cannot read the answer
            if not failure.retry:
                raise failure
            if attempt + 1 < MAX_TRIES:
                self._transport.wait(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))  # noqa: S311  # nosec B311  # jitter
        raise failure

    def _send(self, request: AWSPreparedRequest, **_event: object) -> AWSResponse:
        """Send a signed request, in place of boto3, which takes an answer of this hook for that of the server."""
        from botocore.awsrequest import AWSResponse

        body = request.body or b""
        response = self._transport.fetch(
            request.method,
            request.url,
            headers={
                name: value.decode() if isinstance(value, bytes) else value
                for name, value in request.headers.items()
                if name.lower() not in {"user-agent", "content-length"}
            },
            content=body.encode() if isinstance(body, str) else body,
            limit=MAX_RESPONSE_BYTES,
        )
        return AWSResponse(request.url, response.status, response.headers, _Body(response.content))


class _Body(io.BytesIO):
    def stream(self) -> Iterator[bytes]:
        yield self.read()


_session_lock = threading.Lock()  # clients may be shared by threads; the making of them may not


@functools.cache
def _session() -> Any:
    """Return a session of boto3 that knows nothing but what it is told: no environment, no files of the user."""
    import boto3  # half a second, which only who has a registry of AWS should wait for
    from botocore.configprovider import BOTOCORE_DEFAUT_SESSION_VARIABLES, ConfigValueStore, ConstantProvider
    from botocore.loaders import Loader
    from botocore.session import Session

    logging.getLogger("botocore").setLevel(logging.INFO)  # below that it logs bodies, with the secrets in them
    defaults = {name: default for name, (_key, _env, default, _make) in BOTOCORE_DEFAUT_SESSION_VARIABLES.items()}
    defaults |= {"config_file": os.devnull, "credentials_file": os.devnull}
    session = Session()
    session.register_component(
        "config_store", ConfigValueStore({name: ConstantProvider(value) for name, value in defaults.items()})
    )
    session.register_component(
        "data_loader", Loader(extra_search_paths=[Loader.BUILTIN_DATA_PATH], include_default_search_paths=False)
    )
    return boto3.Session(botocore_session=session)


def _is_aws_server(endpoint: str) -> bool:
    """Whether ``endpoint`` is a server of AWS: that of ECR answers for ECR alone."""
    host = endpoint.partition("://")[2].partition(":")[0]
    return not endpoint or host.endswith(AWS_DOMAINS)

"""Calls to the API of Tencent Cloud: signed by its SDK (TC3-HMAC-SHA256), carried by the console's own transport.

The SDK's own HTTP takes no part, nor do the proxies and credentials that it would find in the environment.
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from registries.connectors import messages
from registries.connectors.tencent_errors import explain
from registries.oci import media_types, strict_json
from registries.oci.errors import (
    AccessDenied,
    CredentialsRefused,
    MalformedResponse,
    NotARegistry,
    NotFound,
    ServerError,
)
from registries.oci.login_guard import LoginGuard, NoGuard, sending
from registries.oci.transport import Transport

if TYPE_CHECKING:
    from tencentcloud.common.http.request import RequestInternal

# tencentcloud.com/document/product/1051/41100: the account of one site is not known to the other
SITE_URLS = ("https://tcr.tencentcloudapi.com", "https://tcr.intl.tencentcloudapi.com")
DEFAULT_REGION = "ap-guangzhou"
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
MAX_TRIES = 5
FIRST_PAUSE_SECONDS = 1.0  # seconds, doubled at each try
ERROR_CODE_PATTERN = re.compile(r"[A-Za-z0-9.]{1,80}")


@dataclass(frozen=True)
class SecretKey:
    """An API key of Tencent Cloud."""

    id: str
    key: str = field(repr=False)


class TencentApi:
    """The API of the Tencent Container Registry with one key. May be used by several threads.

    ``transport`` gives the way to a server by its address. ``endpoint`` (scheme://host[:port]) is asked in place of the
    public API; without one, the international site is asked where the mainland one does not know the key.
    """

    def __init__(
        self,
        key: SecretKey,
        *,
        transport: Callable[[str], Transport],
        endpoint: str = "",
        guard: LoginGuard | None = None,
    ) -> None:
        self._guard: LoginGuard = guard or NoGuard()
        logging.getLogger("tencentcloud_sdk_common").setLevel(logging.INFO)  # below that it logs tokens
        self._key, self._transport_to = key, transport
        self._lock = threading.Lock()
        self._sites = [endpoint] if endpoint else list(SITE_URLS)
        self._transports: dict[str, Transport] = {}
        self._refused: CredentialsRefused | None = None

    @property
    def endpoint(self) -> str:
        """The address that is asked; once a call has succeeded, the one that knows the key."""
        return self._sites[0]

    def call(self, action: str, *, region: str = DEFAULT_REGION, **parameters: object) -> dict[str, Any]:
        """Return what the API answers to ``action``, such as DescribeInstances. Raises RegistryError.

        A key that was refused is not sent again.
        """
        with sending(self._guard):
            try:
                answer = self._call(action, region, parameters)
            except (AccessDenied, NotFound):
                self._guard.accepted()
                raise
            self._guard.accepted()
            return answer

    def _call(self, action: str, region: str, parameters: Mapping[str, object]) -> dict[str, Any]:
        while self._refused is None:
            site = self._sites[0]
            try:
                answer = self._call_with_retries(self._transport(site), action, region, parameters)
            except _ApiError as error:
                if error.code == "AuthFailure.SecretIdNotFound" and self._try_other_site(site):
                    continue
                failure = explain(error.code, action=action, region=region)
                if isinstance(failure, CredentialsRefused):
                    self._refused = failure
                raise failure from None
            with self._lock:
                if self._sites[0] == site:
                    del self._sites[1:]
            return answer
        raise self._refused

    def _try_other_site(self, site: str) -> bool:
        with self._lock:
            if self._sites[0] == site and len(self._sites) > 1:
                del self._sites[0]
            return self._sites[0] != site

    def _transport(self, site: str) -> Transport:
        with self._lock:
            if site not in self._transports:
                self._transports[site] = self._transport_to(site)
            return self._transports[site]

    def _call_with_retries(
        self, transport: Transport, action: str, region: str, parameters: Mapping[str, object]
    ) -> dict[str, Any]:
        """Call until there is an answer that counts. Raises _Answered, and what the transport raises."""
        attempt = 0
        while True:
            try:
                return self._call_once(transport, action, region, parameters)
            except _ApiError as error:
                attempt += 1
                # A signature may have grown old while its request was repeated.
                again = error.code == "AuthFailure.SignatureExpire" and attempt == 1
                if not again and (attempt >= MAX_TRIES or not explain(error.code, action=action, region=region).retry):
                    raise
            transport.wait(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1))  # noqa: S311  # nosec B311  # jitter

    def _call_once(
        self, transport: Transport, action: str, region: str, parameters: Mapping[str, object]
    ) -> dict[str, Any]:
        from tencentcloud.common.credential import Credential
        from tencentcloud.common.exception import TencentCloudSDKException
        from tencentcloud.common.profile.client_profile import ClientProfile
        from tencentcloud.common.profile.http_profile import HttpProfile
        from tencentcloud.tcr.v20190924.tcr_client import TcrClient

        scheme, _, host = str(transport.home).partition("://")
        try:
            client = TcrClient(
                Credential(self._key.id, self._key.key),
                region,
                ClientProfile(language="en-US", httpProfile=HttpProfile(endpoint=host, protocol=scheme)),
            )
            client.request = _SdkTransport(transport)
            response = client.call_json(action, dict(parameters))["Response"]
        except TencentCloudSDKException as error:  # raised here and by _Carrier; no other place is left
            raise _ApiError(str(error.get_code())) from None
        return dict(response)


class _ApiError(Exception):
    """The API gave an error. ``code`` is its code, "" where that is none."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code if ERROR_CODE_PATTERN.fullmatch(code) else ""


@dataclass(frozen=True)
class _Response:
    """What the SDK wants to see of an answer."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)


class _SdkTransport:
    """Sends what the SDK has signed, in place of the SDK's own HTTP."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def send_request(self, request: RequestInternal) -> _Response:
        """Return an answer of the API that is no error. Raises TencentCloudSDKException for one that is."""
        from tencentcloud.common.exception import TencentCloudSDKException

        home = self._transport.home
        answer = self._transport.fetch(
            "POST",
            f"{home}/",
            headers={name: str(value) for name, value in request.header.items()},
            content=str(request.data).encode(),
            limit=MAX_RESPONSE_BYTES,
        )
        if answer.status >= 500:
            raise ServerError(
                messages.TENCENT_FAILED_WITH_STATUS(status=answer.status),
                messages.TRY_LATER_OR_STATUS_PAGE(),
            )
        if answer.status != 200 or answer.is_web_page:
            raise NotARegistry(
                messages.NO_TENCENT_API(host=home, status=answer.status),
                messages.CHECK_ENDPOINT_AND_PROXY(),
            )
        # The SDK looks for an error only where the type is exactly application/json: so it is looked for here.
        response = strict_json.load_object(answer.content, messages.API_RESPONSE()).get("Response")
        if not isinstance(response, dict):
            raise MalformedResponse(messages.NO_RESPONSE_OF_TENCENT(), messages.CHECK_ENDPOINT())
        error = response.get("Error")
        if error is not None:
            raise TencentCloudSDKException(str(error.get("Code", "")) if isinstance(error, dict) else "")
        return _Response(200, {"Content-Type": media_types.bare(answer.headers.get("Content-Type"))}, answer.content)

"""The door through which the console itself asks servers that are no registries, such as a sign-in service.

It is the same transport that registries are read by: addresses judged after the name is resolved, certificates
verified, own redirects, answers and times bounded, nothing taken from the environment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import requests
from django.conf import settings

from registries import messages
from registries.clients import server_endpoint
from registries.models import Registry
from registries.oci.endpoint import Origin
from registries.oci.errors import RegistryError, TimedOut
from registries.oci.transport import Transport

MAX_RESPONSE_BYTES = 1024 * 1024
MAX_EXCHANGE_SECONDS = 20.0  # for one exchange with its retries; a person waits for it


@dataclass(frozen=True)
class OutboundResponse:
    """An answer, as much like one of ``requests`` as those who ask need."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes = field(repr=False)
    url: str = ""

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body read as JSON. Raises requests.exceptions.JSONDecodeError, whatever is wrong with it."""
        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            raise requests.exceptions.JSONDecodeError("no JSON", "", 0) from error

    def raise_for_status(self) -> None:
        """Raise requests.HTTPError for a status that is an error."""
        if self.status_code >= 400:
            raise requests.HTTPError(f"HTTP {self.status_code}")


class OutboundSession:
    """What takes the place of ``requests.Session``. Raises requests.RequestException for whatever goes wrong."""

    def __enter__(self) -> OutboundSession:
        return self

    def __exit__(self, *_error: object) -> None:
        return None

    def get(self, url: str, **options: Any) -> OutboundResponse:
        """Ask by GET."""
        return self.request("GET", url, **options)

    def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Any = None,
        timeout: float | None = None,
    ) -> OutboundResponse:
        """Ask once, with the retries of the transport, for SECONDS at most whatever ``timeout`` says."""
        prepared = requests.Request(method, url, params=params, auth=auth).prepare()
        sent = {**(headers or {}), **({"Authorization": prepared.headers["Authorization"]} if auth else {})}
        content = None
        if data is not None:
            content, sent["Content-Type"] = urlencode(data).encode(), "application/x-www-form-urlencoded"
        end = time.monotonic() + min(MAX_EXCHANGE_SECONDS, timeout or MAX_EXCHANGE_SECONDS)

        def check() -> None:
            if time.monotonic() > end:
                raise TimedOut(messages.SERVER_TOO_SLOW(), messages.CHECK_REACHABLE())

        try:
            # What the issuer names (keys, tokens, user info) may lie inside only if the issuer does.
            named_by = Origin.of(settings.OIDC_ISSUER) if settings.OIDC_ISSUER else None
            transport = Transport(server_endpoint(Registry(), str(prepared.url)), check, named_by=named_by)
            try:
                response = transport.fetch(
                    method, str(prepared.url), headers=sent, content=content, limit=MAX_RESPONSE_BYTES
                )
            finally:
                transport.close()
        except RegistryError as error:
            raise requests.ConnectionError(f"{error.reason} {error.remedy}") from error
        return OutboundResponse(
            response.status, requests.structures.CaseInsensitiveDict(response.headers), response.content, url
        )

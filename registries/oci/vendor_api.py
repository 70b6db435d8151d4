"""A vendor's own JSON API beside ``/v2/``, by the same transport and under the same rules as the registry itself."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode

from registries.oci import messages, strict_json
from registries.oci.errors import CredentialsRefused, MalformedResponse, RedirectRefused, RegistryError
from registries.oci.responses import RegistryResponse, not_a_registry, response_error
from registries.oci.transport import Transport

if TYPE_CHECKING:
    from registries.oci.auth import RegistryAuthenticator

MAX_RESPONSE_BYTES = 16 * 1024 * 1024

Scheme = Literal["none", "basic", "bearer"]
Params = Mapping[str, str | int]


@dataclass(frozen=True)
class ApiResponse:
    """What an API answered, whatever its status. The body is read; what it says is found out when it is asked for."""

    _response: RegistryResponse = field(repr=False)
    _has_login: bool

    @property
    def status(self) -> int:
        """The HTTP status: 200, 304, or what is no success. 429 and 502 to 504 never get here."""
        return self._response.status

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers; their names are found in upper and lower case alike."""
        return self._response.headers

    @property
    def is_web_page(self) -> bool:
        """Whether a page for people came in place of an answer."""
        return self._response.is_web_page

    def error_code(self) -> str:
        """The code in ``{"errors": [{"code": …}]}``; "" where there is none."""
        return self._response.error_code()

    def error_text(self, key: str) -> str:
        """The text under ``key`` in the object of an error, or in the first of its ``errors``; "" where none is."""
        try:
            body: Any = strict_json.load(self._response.content, messages.ERROR_BODY())
            found = body["errors"][0] if "errors" in body else body
            return strict_json.text(found[key], 1000)
        except (MalformedResponse, LookupError, TypeError):
            return ""

    def error(self, subject: str) -> RegistryError:
        """The error for an answer that does not give ``subject`` (put into the message)."""
        return response_error(self._response, "page", subject, self._has_login)

    def value(self, subject: str) -> Any:
        """The JSON value of a 200, None for ``null``. Raises what :meth:`error` gives, NotARegistry for a web page."""
        if self.status != 200:
            raise self.error(subject)
        if self.is_web_page:
            raise not_a_registry(self._response)
        return strict_json.load(self._response.content, messages.RESPONSE())

    def item(self, subject: str) -> dict[str, Any]:
        """The object of a 200. Raises as :meth:`value`, and MalformedResponse for anything else."""
        value = self.value(subject)
        if not isinstance(value, dict):
            raise _unexpected(subject)
        return value

    def items(self, subject: str) -> list[dict[str, Any]]:
        """The objects in the list of a 200; none for ``null``. Raises as :meth:`item`."""
        return objects(self.value(subject), subject)


class JsonApi:
    """The API at ``base`` (an address at the registry's own origin). May be used by several threads.

    The password is sent as ``scheme`` says: with the user name as Basic, alone as Bearer, or not at all. Once it was
    refused, here or by the registry itself, no call is made any more.
    """

    def __init__(self, transport: Transport, auth: RegistryAuthenticator, *, base: str, scheme: Scheme) -> None:
        self._transport, self._auth, self._base, self._scheme = transport, auth, base, scheme
        self._token = ""  # nosec B105 (none yet)

    @property
    def has_login(self) -> bool:
        """Whether credentials are sent."""
        return self._auth.has_login and self._scheme != "none"

    def get(
        self,
        path: str,
        params: Params | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        head_seconds: float | None = None,
    ) -> ApiResponse:
        """GET ``path`` (encoded, appended to the base as it is) with ``params``; return the answer of any status.

        Raises the refusal of earlier credentials, RedirectRefused where another origin answers (no password went
        there, so it is somebody else's view), TooLarge above 16 MiB, and what :meth:`Transport.fetch` raises.
        """
        return self._call("GET", path, params, headers, head_seconds, None)

    def post(
        self,
        path: str,
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        head_seconds: float | None = None,
    ) -> ApiResponse:
        """POST a query; as :meth:`get`, retried like it: only for what changes nothing on the other side."""
        return self._call("POST", path, None, headers, head_seconds, content)

    @property
    def credentials(self) -> tuple[str, str]:
        """User name and password, for vendors that want them in the body of a sign-in. Raises an earlier refusal."""
        return self._auth.api_credentials()

    def with_token(self, token: str) -> JsonApi:
        """Return this API as who has signed in by ``token``, which is sent in place of the credentials."""
        other = copy.copy(self)
        other._token = token
        return other

    def refuse(self) -> CredentialsRefused:
        """Remember, for the registry's own sign-in too, that the credentials are wrong; return the error to raise."""
        return self._auth.refuse()

    def accept(self) -> None:
        """Note that an answer has shown that the credentials are right; many APIs answer wrong ones like none."""
        self._auth.accept()

    def _call(
        self,
        method: str,
        path: str,
        params: Params | None,
        headers: Mapping[str, str] | None,
        head_seconds: float | None,
        content: bytes | None,
    ) -> ApiResponse:
        authorization = self._auth.api_authorization(self._scheme) if not self._token else f"Bearer {self._token}"
        sent = {"Accept": "application/json", **(headers or {})}
        if authorization:
            sent["Authorization"] = authorization
        url = self._base + path + (f"?{urlencode(params)}" if params else "")
        with self._auth.sending(login=bool(authorization) and not self._token):
            response = self._transport.fetch(
                method, url, headers=sent, limit=MAX_RESPONSE_BYTES, head_seconds=head_seconds, content=content
            )
        if response.origin != self._transport.home:
            response.close()
            raise RedirectRefused(
                messages.PASSWORD_REDIRECTED(origin=response.origin),
                messages.ENTER_ITS_ADDRESS(),
            )
        return ApiResponse(response, self.has_login)


def objects(value: object, subject: str) -> list[dict[str, Any]]:
    """``value`` as a list of objects; none for null. Raises MalformedResponse for anything else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise _unexpected(subject)
    return value


def _unexpected(subject: str) -> MalformedResponse:
    return MalformedResponse(
        messages.RESPONSE_UNEXPECTED(subject=subject),
        messages.CHECK_TYPE_AND_VERSION(),
    )

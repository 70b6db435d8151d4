"""Answers of registries, and what those mean that are no success."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import requests

from registries.oci import messages, strict_json
from registries.oci.connections import CallContext
from registries.oci.endpoint import Origin
from registries.oci.errors import (
    AccessDenied,
    AddressInvalid,
    MalformedResponse,
    NotARegistry,
    NotFound,
    PolicyBlocked,
    RegistryError,
    ServerError,
)
from registries.oci.failures import translate_errors

_CODE = re.compile(r"[A-Z0-9_]{1,60}")
_BLANK = b"\xef\xbb\xbf \t\r\n"  # what may stand before an answer: a byte order mark, white space

ContentKind = Literal["repository", "manifest", "blob", "page"]


@dataclass
class RegistryResponse:
    """What came back. ``content`` holds the body where a limit was given, and always of an error; else ``read``."""

    status: int
    headers: Mapping[str, str]
    origin: Origin
    response: requests.Response = field(repr=False)
    call: CallContext = field(repr=False)
    content: bytes = field(default=b"", repr=False)

    def read(self, count: int, *, decode: bool = False) -> bytes:
        """Return up to ``count`` bytes of the body, b"" at its end. Raises Unreachable where the connection breaks."""
        with self.call.active(), translate_errors(self.origin):
            data: bytes = self.response.raw.read(count, decode_content=decode)
            return data

    def close(self) -> None:
        """Give the connection back, or end it where the body was not read to its end."""
        self.response.close()

    def error_code(self) -> str:
        """The code of a distribution error, e.g. ``NAME_UNKNOWN``; "" where the body is none."""
        try:
            errors = strict_json.load_object(self.content, messages.ERROR_BODY()).get("errors")
            code = errors[0]["code"] if isinstance(errors, list) else ""
        except (MalformedResponse, LookupError, TypeError):
            return ""
        return code if isinstance(code, str) and _CODE.fullmatch(code) else ""

    @property
    def is_web_page(self) -> bool:
        """Whether a page for people came in place of an answer: one whose body begins as HTML or XML does.

        The declared type says nothing: Quay 3.18 gives ``true`` at its root, and some proxies JSON, as text/html.
        """
        return self.content.lstrip(_BLANK).startswith(b"<")

    @property
    def speaks_distribution(self) -> bool:
        """Whether the server says by header that it speaks the distribution API (optional by distribution-spec)."""
        return self.headers.get("Docker-Distribution-Api-Version", "").lower().startswith("registry/2")


def access_denied(has_login: bool) -> AccessDenied:
    """The error for a lack of rights. Registries say the same of what is not there."""
    if has_login:
        return AccessDenied(
            messages.MAY_NOT_READ_OR_MISSING(),
            messages.GIVE_RIGHT_OR_CHECK_NAME(),
        )
    return AccessDenied(messages.SIGN_IN_REQUIRED(), messages.ENTER_CREDENTIALS())


def require_registry(response: RegistryResponse) -> None:
    """Raise unless ``response`` is what a registry says at its root to those whom it lets in."""
    if response.status == 403:
        raise AccessDenied(
            messages.ACCESS_FORBIDDEN(),
            messages.CHECK_ACCESS_RULES(),
        )
    if response.status >= 500:
        raise ServerError(messages.FAILED(status=response.status), messages.CHECK_REGISTRY_LOGS())
    if any(words in response.content[:2000] for words in _PLAIN_ON_TLS):
        raise AddressInvalid(messages.PORT_SPEAKS_TLS(), messages.WRITE_WITH_HTTPS())
    body = response.content.strip(_BLANK)
    is_answer = body[:1] in (b"", b"{", b"[", b"n", b'"', b"t") or response.speaks_distribution
    if response.status != 200 or response.is_web_page or not is_answer:
        raise NotARegistry(
            messages.NOT_A_REGISTRY(status=response.status),
            messages.CHECK_ADDRESS_OR_SIGN_IN_PAGE(),
        )


def response_error(response: RegistryResponse, what: ContentKind, subject: str, has_login: bool) -> RegistryError:
    """The error for an answer that is no success. The body of the answer is closed."""
    response.close()
    code, status = response.error_code(), response.status
    note = f" ({code})" if code else ""
    if response.is_web_page and status in {200, 404}:
        return not_a_registry(response)
    if status == 401:
        return access_denied(has_login)
    if status == 403 and b"Xray" in response.content:
        return PolicyBlocked(
            messages.XRAY_BLOCKS(subject=subject),
            messages.EXEMPT_FROM_XRAY(),
        )
    if status == 403:
        return AccessDenied(
            messages.MAY_NOT_READ(subject=subject, note=note),
            messages.GIVE_RIGHT_OR_CHECK_POLICY(),
        )
    if status in {404, 405, 410, 501}:
        return NotFound(
            messages.DOES_NOT_CONTAIN(subject=subject, note=note),
            _NOT_FOUND_REMEDIES.get(what, _NOT_FOUND_REMEDIES["page"]),
            what=what,
        )
    if status == 412:
        return PolicyBlocked(
            messages.POLICY_BLOCKS(subject=subject, note=note),
            messages.EXEMPT_FROM_PROJECT_RULES(),
        )
    if status >= 500:
        return ServerError(
            messages.FAILED_TO_GIVE(subject=subject, status=status, note=note), messages.CHECK_REGISTRY_LOGS()
        )
    return MalformedResponse(
        messages.UNEXPECTED_STATUS(status=status, note=note, subject=subject), messages.CHECK_TYPE()
    )


def storage_denied(response: RegistryResponse) -> AccessDenied:
    """The error for a redirect target that does not give what the registry has promised."""
    response.close()
    return AccessDenied(
        messages.STORAGE_REFUSES(origin=response.origin, status=response.status),
        messages.CHECK_STORAGE_SETTINGS(),
    )


def not_a_registry(response: RegistryResponse) -> NotARegistry:
    """Return the error for a response that is not of a registry, with a cause that is more exact where it is known."""
    with contextlib.suppress(RegistryError):
        require_registry(response)
    return NotARegistry(
        messages.WEB_PAGE(),
        messages.CHECK_TYPE_OR_SIGN_IN_PAGE(),
    )


# what Go's server and nginx say to plain HTTP on their TLS ports
_PLAIN_ON_TLS = (b"HTTP request to an HTTPS server", b"plain HTTP request was sent to HTTPS port")
_NOT_FOUND_REMEDIES = {
    "repository": messages.REPOSITORY_GONE(),
    "manifest": messages.MANIFEST_GONE(),
    "blob": messages.BLOB_GONE(),
    "page": messages.PAGE_GONE(),
}

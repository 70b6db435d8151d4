"""Answers of registries, and what those mean that are no success."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import requests

from registries.oci import strict_json
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
            errors = strict_json.load_object(self.content, "error").get("errors")
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
            "The account may not read this, or it is not there.",
            "Give the account the right to list and pull, or check the name.",
        )
    return AccessDenied("The registry asks for a sign-in.", "Enter a user name and a password that may list and pull.")


def require_registry(response: RegistryResponse) -> None:
    """Raise unless ``response`` is what a registry says at its root to those whom it lets in."""
    if response.status == 403:
        raise AccessDenied(
            "The registry forbids the access.",
            "It may let in listed addresses only, or the account lacks a right. Look at the registry's access rules.",
        )
    if response.status >= 500:
        raise ServerError(f"The registry failed (HTTP {response.status}).", "Look at the registry's own logs.")
    if any(words in response.content[:2000] for words in _PLAIN_ON_TLS):
        raise AddressInvalid("This port speaks TLS.", "Write the address with https.")
    body = response.content.strip(_BLANK)
    is_answer = body[:1] in (b"", b"{", b"[", b"n", b'"', b"t") or response.speaks_distribution
    if response.status != 200 or response.is_web_page or not is_answer:
        raise NotARegistry(
            f"No registry answers at this address (HTTP {response.status}).",
            "Check type, port and path prefix of the address. A sign-in page of a proxy may stand before the registry.",
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
            f"A policy of JFrog Xray blocks the download of {subject}.",
            "Exempt this account or the repository from the policy, or have the image allowed in Xray.",
        )
    if status == 403:
        return AccessDenied(
            f"The registry does not let this account read {subject}{note}.",
            "Give the account the right to list and pull there. A policy of the registry may also block it.",
        )
    if status in {404, 405, 410, 501}:
        return NotFound(
            f"The registry does not hold {subject}{note}.",
            _NOT_FOUND_REMEDIES.get(what, _NOT_FOUND_REMEDIES["page"]),
            what=what,
        )
    if status == 412:
        return PolicyBlocked(
            f"A policy of the registry blocks the pull of {subject}{note}.",
            "Exempt this account from the project's rules on vulnerabilities or signatures.",
        )
    if status >= 500:
        return ServerError(
            f"The registry failed to give {subject} (HTTP {status}{note}).", "Look at the registry's own logs."
        )
    return MalformedResponse(
        f"The registry answered HTTP {status}{note} when asked for {subject}.", "Check the type of this registry."
    )


def storage_denied(response: RegistryResponse) -> AccessDenied:
    """The error for a redirect target that does not give what the registry has promised."""
    response.close()
    return AccessDenied(
        f"{response.origin}, where the registry keeps its content, refuses the download (HTTP {response.status}).",
        "Check the registry's storage settings, and that this machine may read from that storage.",
    )


def not_a_registry(response: RegistryResponse) -> NotARegistry:
    """Return the error for a response that is not of a registry, with a cause that is more exact where it is known."""
    with contextlib.suppress(RegistryError):
        require_registry(response)
    return NotARegistry(
        "A web page came where the registry should have answered.",
        "Check type and path prefix of the address. A sign-in page of a proxy may stand before the registry.",
    )


# what Go's server and nginx say to plain HTTP on their TLS ports
_PLAIN_ON_TLS = (b"HTTP request to an HTTPS server", b"plain HTTP request was sent to HTTPS port")
_NOT_FOUND_REMEDIES = {
    "repository": "It may have been deleted. The next sync notices that by itself.",
    "manifest": "It may have been deleted or replaced since it was listed: sync the registry and try again.",
    "blob": "The image is incomplete in the registry, or a base layer lives elsewhere (Windows): push the image again.",
    "page": "Check the address and its path prefix.",
}

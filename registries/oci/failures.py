"""What requests, urllib3, ssl and sockets raise, turned into errors for people."""

from __future__ import annotations

import contextlib
import errno
import http.client
import ssl
from collections.abc import Iterator
from typing import Any

import requests
import urllib3

from registries.oci.connections import timed_out
from registries.oci.endpoint import Origin
from registries.oci.errors import (
    AddressInvalid,
    CertificateError,
    MalformedResponse,
    RegistryError,
    TlsError,
    Unreachable,
)


@contextlib.contextmanager
def translate_errors(origin: Origin) -> Iterator[None]:
    """Turn what requests, urllib3 and the socket raise into errors for people. Ours pass."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        raise _translate(error, origin) from error


def _translate(error: BaseException, origin: Origin) -> RegistryError:
    causes = tuple(_causes(error))
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno in (errno.EMFILE, errno.ENFILE):
            return RegistryError(  # no word about the registry, which was not reached
                "The console has too many files and connections open.",
                "Raise the number of open files that the service may have (LimitNOFILE of systemd, ulimit -n), and"
                " restart it.",
                retry=True,
            )
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _certificate(cause, origin)
    for cause in causes:
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLEOFError):
            return _tls(cause, origin)
        if isinstance(cause, (TimeoutError, urllib3.exceptions.TimeoutError)):
            return timed_out()
        if isinstance(cause, urllib3.exceptions.DecodeError):
            return MalformedResponse(f"{origin} sends a body that cannot be unpacked.", "Check the proxy before it.")
        if isinstance(cause, (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL)):
            return AddressInvalid(
                "The address or the credentials hold characters that no request can.", "Correct them."
            )
        if isinstance(cause, urllib3.exceptions.ProxyError):
            return Unreachable(
                "The proxy did not connect.", "Check TALLYMAN_PROXY and that the proxy may reach the registry."
            )
    return Unreachable(
        f"The connection to {origin} broke.", "Check the network between here and the registry; then try again."
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """``error`` and all that led to it, however the libraries have wrapped it."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop(0)
        if isinstance(each, BaseException) and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]


def _certificate(error: ssl.SSLCertVerificationError, origin: Origin) -> CertificateError:
    # codes of X509_verify_cert, OpenSSL x509_vfy.h
    trust = "Add the authority's certificate to this registry's bundle, or turn off “Validate remote certificates”."
    reason, remedy = {
        9: ("is not valid yet", "Check the clocks of the registry and of this machine."),
        10: ("has expired", "Renew the registry's certificate."),
        18: ("is signed by itself", trust),
        19: ("is signed by an authority that is not known here", trust),
        20: ("is signed by an authority that is not known here", trust),
        21: ("is signed by an authority that is not known here", trust),
        62: ("is for another host name", "Use a name that the certificate holds, or have it issued for this one."),
        64: ("is for another address", "Use a name that the certificate holds, or have it issued for this address."),
    }.get(error.verify_code, ("is not to be trusted", trust))
    return CertificateError(f"The certificate of {origin} {reason}.", remedy)


def _tls(error: ssl.SSLError, origin: Origin) -> TlsError:
    if error.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}:
        return TlsError(
            f"{origin} does not speak TLS on this port.",
            "Check the port. If the registry has no TLS at all, use an http address and allow plain HTTP for it.",
        )
    return TlsError(f"The TLS handshake with {origin} failed.", "Check which versions of TLS the registry offers.")

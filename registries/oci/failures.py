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

from registries.oci import messages
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
                messages.TOO_MANY_OPEN_FILES(),
                messages.RAISE_OPEN_FILES(),
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
            return MalformedResponse(messages.BODY_CANNOT_BE_UNPACKED(origin=origin), messages.CHECK_PROXY())
        if isinstance(cause, (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL)):
            return AddressInvalid(messages.UNFIT_CHARACTERS(), messages.CORRECT_THEM())
        if isinstance(cause, urllib3.exceptions.ProxyError):
            return Unreachable(messages.PROXY_DID_NOT_CONNECT(), messages.CHECK_TALLYMAN_PROXY())
    return Unreachable(messages.CONNECTION_BROKE(origin=origin), messages.CHECK_NETWORK())


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
    trust = messages.ADD_AUTHORITY()
    reason, remedy = {
        9: (messages.CERTIFICATE_NOT_YET_VALID(), messages.CHECK_CLOCKS()),
        10: (messages.CERTIFICATE_EXPIRED(), messages.RENEW_CERTIFICATE()),
        18: (messages.CERTIFICATE_SELF_SIGNED(), trust),
        19: (messages.CERTIFICATE_OF_UNKNOWN_AUTHORITY(), trust),
        20: (messages.CERTIFICATE_OF_UNKNOWN_AUTHORITY(), trust),
        21: (messages.CERTIFICATE_OF_UNKNOWN_AUTHORITY(), trust),
        62: (messages.CERTIFICATE_OF_OTHER_HOST(), messages.USE_NAME_OF_CERTIFICATE()),
        64: (messages.CERTIFICATE_OF_OTHER_ADDRESS(), messages.USE_ADDRESS_OF_CERTIFICATE()),
    }.get(error.verify_code, (messages.CERTIFICATE_UNTRUSTED(), trust))
    return CertificateError(messages.CERTIFICATE_INVALID(origin=origin, reason=reason), remedy)


def _tls(error: ssl.SSLError, origin: Origin) -> TlsError:
    if error.reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}:
        return TlsError(
            messages.NO_TLS_ON_PORT(origin=origin),
            messages.CHECK_PORT_OR_ALLOW_HTTP(),
        )
    return TlsError(messages.TLS_HANDSHAKE_FAILED(origin=origin), messages.CHECK_TLS_VERSIONS())

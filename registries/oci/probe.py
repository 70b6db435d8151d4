"""The way to a registry, step by step: name, connection, certificate. Nothing is sent but a TLS handshake."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from socket import socket
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.x509.oid import NameOID

from registries.oci.address_guard import AddressGuard
from registries.oci.connections import (
    CONNECT_TIMEOUT_SECONDS,
    CallContext,
    connect,
    forbidden_address,
    resolve_host,
    tls_context,
    unverified_tls_context,
)
from registries.oci.endpoint import Endpoint
from registries.oci.failures import translate_errors


@dataclass(frozen=True)
class Handshake:
    """What a TLS handshake has shown. ``issuer`` and ``expires`` are those of the server's own certificate."""

    protocol: str  # as in "TLSv1.3"
    issuer: str
    expires: datetime | None


class Probe:
    """Goes to the registry of ``endpoint`` without a proxy, by the same guard and the same trust as all calls.

    The steps come in this order: ``resolve``, ``connect``, ``handshake``; each raises RegistryError.
    """

    def __init__(self, endpoint: Endpoint, *, check: Callable[[], None]) -> None:
        self.endpoint, self.origin = endpoint, endpoint.origin
        guard = AddressGuard(endpoint.allowed_networks)
        self._guard = guard
        self._call = CallContext(check, guard, self.origin.host, time.monotonic() + 3 * CONNECT_TIMEOUT_SECONDS)
        self._socket: socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.close()

    def resolve(self) -> list[str]:
        """Return the addresses of the host that may be connected to. Raises NameNotResolved, AddressForbidden."""
        found = dict.fromkeys(str(each[4][0]) for each in resolve_host(self.origin.host, self.origin.port))
        permitted = [address for address in found if self._guard.permits(address, home=True)]
        if not permitted:
            raise forbidden_address(self.origin.host)
        return permitted

    def connect(self) -> str:
        """Connect, and return the address that took the connection. Raises Unreachable."""
        with self._call.active():
            self._socket = connect(self.origin.host, self.origin.port, by_proxy=False)
        return str(self._socket.getpeername()[0])

    def handshake(self) -> Handshake:
        """Speak TLS over the connection. Raises TlsError, CertificateError, Unreachable."""
        assert self._socket is not None  # noqa: S101 (the order of the steps)
        context = tls_context(self.endpoint.ca_bundle) if self.endpoint.verify else unverified_tls_context()
        with self._call.active(), translate_errors(self.origin):
            secured = context.wrap_socket(self._socket, server_hostname=self.origin.host)
        self._socket = secured
        issuer, expires = _facts(secured)
        return Handshake(secured.version() or "", issuer, expires)


def _facts(secured: ssl.SSLSocket) -> tuple[str, datetime | None]:
    """Return who issued the certificate of the peer, and until when it is valid; nothing where it cannot be read."""
    try:
        certificate = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
        names = [
            *certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME),
            *certificate.issuer.get_attributes_for_oid(NameOID.COMMON_NAME),
        ]
        return (str(names[0].value)[:80] if names else ""), certificate.not_valid_after_utc.astimezone(UTC)
    except ValueError:
        return "", None

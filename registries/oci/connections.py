"""Connections that look at the address they go to, stop when told so, and do not wait for ever.

All waiting takes place in ``recv_into`` of two socket classes, in slices: so one place sees to it that a cancelled call
ends at once, and that a peer which trickles, be it headers, records of TLS or body, is given up.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import certifi
from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util import create_urllib3_context, parse_url

from registries.oci import messages
from registries.oci.address_guard import AddressGuard
from registries.oci.errors import (
    AddressForbidden,
    AddressInvalid,
    CertificateError,
    ConnectionRefused,
    NameNotResolved,
    TimedOut,
    Unreachable,
)

POLL_SECONDS = 0.25
CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 30.0  # without a single byte
THROUGHPUT_WINDOW_SECONDS = 30.0  # of waiting, in which at least this much must come:
MIN_WINDOW_BYTES = 30 * 1024


@dataclass
class CallContext:
    """What a thread does on a connection right now: who may stop it, and until when it must be done."""

    check: Callable[[], None]
    guard: AddressGuard
    home: str  # host of the registry
    deadline: float  # time.monotonic()
    trickle_allowed: bool = True  # heads are short; bodies must flow
    read_timeout: float | None = None  # how long not a single byte may come, where that is not READ_SECONDS
    _waited: float = 0.0
    _received: int = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Let this call rule the connections that the thread uses within the block."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def raise_if_stopped(self) -> None:
        """Raise what stops this call, if anything does."""
        self.check()
        if time.monotonic() > self.deadline:
            raise timed_out()

    def count_received(self, count: int, seconds: float) -> None:
        """Count what came. Raises TimedOut for a trickle."""
        self._received += count
        self._waited += seconds
        if self._waited > THROUGHPUT_WINDOW_SECONDS:
            if not self.trickle_allowed and self._received < MIN_WINDOW_BYTES:
                raise timed_out()
            self._waited, self._received = 0.0, 0


_current: ContextVar[CallContext] = ContextVar("call")


def timed_out() -> TimedOut:
    """The error for a peer that does not answer in time."""
    return TimedOut(
        messages.NO_RESPONSE_IN_TIME(),
        messages.CHECK_FIREWALLS_AND_PROXIES(),
    )


class _PollingSocket:
    """``recv_into`` in slices of time, for sockets with and without TLS."""

    def recv_into(self, *args: Any) -> int:
        sock: Any = self
        call, began, timeout = _current.get(), time.monotonic(), sock.gettimeout()
        sock.settimeout(POLL_SECONDS)
        try:
            while True:
                call.raise_if_stopped()
                try:
                    count: int = super().recv_into(*args)  # type: ignore[misc]
                except TimeoutError:
                    if time.monotonic() - began > (call.read_timeout or READ_TIMEOUT_SECONDS):
                        raise timed_out() from None
                else:
                    call.count_received(count, time.monotonic() - began)
                    return count
        finally:
            with contextlib.suppress(OSError):
                sock.settimeout(timeout)


class _PlainSocket(_PollingSocket, socket.socket):
    pass


class _TlsSocket(_PollingSocket, ssl.SSLSocket):
    pass


class _GuardedConnection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        return connect(self._dns_host, self.port, by_proxy=self.proxy is not None)


class _GuardedTlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        return connect(self._dns_host, self.port, by_proxy=self.proxy is not None)


class _Pool(HTTPConnectionPool):
    ConnectionCls = _GuardedConnection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _GuardedTlsConnection

    def _validate_conn(self, conn: Any) -> None:
        if conn.is_closed:  # the base class also warns of each connection that is not verified: the operator knows
            conn.connect()


_POOLS = {"http": _Pool, "https": _TlsPool}


class GuardedAdapter(HTTPAdapter):
    """A requests adapter over guarded connections, with one TLS context for all of them.

    Used without a Session, so nothing ambient takes part: no cookies, no ``.netrc``, no variables of the environment.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(pool_connections=8, pool_maxsize=8)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **options: Any) -> None:
        """Make the manager of direct connections."""
        self.poolmanager = PoolManager(connections, maxsize=maxsize, block=block, ssl_context=self._context)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the manager of connections through ``proxy``."""
        if proxy not in self.proxy_manager:
            manager = ProxyManager(proxy, maxsize=8, proxy_headers=self.proxy_headers(proxy), ssl_context=self._context)
            manager.pool_classes_by_scheme = _POOLS
            self.proxy_manager[proxy] = manager
        return self.proxy_manager[proxy]

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: object, cert: object = None
    ) -> tuple[Any, Any]:
        """Return where ``request`` goes; what is trusted lies in the context and nowhere else."""
        parts = parse_url(str(request.url))
        return {"scheme": parts.scheme, "host": parts.host, "port": parts.port}, {}

    def cert_verify(self, conn: Any, url: object, verify: object, cert: object) -> None:
        """Do nothing: the base class would add certificates by ``verify``."""


@functools.lru_cache(maxsize=16)  # reading all public authorities takes 30 ms
def tls_context(ca_bundle: str) -> ssl.SSLContext:
    """A context that trusts the public authorities and those of ``ca_bundle`` (PEM). Raises CertificateError."""
    context = _context()
    context.load_verify_locations(certifi.where())
    if ca_bundle.strip():
        try:
            context.load_verify_locations(cadata=ca_bundle)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # a server's own certificate will do, too
        except (ssl.SSLError, ValueError):
            raise CertificateError(
                messages.BUNDLE_UNREADABLE(),
                messages.PASTE_PEM(),
            ) from None
    return context


def unverified_tls_context() -> ssl.SSLContext:
    """A context that verifies nothing."""
    context = _context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _context() -> ssl.SSLContext:
    context = create_urllib3_context()
    context.check_hostname = True
    context.sslsocket_class = _TlsSocket
    return context


def resolve_host(host: str, port: int) -> list[tuple[Any, ...]]:
    """The addresses of ``host``, as ``getaddrinfo`` gives them. Raises NameNotResolved, AddressInvalid."""
    try:
        return list(socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM))
    except socket.gaierror as error:
        _require_open_files()
        raise NameNotResolved(
            messages.HOST_UNKNOWN(host=host),
            messages.CHECK_SPELLING_AND_NAME_SERVERS(),
            retry=error.errno == socket.EAI_AGAIN,
        ) from None
    except (UnicodeError, OverflowError):
        raise AddressInvalid(messages.HOST_IMPOSSIBLE(), messages.WRITE_AS_URL()) from None


def _require_open_files() -> None:
    """Raise OSError (EMFILE, ENFILE) where no more files can be opened: a resolver says then that it knows no name."""
    os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))


def record_home(guard: AddressGuard, home: str, port: int, found: list[tuple[Any, ...]] | None) -> None:
    """Tell ``guard`` where the registry lives: by what its name was ``found`` to be, else if nobody has said it yet."""
    if found is None:
        if guard.knows_home:
            return
        try:
            found = resolve_host(home, port)
        except (NameNotResolved, AddressInvalid):
            found = []
    guard.home_resolved([str(each[4][0]) for each in found])


def forbidden_address(host: str) -> AddressForbidden:
    """The error for a name that leads to where nothing may go."""
    return AddressForbidden(
        messages.HOST_FORBIDDEN(host=host),
        messages.ALLOW_NETWORK(),
    )


def connect(host: str, port: int, *, by_proxy: bool) -> socket.socket:
    """Connect to an address of ``host`` that the guard permits; to any where it is the operator's own proxy."""
    call = _current.get()
    home = host.strip("[]").rstrip(".").lower() == call.home
    found = resolve_host(host, port)
    if not by_proxy:
        record_home(call.guard, call.home, port, found if home else None)
    permitted = found if by_proxy else [each for each in found if call.guard.permits(each[4][0], home=home)]
    if not permitted:
        raise forbidden_address(host)
    failure: OSError | None = None
    for family, kind, protocol, _, address in permitted:
        call.raise_if_stopped()
        sock = _PlainSocket(family, kind, protocol)
        try:
            sock.settimeout(CONNECT_TIMEOUT_SECONDS / min(len(permitted), 2))
            sock.connect(address)
            sock.settimeout(CONNECT_TIMEOUT_SECONDS)  # of the TLS handshake; afterwards reads go in slices
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return sock
    raise _unreachable(host, port, failure)


def _unreachable(host: str, port: int, failure: OSError | None) -> Unreachable:
    if isinstance(failure, ConnectionRefusedError):
        return ConnectionRefused(messages.NOTHING_LISTENS(host=host, port=port), messages.CHECK_PORT(), host=host)
    if isinstance(failure, TimeoutError) or (failure and failure.errno == errno.ETIMEDOUT):
        return TimedOut(
            messages.CONNECT_TIMED_OUT(host=host, port=port),
            messages.CHECK_FIREWALL_OR_ALLOWLIST(),
            host=host,
        )
    return Unreachable(
        messages.HOST_UNREACHABLE(host=host),
        messages.CHECK_ROUTES(),
        host=host,
    )

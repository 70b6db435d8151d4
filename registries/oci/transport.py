"""HTTP as registries need it: guarded connections, own redirects, retries that obey, bodies with an end."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urljoin

import requests

from registries.oci import listing_bounds, messages
from registries.oci.address_guard import AddressGuard, is_forbidden_name, is_global
from registries.oci.connections import (
    CONNECT_TIMEOUT_SECONDS,
    POLL_SECONDS,
    READ_TIMEOUT_SECONDS,
    CallContext,
    GuardedAdapter,
    forbidden_address,
    record_home,
    resolve_host,
    tls_context,
    unverified_tls_context,
)
from registries.oci.endpoint import Endpoint, Origin
from registries.oci.errors import (
    AccountLocked,
    AddressInvalid,
    NameNotResolved,
    RateLimited,
    RedirectRefused,
    RegistryError,
    ServerError,
    TimedOut,
    TooLarge,
    Unreachable,
)
from registries.oci.failures import translate_errors
from registries.oci.responses import RegistryResponse

USER_AGENT = "Tallyman (container image console)"
MAX_TRIES = 5
MAX_REDIRECTS = 5
MAX_PAUSE_SECONDS = 15 * 60.0
MIN_PAUSE_SECONDS = (
    15.0  # before work goes on that a registry has refused that often, whatever it says: "0" would be a loop
)
FIRST_PAUSE_SECONDS = 1.0
RESPONSE_HEAD_SECONDS = 30.0
RESPONSE_BODY_SECONDS = 120.0
CIRCUIT_OPEN_SECONDS = 5 * 60.0
ERROR_BODY_SECONDS, MAX_ERROR_BODY_BYTES = 5.0, 64 * 1024
ACCOUNT_LOCKED_SECONDS = 60.0  # an account that is locked is left alone for so long, however short its lock is
CHUNK_BYTES = 64 * 1024
_LOCKED_MESSAGE = (
    b"Too many login attempts"  # what Quay says, to a right password as well (data/users, endpoints/v2/v2auth)
)
_RETRIED_STATUSES = frozenset({429, 502, 503, 504})
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
_CROSS_ORIGIN_HEADERS = frozenset({"Range", "Accept-Encoding", "User-Agent"})


class Transport:
    """Requests to one registry and to where it points. May be used by several threads."""

    def __init__(self, endpoint: Endpoint, check: Callable[[], None], *, named_by: Origin | None = None) -> None:
        """``named_by`` is who names this address, if it is not its own: it may reach inside only from inside."""
        self.endpoint, self.check = endpoint, check
        self.home = endpoint.origin
        self._named_by = named_by or self.home
        self._guard = AddressGuard(endpoint.allowed_networks)
        self._verifying_adapter = GuardedAdapter(tls_context(endpoint.ca_bundle))
        self._home_adapter = self._verifying_adapter if endpoint.verify else GuardedAdapter(unverified_tls_context())
        self._open_circuit: tuple[float, RegistryError] | None = None

    def close(self) -> None:
        """End all connections."""
        self._verifying_adapter.close()
        self._home_adapter.close()

    def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        limit: int | None = None,
        head_seconds: float | None = None,
        content: bytes | None = None,
    ) -> RegistryResponse:
        """Return the answer to a GET or HEAD, whatever its status, after redirects and retries.

        With ``limit`` (bytes) the body is read too, decoded and no longer than that; without, the caller reads and
        closes. ``head_seconds`` is how many seconds the head may take. ``content`` goes with a POST that only asks: it
        is repeated like a GET, and follows no redirect to another origin. Raises Unreachable, TlsError, RateLimited,
        ServerError, RedirectRefused, AddressForbidden, TooLarge, and what ``check`` raises. An account that is locked
        for failed logins (AccountLocked) is not tried again.
        """
        head_seconds = head_seconds or RESPONSE_HEAD_SECONDS
        began, paused = time.monotonic(), 0.0
        for attempt in range(1, MAX_TRIES + 1):
            self._raise_if_circuit_open(url)
            try:
                response = self._follow(method, url, headers or {}, limit, head_seconds, content)
                if response.status not in _RETRIED_STATUSES:
                    return response
                pause = _retry_after(response)
                failure = _overload_error(response, pause)
                response.close()
                if isinstance(failure, AccountLocked):
                    raise failure
            except (Unreachable, NameNotResolved) as error:
                if not error.retry:
                    raise
                failure, pause = error, None
            jitter = random.uniform(0.5, 1)  # noqa: S311  # nosec B311
            wait = pause if pause is not None else FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * jitter
            # One that hangs has used up what a call may take; the job as a whole can be tried again.
            hung = isinstance(failure, TimedOut) and time.monotonic() - began - paused > 0.9 * head_seconds
            if attempt == MAX_TRIES or hung or paused + wait > MAX_PAUSE_SECONDS:
                break
            self.wait(wait)
            paused += wait
        if isinstance(failure, Unreachable) and failure.host == self.home.host:
            self._open_circuit = (time.monotonic() + CIRCUIT_OPEN_SECONDS, failure)
        raise failure

    def _raise_if_circuit_open(self, url: str) -> None:
        if self._open_circuit and Origin.of(url) == self.home:
            until, failure = self._open_circuit
            if time.monotonic() < until:
                raise failure
            self._open_circuit = None

    def wait(self, seconds: float) -> None:
        """Wait, and raise what ``check`` raises meanwhile."""
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            self.check()
            time.sleep(min(remaining, POLL_SECONDS))
        self.check()

    def _follow(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        limit: int | None,
        head_seconds: float,
        content: bytes | None,
    ) -> RegistryResponse:
        """One request with its redirects. What belongs to the first origin is sent to no other, and not again later."""
        first = origin = Origin.of(url)
        everything = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **headers}
        if first == self.home:
            everything |= dict(self.endpoint.headers)
        for _ in range(MAX_REDIRECTS + 1):
            if origin != first:
                everything = {name: value for name, value in everything.items() if name in _CROSS_ORIGIN_HEADERS}
            response = self._exchange(method, url, origin, everything, limit, head_seconds, content)
            if response.status not in _REDIRECT_STATUSES:
                return response
            target = response.headers.get("Location", "")
            response.close()
            url, previous = _resolve(url, target), url
            origin, before = Origin.of(url), origin
            if before.scheme == "https" and origin.scheme != "https":
                raise RedirectRefused(
                    messages.REDIRECT_WITHOUT_TLS(before=before),
                    messages.CORRECT_EXTERNAL_URL(),
                )
            if content is not None and origin != first:
                raise RedirectRefused(
                    messages.REDIRECTED_QUERY(first=first, origin=origin), messages.ENTER_ITS_ADDRESS()
                )
            if origin != first and self._is_private_registry(origin):
                raise RedirectRefused(
                    messages.REDIRECT_TO_OTHER_REGISTRY(first=first, origin=origin),
                    messages.DELIVER_ITSELF(),
                )
            if url == previous:
                break
        raise RedirectRefused(messages.REDIRECT_CIRCLE(first=first), messages.CHECK_ADDRESS_AND_PROXY())

    def _exchange(
        self,
        method: str,
        url: str,
        origin: Origin,
        headers: Mapping[str, str],
        limit: int | None,
        head_seconds: float,
        content: bytes | None,
    ) -> RegistryResponse:
        self.check()
        proxy = self.endpoint.proxy_for(origin)
        if proxy:
            self._check_behind_proxy(origin)
        adapter = self._home_adapter if origin == self.home else self._verifying_adapter
        call = self._call(head_seconds, read_timeout=head_seconds)
        with call.active(), translate_errors(origin):
            prepared = requests.Request(method, url, headers=dict(headers), data=content).prepare()
            raw_response = adapter.send(
                prepared,
                stream=True,
                timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
                proxies={origin.scheme: proxy} if proxy else {},
            )
        response = RegistryResponse(raw_response.status_code, raw_response.headers, origin, raw_response, call)
        response.call = self._call(RESPONSE_BODY_SECONDS if limit is not None else float("inf"), trickle_allowed=False)
        if raw_response.status_code >= 400 or raw_response.status_code in _REDIRECT_STATUSES:
            response.call = self._call(ERROR_BODY_SECONDS)
            with contextlib.suppress(RegistryError):  # the status alone will do
                _read_start(response, MAX_ERROR_BODY_BYTES)
        elif method == "HEAD":
            response.read(1)  # nothing, which gives the connection back
        elif limit is not None:
            response.content = _read_all(response, limit)
            listing_bounds.count_page(len(response.content))
        return response

    def _call(self, seconds: float, *, trickle_allowed: bool = True, read_timeout: float | None = None) -> CallContext:
        return CallContext(
            self.check, self._guard, self._named_by.host, time.monotonic() + seconds, trickle_allowed, read_timeout
        )

    def _is_private_registry(self, origin: Origin) -> bool:
        """Whether ``origin`` is another registry that lies in a private network, as far as this machine can tell."""
        if origin not in self.endpoint.other_registries:
            return False
        try:
            found = resolve_host(origin.host, origin.port)
        except NameNotResolved:
            return False  # only a proxy can tell: it counts as public
        return not all(is_global(each[4][0]) for each in found)

    def _check_behind_proxy(self, origin: Origin) -> None:
        """Refuse what a proxy would be asked for in vain or in error.

        Where the connection goes is the proxy's decision. A name that this machine can resolve is judged by its
        addresses here, all of them, for the proxy chooses; one that only the proxy can resolve is left to the proxy's
        own rules, but for names of its own machine. A registry that only the proxy can resolve counts as public.
        """
        home = origin.host == self._named_by.host
        try:
            found = resolve_host(origin.host, origin.port)
        except NameNotResolved:
            found = []
            if is_forbidden_name(origin.host):
                raise forbidden_address(origin.host) from None
        record_home(self._guard, self._named_by.host, self._named_by.port, found if home else None)
        if not all(self._guard.permits(each[4][0], home=home) for each in found):
            raise forbidden_address(origin.host)


def _read_all(response: RegistryResponse, limit: int) -> bytes:
    """The decoded body, at most ``limit`` bytes. Raises TooLarge without having read much more than that."""
    try:
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and len(length) < 20 and int(length) > limit:
            raise _too_large(limit)
        parts, size = [], 0
        while part := response.read(CHUNK_BYTES, decode=True):
            parts.append(part)
            size += len(part)
            if size > limit:
                raise _too_large(limit)
    except BaseException:
        response.close()
        raise
    return b"".join(parts)


def _read_start(response: RegistryResponse, limit: int) -> None:
    """Keep the first ``limit`` bytes of the decoded body, or as many as come before the connection breaks."""
    try:
        while len(response.content) < limit and (part := response.read(CHUNK_BYTES, decode=True)):
            response.content = (response.content + part)[:limit]
    finally:
        if len(response.content) >= limit:
            response.close()


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        messages.RESPONSE_TOO_LARGE(value=limit // 2**20 or 1),
        messages.CHECK_RESPONDING_SERVER(),
    )


def _resolve(url: str, location: str) -> str:
    try:
        target = urljoin(url, location).partition("#")[0]
        Origin.of(target)
    except (ValueError, AddressInvalid):
        raise RedirectRefused(messages.REDIRECT_TO_NO_ADDRESS(), messages.CHECK_PROXY_BEFORE_REGISTRY()) from None
    return target


def _retry_after(response: RegistryResponse) -> float | None:
    """Seconds to wait by Retry-After, 15 minutes at most; None where the header is absent or unreadable.

    A date is measured against the server's own Date, so that clocks need not agree (RFC 9110, 10.2.3).
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return min(float(value[:12]), MAX_PAUSE_SECONDS)
    until = _date(value)
    if until is None:
        return None
    now = _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), MAX_PAUSE_SECONDS)


def _date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _overload_error(response: RegistryResponse, pause: float | None) -> RegistryError:
    if response.status == 429 and _LOCKED_MESSAGE in response.content:
        return AccountLocked(
            messages.ACCOUNT_LOCKED(),
            messages.FIND_WHO_SIGNS_IN(),
            retry_at=datetime.now(UTC) + timedelta(seconds=max(pause or 0.0, ACCOUNT_LOCKED_SECONDS)),
        )
    if response.status == 429:
        return RateLimited(
            messages.RATE_LIMITED(),
            messages.RETRIED_LATER(),
            retry_at=datetime.now(UTC) + timedelta(seconds=max(MIN_PAUSE_SECONDS, pause if pause is not None else 60)),
        )
    return ServerError(
        messages.FAILED_REPEATEDLY(origin=response.origin, status=response.status),
        messages.CHECK_LOGS_AND_BALANCER(),
    )

"""Whose address a request comes from, where reverse proxies stand in front.

Only a proxy that ``TRUSTED_PROXIES`` names is believed what it says of its client. This stands before everything else
and leaves the address in ``REMOTE_ADDR``, which is what the locks of the sign-in, the audit trail and libraries read.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from collections.abc import Callable, Sequence
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse

log = logging.getLogger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX_SOCKET: str = "unix"  # in the setting: whoever connects to the socket that is a file
LOOPBACK_ADDRESS = "127.0.0.1"  # who that is, for clients that have no address
MAX_HOPS = 20
FORWARDED_FOR: str = "HTTP_X_FORWARDED_FOR"
FORWARDED_PROTO: str = "HTTP_X_FORWARDED_PROTO"
# What a proxy says of its client; from anybody else nothing that runs here may read it.
FORWARDING_HEADERS = (
    FORWARDED_FOR,
    FORWARDED_PROTO,
    "HTTP_FORWARDED",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_REAL_IP",
)
_WITH_PORT = re.compile(r"\[(?P<v6>[^\]]*)\](?::\d{1,5})?|(?P<v4>[0-9.]+):\d{1,5}")


def parse_networks(names: Sequence[str]) -> tuple[tuple[Network, ...], bool]:
    """Return the networks that ``names`` are, and whether ``unix`` is among them. Raises ValueError."""
    return (
        tuple(ipaddress.ip_network(name.strip(), strict=False) for name in names if name.strip() != UNIX_SOCKET),
        any(name.strip() == UNIX_SOCKET for name in names),
    )


@cache
def _networks(names: tuple[str, ...]) -> tuple[tuple[Network, ...], bool]:
    return parse_networks(names)


def parse_address(text: str) -> Address | None:
    """Return the address that ``text`` is, without port and zone; None where it is none."""
    text = text.strip()[:100]
    if found := _WITH_PORT.fullmatch(text):
        text = found["v6"] or found["v4"] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def resolve_client(peer: str, forwarded_for: str, trusted: Sequence[str]) -> str:
    """Return the address of who asks; ``peer`` has connected, "" by a socket that is a file.

    From the right of ``forwarded_for``, each address is believed because the one after it is a trusted proxy; the first
    that is none is who asks. Where a trusted proxy names no address, it stands for its client itself.
    """
    networks, unix = _networks(tuple(trusted))
    found = parse_address(peer)
    if not (unix if found is None else _is_in(found, networks)):
        return str(found or LOOPBACK_ADDRESS)
    for hop in reversed(forwarded_for.split(",")[-MAX_HOPS:]):
        named = parse_address(hop)
        if named is None:
            break
        found = named
        if not _is_in(found, networks):
            break
    return str(found or LOOPBACK_ADDRESS)


def is_trusted(peer: str, trusted: Sequence[str]) -> bool:
    """Return whether ``peer``, "" by a socket that is a file, is a proxy that is believed."""
    networks, unix = _networks(tuple(trusted))
    found = parse_address(peer)
    return unix if found is None else _is_in(found, networks)


def client_address(request: HttpRequest) -> str:
    """Return the address of who asks, for django-axes."""
    return str(request.META.get("REMOTE_ADDR") or LOOPBACK_ADDRESS)


class ProxyMiddleware:
    """Writes who asks into ``REMOTE_ADDR``, and takes away what nobody who is trusted has said."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._warned = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        about, trusted = request.META, settings.TRUSTED_PROXIES
        peer = about.get("REMOTE_ADDR", "")
        if is_trusted(peer, trusted):
            about["REMOTE_ADDR"] = resolve_client(peer, about.get(FORWARDED_FOR, ""), trusted)
            if FORWARDED_PROTO in about:
                about[FORWARDED_PROTO] = about[FORWARDED_PROTO].rpartition(",")[2].strip().lower()
        else:
            about["REMOTE_ADDR"] = resolve_client(peer, "", trusted)
            if FORWARDED_FOR in about and not self._warned:
                self._warned = True  # anybody can send it: once says what is to be said
                log.warning(
                    "The X-Forwarded-For header of a request from %s is ignored. If that is the address of your"
                    " proxy, add it to TALLYMAN_TRUSTED_PROXIES.",
                    about["REMOTE_ADDR"],
                )
            for name in FORWARDING_HEADERS:
                about.pop(name, None)
        return self.get_response(request)


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)

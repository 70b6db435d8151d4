"""The address of a registry as somebody types it: read, judged, and written in one way.

This looks at the text alone. What a name resolves to is judged again at each connection, by the client.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HOST_PATTERN = re.compile(r"(?=.{1,253}$)([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9])?")
PREFIX_PATTERN = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")
METADATA_NAMES = ("metadata.google.internal", "metadata.goog", "instance-data", "metadata")
# Metadata services of clouds outside 169.254.0.0/16: Alibaba, Oracle, AWS over IPv6.
METADATA_ADDRESSES = ("100.100.100.200", "192.0.0.192", "fd00:ec2::254")


class AddressError(ValueError):
    """An address that cannot be used; the message says what is wrong with it, for the person who typed it."""


def normalise(text: str, *, allowed_networks: Collection[str], plain_http_hosts: Collection[str]) -> str:
    """Return ``text`` as ``scheme://host[:port][/prefix]``: lower-case host, no trailing slash, no default port.

    ``https`` is added where no scheme was typed. Raises AddressError for all that is no such address, that carries
    credentials, that names this machine or a metadata service (unless ``allowed_networks`` has it), or that speaks
    plain HTTP to a host not in ``plain_http_hosts``.
    """
    text = text.strip()
    if re.search(r"[\s\\\x00-\x1f\x7f]", text):
        raise AddressError(_("An address has no spaces, backslashes or line breaks."))
    if "://" not in text:
        text = f"https://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise AddressError(
            _("This is not an address. An address looks like https://registry.example.com:5000.")
        ) from error
    scheme = parts.scheme.lower()
    if scheme not in {"https", "http"}:
        raise AddressError(_("The address must begin with https://."))
    if "@" in parts.netloc:
        raise AddressError(_("Leave out user and password here; they have fields of their own."))
    if "?" in text or "#" in text:
        raise AddressError(_("Leave out everything from “?” or “#” on."))
    host = _host(parts.hostname or "", allowed_networks)
    if port == 0:
        raise AddressError(_("The port must be between 1 and 65535."))
    shown = host if port in {None, 443 if scheme == "https" else 80} else f"{host}:{port}"
    if scheme == "http" and not {host, shown}.intersection(name.lower() for name in plain_http_hosts):
        raise AddressError(
            _("Plain HTTP is not allowed for %(host)s. Use https://, or have it added to TALLYMAN_PLAIN_HTTP_HOSTS.")
            % {"host": shown}
        )
    return f"{scheme}://{shown}{_prefix(parts.path)}"


def origin(address: str) -> str:
    """Return scheme, host and port of a normalised address: what a credential belongs to."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}"


def _prefix(path: str) -> str:
    path = path.rstrip("/")
    if path == "/v2" or path.endswith("/v2"):
        raise AddressError(_("Leave out /v2; the console adds it."))
    if not PREFIX_PATTERN.fullmatch(path) or "/.." in path:
        raise AddressError(
            _("The part after the host can contain letters, digits, dots, dashes, underscores and slashes.")
        )
    return path


def _host(host: str, allowed_networks: Collection[str]) -> str:
    if not host:
        raise AddressError(_("The host is missing. An address looks like https://registry.example.com:5000."))
    if "%" in host:
        raise AddressError(_("An address with a network zone (%) cannot be used."))
    literal = _literal(host)
    if literal is not None:
        _require_allowed(literal, allowed_networks)
        return f"[{literal}]" if literal.version == 6 else str(literal)
    try:
        name = host.encode("idna").decode("ascii").lower().rstrip(".")
    except UnicodeError as error:
        raise AddressError(_("This host name is not valid.")) from error
    if (literal := _literal(name)) is not None:  # digits and dots of another script
        _require_allowed(literal, allowed_networks)
        return str(literal)
    if not HOST_PATTERN.fullmatch(name):
        raise AddressError(_("This host name is not valid."))
    if name in LOCAL_NAMES or name.endswith(".localhost"):
        _require_allowed(ipaddress.ip_address("127.0.0.1"), allowed_networks)
    if name in METADATA_NAMES:
        _require_allowed(ipaddress.ip_address("169.254.169.254"), allowed_networks)
    return name


def _literal(host: str) -> Address | None:
    """Return the IP address that ``host`` is in any notation a resolver would take (127.1, 0x7f000001, …)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if not re.fullmatch(r"[0-9a-fA-FxX.]+", host) or not host[:1].isdigit():
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _require_allowed(address: Address, allowed_networks: Collection[str]) -> None:
    mapped = getattr(address, "ipv4_mapped", None)
    real: Address = mapped or address
    for network in allowed_networks:
        allowed = ipaddress.ip_network(network, strict=False)
        if real.version == allowed.version and real in allowed:
            return
    own = real.is_loopback or real.is_link_local or real.is_unspecified or real.is_multicast
    if own or (real.is_reserved and real.version == 4) or str(real) in METADATA_ADDRESSES:
        raise AddressError(
            _("%(host)s is an address of this machine or of a service of its network, not of a registry. ")
            % {"host": real}
            + _("If this is intended, ask an administrator of the machine to add it to TALLYMAN_ALLOWED_NETWORKS.")
        )

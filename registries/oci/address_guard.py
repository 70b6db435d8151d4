"""Which network addresses may be connected to. Looked at after the name is resolved, at the moment of connecting."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from registries.oci import messages
from registries.oci.errors import AddressInvalid

Address = IPv4Address | IPv6Address

# Where no registry is, and where clouds keep what no registry may learn. IANA special-purpose registries; the single
# addresses are metadata services outside of the link-local ranges (Azure, Alibaba Cloud, AWS over IPv6).
_FORBIDDEN: tuple[IPv4Network | IPv6Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "192.0.0.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "100.100.100.200/32",
        "168.63.129.16/32",
        "::/128",
        "::1/128",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
        "100::/64",
        "fd00:ec2::/32",
    )
)
# Names of this machine and of metadata services, which a proxy resolves in its own way where no name server here does.
_FORBIDDEN_NAMES = frozenset(
    {"localhost", "localhost.localdomain", "ip6-localhost", "metadata", "instance-data", "metadata.goog"}
    | {"metadata.google.internal", "metadata.tencentyun.com", "metadata.azure.internal"}
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressGuard:
    """The rule for one registry.

    Private networks are open to the registry itself: that is where registries live. To where a registry *points* (its
    storage, its token service) they are open only if it lives in one itself: a public one may not reach inside. One
    that is public once stays so, whatever its name resolves to later; one that only a proxy can resolve counts as such.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        try:
            self._allowed = tuple(ipaddress.ip_network(network.strip(), strict=False) for network in allowed)
        except ValueError as error:
            raise AddressInvalid(
                messages.ALLOWED_NETWORKS_INVALID(),
                messages.WRITE_AS_NETWORKS(),
            ) from error
        self._home_is_public: bool | None = None  # not known yet

    @property
    def knows_home(self) -> bool:
        """Whether it was said where the registry lives; until then nothing it points to may be in a private network."""
        return self._home_is_public is not None

    def permits(self, address: str, *, home: bool) -> bool:
        """Whether ``address``, as the resolver gave it, may be connected to; ``home`` says it is the registry's own."""
        ip = unwrap_ipv4(ipaddress.ip_address(address.partition("%")[0]))
        if any(ip in network for network in self._allowed):
            return True
        if any(ip in network for network in _FORBIDDEN):
            return False
        return home or ip.is_global or self._home_is_public is False

    def home_resolved(self, addresses: Collection[str]) -> None:
        """Remember what the name of the registry itself resolves to; nothing where only a proxy can tell."""
        ips = [unwrap_ipv4(ipaddress.ip_address(address.partition("%")[0])) for address in addresses]
        public = not ips or any(ip.is_global for ip in ips)
        self._home_is_public = bool(self._home_is_public) or public


def is_global(address: str) -> bool:
    """Whether ``address``, as the resolver gave it, is one of the public internet."""
    return unwrap_ipv4(ipaddress.ip_address(address.partition("%")[0])).is_global


def is_forbidden_name(host: str) -> bool:
    """Whether ``host`` is a name of this machine or of a metadata service, whoever resolves it."""
    host = host.rstrip(".").lower()
    return host in _FORBIDDEN_NAMES or host.endswith(".localhost")


def unwrap_ipv4(ip: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, Teredo, NAT64), else ``ip`` itself."""
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            return IPv4Address(int(ip) & 0xFFFFFFFF)
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and 1 < int(ip) < 1 << 32:  # ::a.b.c.d, long deprecated
            inner = IPv4Address(int(ip))
        return inner or ip
    return ip

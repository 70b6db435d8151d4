"""Where a registry is and how it may be reached."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from registries.oci import messages
from registries.oci.errors import AddressInvalid, PlainHttpForbidden

_DOCKER_HUB = frozenset({"docker.io", "index.docker.io", "hub.docker.com", "registry.hub.docker.com"})
_DOCKER_HUB_API = "registry-1.docker.io"
_FORBIDDEN_CHARACTERS = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True)
class Origin:
    """Scheme, host and port: what credentials and the choice of certificates are bound to."""

    scheme: str
    host: str  # lower case, without brackets and without a dot at its end
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """The origin of an absolute http(s) address, by the parser that makes the connection. Raises AddressInvalid."""
        try:
            parts = parse_url(url)
        except LocationParseError:
            raise _invalid(url) from None
        if (
            _FORBIDDEN_CHARACTERS.search(url)
            or parts.scheme not in {"http", "https"}
            or not parts.host
            or parts.auth is not None
        ):
            raise _invalid(url)
        host = parts.host.strip("[]").rstrip(".").lower()
        return cls(parts.scheme, host, parts.port or (443 if parts.scheme == "https" else 80))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = self.port == (443 if self.scheme == "https" else 80)
        return f"{self.scheme}://{host}" + ("" if usual else f":{self.port}")


@dataclass(frozen=True)
class Endpoint:
    """One registry: its address, the credentials, and what of the network may be used for it.

    ``url`` is ``https://host[:port][/prefix]``. An empty ``username`` with a ``password`` means a bearer token.
    ``verify`` false trusts any certificate of this origin, and of no other. ``ca_bundle`` is PEM text, trusted beside
    the public authorities by this registry's connections alone, those to its storage and token service included.
    Loopback, link-local and metadata addresses are refused unless inside ``allowed_networks`` (CIDR).
    ``token_hosts`` may be sent the password where the registry names them as its token service. ``token_path`` (below
    ``base``) is where tokens are had, whatever the registry names: for types whose token service has a fixed place.
    ``other_registries`` are origins that this registry may not redirect to where they lie in a private network: what
    they deliver to the console would count as delivered by this one.
    ``headers`` go with every request to this origin and to no other: for keys that have a header of their own.
    """

    url: str
    username: str = ""
    password: str = field(default="", repr=False)
    verify: bool = True
    ca_bundle: str = ""
    allow_plain_http: bool = False
    allowed_networks: tuple[str, ...] = ()
    proxy: str = ""
    no_proxy: tuple[str, ...] = ()  # host names, domains (.example.com) and CIDRs that are reached directly
    token_hosts: tuple[str, ...] = ()
    token_path: str = ""
    other_registries: frozenset[Origin] = frozenset()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def origin(self) -> Origin:
        """The origin of the API. Raises AddressInvalid, PlainHttpForbidden."""
        origin = Origin.of(self.url if "://" in self.url else f"https://{self.url}")
        if origin.scheme == "http" and not self.allow_plain_http:
            raise PlainHttpForbidden(messages.ADDRESS_WITHOUT_TLS(origin=origin), messages.USE_HTTPS())
        return Origin("https", _DOCKER_HUB_API, 443) if origin.host in _DOCKER_HUB else origin

    @property
    def base(self) -> str:
        """The address that ``/v2/`` is appended to: with the prefix, without a slash at its end."""
        origin = self.origin
        path = parse_url(self.url if "://" in self.url else f"https://{self.url}").path or ""
        return str(origin) + ("" if origin.host == _DOCKER_HUB_API else path.rstrip("/").removesuffix("/v2"))

    @property
    def is_docker_hub(self) -> bool:
        """Whether this is Docker Hub, whose own images have names below ``library/``."""
        return self.origin.host == _DOCKER_HUB_API

    def proxy_for(self, origin: Origin) -> str:
        """The proxy to use for ``origin``, or ""."""
        return "" if any(_matches(origin.host, entry) for entry in self.no_proxy) else self.proxy


def _matches(host: str, entry: str) -> bool:
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        domain = entry.strip().lstrip(".").lower()
        return entry.strip() == "*" or (bool(domain) and (host == domain or host.endswith(f".{domain}")))


def _invalid(url: str) -> AddressInvalid:
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if scheme not in {"", "http", "https"}:
        return AddressInvalid(messages.ADDRESS_NO_HTTP(), messages.WRITE_AS_URL())
    return AddressInvalid(
        messages.ADDRESS_NO_SERVER(),
        messages.WRITE_AS_URL_WITHOUT_USER(),
    )

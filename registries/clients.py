"""Talking to a registry of the console: the one place where a stored password becomes plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Protocol

from django.conf import settings

from registries import messages
from registries.chosen import Choice, Patterns
from registries.connectors.aws import AccessKey, AwsApi
from registries.connectors.base import Connector, RegistryFacts, TagRef
from registries.connectors.distribution import DistributionConnector, parse_repository_list
from registries.connectors.ecr import EcrConnector, check_role, ecr_location
from registries.connectors.harbor_v1 import HarborV1Connector
from registries.connectors.harbor_v2 import HarborV2Connector
from registries.connectors.jfrog import API_KEY_HEADER, JfrogConnector, is_api_key
from registries.connectors.quay import TOKEN_USER, QuayConnector
from registries.connectors.regions import CCR_HOSTS
from registries.connectors.tencent_api import DEFAULT_REGION, SecretKey, TencentApi
from registries.connectors.tencent_ccr import CcrConnector
from registries.connectors.tencent_tcr import TcrConnector
from registries.connectors.vendors import VENDORS
from registries.login_guard import StoredLoginGuard
from registries.models import CloudAccount, Registry
from registries.oci import listing_bounds
from registries.oci.client import DistributionClient
from registries.oci.endpoint import Endpoint, Origin
from registries.oci.errors import CertificateError, RegistryError
from registries.oci.login_guard import LoginGuard
from registries.oci.manifests import Descriptor, ManifestHead, RawManifest
from registries.oci.references import Digest
from registries.oci.transport import Transport
from registries.oci.vendor_api import JsonApi, Scheme

CheckCallback = Callable[[], None]

# The keys of clouds go to their APIs alone; pulling has other credentials, which those hand out.
CLOUD_TYPES = frozenset({Registry.Type.AWS, Registry.Type.TCR, Registry.Type.CCR})
MAX_SMALL_BLOB_BYTES = 4 * 1024 * 1024


class RegistryClient(Protocol):
    """What the rest of the console sees of a registry, of whatever type it is. Only reads.

    All methods raise a RegistryError that says why and what to do, and may be called by several threads at a time.
    """

    fixed: bool  # see Connector
    about: str  # see Connector

    def begin(self) -> None:
        """Begin another use of the client, in which a stored password has to prove right again before all send it."""

    def ping(self) -> None:
        """Prove that the address answers and takes the credentials."""

    def repositories(self) -> Iterator[str]:
        """Yield the names of all repositories, page by page."""

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield all tags of ``repository``, page by page."""

    def includes_repository(self, name: str) -> bool:
        """Whether a person wants the repository ``name`` to be listed at all; no request is made."""

    def names_tag(self, repository: str, tag: str) -> bool:
        """Whether a person has typed just this tag of ``repository``; no request is made."""

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether a person wants ``tag`` of ``repository`` to be listed at all; no request is made."""

    def head(self, repository: str, reference: str) -> ManifestHead:
        """Return digest, media type and size of a manifest. Counts as no pull where the registry knows HEAD."""

    def manifest(self, repository: str, reference: str) -> RawManifest:
        """Return the bytes of a manifest with their verified digest."""

    def blob(self, repository: str, blob: Descriptor) -> AbstractContextManager[BinaryIO]:
        """Open the bytes of ``blob`` as they come, verified: reading to the end raises where they do not fit."""

    def blob_part(self, repository: str, blob: Descriptor, *, start: int, length: int) -> bytes | None:
        """Return ``length`` bytes of ``blob`` from the byte ``start`` on, unverified; None where none are given."""

    def blob_size(self, repository: str, digest: Digest) -> int | None:
        """Return how many bytes a blob has, for a manifest that does not say; None where that is not told."""

    def blob_bytes(self, repository: str, blob: Descriptor, *, limit: int = MAX_SMALL_BLOB_BYTES) -> bytes:
        """Return the verified bytes of a ``blob`` of ``limit`` bytes at most, such as a config."""


def choice_of(registry: Registry) -> Choice:
    """Return which repositories and tags of ``registry`` are wanted."""
    return Choice(
        Patterns.parse(registry.repository_patterns),
        Patterns.parse(registry.tag_patterns),
        newest=registry.newest_tags,
        days=registry.tag_days,
    )


@contextmanager
def open_client(
    registry: Registry, *, check: CheckCallback = lambda: None, manual: bool = False
) -> Iterator[RegistryClient]:
    """Open the way to ``registry`` with its stored credentials, as the settings of the console allow.

    Credentials that were refused are not sent again, and those that are not proven by one at a time; ``manual``, for
    a test that a person has started, does without both.

    ``check`` is called often while the network is waited for, by whichever thread waits; what it raises ends the call.
    Raises SecretUnreadableError, and a RegistryError for an address that may not be called.
    """
    stored = bool(registry.pk) and not manual
    guard = StoredLoginGuard(registry, check=check) if stored else None
    pulling = guard
    if stored and registry.type in CLOUD_TYPES:
        pulling = StoredLoginGuard(registry, check=check, pulling=True)
    endpoint = _with_credentials(registry, endpoint_of(registry))
    with DistributionClient(endpoint, check=check, guard=pulling) as distribution:
        connector = _connector(registry, distribution, guard)
        reader = connector if isinstance(connector, JfrogConnector) else distribution
        typed_list = parse_repository_list(registry.repositories, host=registry.host)
        guards = [each for each in (guard, pulling) if each is not None]
        yield _Client(connector, reader, guards, typed_list, choice_of(registry))


def _with_credentials(registry: Registry, endpoint: Endpoint) -> Endpoint:
    """Return ``endpoint`` with its credentials in the form that a registry of this type takes."""
    if registry.type in CLOUD_TYPES:
        return replace(endpoint, username=registry.pull_username, password=registry.reveal_pull_password())
    if endpoint.username or not endpoint.password:
        return endpoint
    if registry.type == Registry.Type.QUAY:
        return replace(endpoint, username=TOKEN_USER)
    if registry.type == Registry.Type.JFROG and is_api_key(endpoint.password):
        headers = ((API_KEY_HEADER, endpoint.password),)
        return replace(endpoint, password="", headers=headers)  # nosec B106  # none: it is in the header
    return endpoint


@contextmanager
def open_cloud_api(account: CloudAccount, *, check: CheckCallback = lambda: None) -> Iterator[TencentApi]:
    """Open the way to the API of the cloud with the key of ``account``; as :func:`open_client`."""
    opened: list[Transport] = []

    def transport(url: str) -> Transport:
        opened.append(Transport(server_endpoint(Registry(), url), check))
        return opened[-1]

    key = SecretKey(account.secret_id, account.reveal_secret_key())
    try:
        yield TencentApi(key, transport=transport, endpoint=account.endpoint)
    finally:
        for each in opened:
            each.close()


def endpoint_of(registry: Registry) -> Endpoint:
    """Return where ``registry`` is and how it may be reached, with the password in plain text."""
    return replace(
        server_endpoint(registry, registry.address),
        username=registry.username,
        password=registry.reveal_password(),
        # Harbor names its token service by the external URL of its settings, which is often another than people use.
        token_hosts=(registry.token_service,) if registry.token_service else (),
        token_path="/service/token" if registry.type == Registry.Type.HARBOR else "",
        other_registries=_other_origins(registry),
    )


@contextmanager
def open_anonymous(
    host: str, *, plain_http: bool = False, check: CheckCallback = lambda: None
) -> Iterator[DistributionClient]:
    """Open the way to a registry that is none of the console's, without credentials; otherwise as ``open_client``."""
    url = f"{'http' if plain_http else 'https'}://{host}"
    with DistributionClient(server_endpoint(Registry(), url, plain_http=plain_http), check=check) as distribution:
        yield distribution


def server_endpoint(registry: Registry, url: str, *, plain_http: bool = False) -> Endpoint:
    """Return how a server that belongs to ``registry`` may be reached, without credentials.

    ``plain_http`` says that a setting of its own allows it for this one.
    """
    host = url.split("://", 1)[-1].split("/", 1)[0]
    named = {host, _without_port(host)}.intersection(settings.PLAIN_HTTP_HOSTS)
    return Endpoint(
        url=url,
        verify=registry.verify_tls,
        ca_bundle="\n".join(filter(None, (registry.ca_bundle, operator_ca_bundle()))),
        allow_plain_http=plain_http or bool(named),
        allowed_networks=tuple(settings.ALLOWED_NETWORKS),
        proxy=settings.OUTBOUND_PROXY,
        no_proxy=tuple(settings.NO_PROXY),
    )


def _other_origins(registry: Registry) -> frozenset[Origin]:
    """Return the origins of all other registries of the console, whoever sees them; none for one that is not saved."""
    if registry._state.adding:
        return frozenset()
    rows = Registry._base_manager.exclude(pk=registry.pk).exclude(address=registry.address)
    origins = set()
    for address in rows.values_list("address", flat=True):
        with suppress(RegistryError):  # one that cannot be read is none that anybody can be led to
            origins.add(Origin.of(address))
    return frozenset(origins)


def operator_ca_bundle() -> str:
    """Return the authorities (PEM) that the operator trusts for all connections, "" where there are none."""
    try:
        return Path(settings.CA_BUNDLE).read_text(encoding="ascii") if settings.CA_BUNDLE else ""
    except (OSError, UnicodeDecodeError):
        raise CertificateError(
            messages.CA_BUNDLE_UNREADABLE(),
            messages.CORRECT_CA_BUNDLE(),
        ) from None


def _connector(registry: Registry, client: DistributionClient, guard: LoginGuard | None) -> Connector:
    """Return the connector for the type of ``registry``: how each type is listed."""
    match registry.type:
        case Registry.Type.OCI:
            return DistributionConnector(client, repositories=registry.repositories, host=registry.host)
        case Registry.Type.HARBOR if registry.version == Registry.Version.V1:
            return HarborV1Connector(client, repositories=registry.repositories, host=registry.host)
        case Registry.Type.HARBOR:
            return HarborV2Connector(client, repositories=registry.repositories, host=registry.host)
        case Registry.Type.QUAY:
            return QuayConnector(
                client,
                username=registry.username or (TOKEN_USER if registry.has_password else ""),
                repositories=registry.repositories,
                host=registry.host,
            )
        case Registry.Type.JFROG:
            return JfrogConnector(
                client,
                address=registry.address,
                login=bool(registry.username or registry.has_password),
                bearer=not registry.username,
                repositories=registry.repositories,
            )
        case Registry.Type.AWS:
            return _ecr(registry, client, guard)
        case Registry.Type.TCR:
            vpc = registry.network == Registry.Network.VPC
            api = _tencent(registry, client, guard)
            return TcrConnector(client, api, host=registry.host, id=registry.cloud_id, vpc=vpc)
        case Registry.Type.CCR:
            return CcrConnector(
                client,
                _tencent(registry, client, guard),
                region=registry.region or CCR_HOSTS.get(registry.host.partition(".")[0], DEFAULT_REGION),
                namespace=registry.cloud_id,
                can_pull=registry.has_pull_password,
            )
        case type if type in VENDORS:
            return VENDORS[type].connect(client, _facts(registry, client))
        case _:
            raise RegistryError(
                messages.TYPE_NOT_LISTABLE(type=registry.get_type_display()),
                messages.ADD_AS_OCI(),
            )


def _facts(registry: Registry, client: DistributionClient) -> RegistryFacts:
    def open_api(url: str, scheme: Scheme) -> JsonApi:
        # Certificates may go unchecked at one's own endpoint, never at the vendor's public one.
        verify = registry.verify_tls or not registry.endpoint
        return client.api_at(replace(server_endpoint(registry, url), verify=verify), scheme=scheme)

    return RegistryFacts(
        type=registry.type,
        host=registry.host,
        username=registry.username,
        has_password=registry.has_password,
        repositories=registry.repositories,
        endpoint=registry.endpoint,
        open_api=open_api,
    )


def _ecr(registry: Registry, client: DistributionClient, guard: LoginGuard | None) -> Connector:
    location = ecr_location(registry.host, region=registry.region, custom_endpoint=bool(registry.endpoint))

    def transport(url: str) -> Transport:
        # Certificates may go unchecked at one's own endpoint, never at the public ones of AWS.
        found = server_endpoint(registry, url)
        return client.transport_to(found if url == registry.endpoint else replace(found, verify=True))

    aws = AwsApi(
        AccessKey(registry.username, registry.reveal_password()),
        region=location.region,
        transport=transport,
        role=check_role(registry.role),
        endpoint=registry.endpoint,
        fips=location.fips,
        dual_stack=location.dual_stack,
        guard=guard,
    )
    return EcrConnector(client, aws, account=location.account)


def _tencent(registry: Registry, client: DistributionClient, guard: LoginGuard | None) -> TencentApi:
    def transport(url: str) -> Transport:
        return client.transport_to(
            replace(server_endpoint(registry, url), verify=registry.verify_tls or not registry.endpoint)
        )

    key = SecretKey(registry.username, registry.reveal_password())
    return TencentApi(key, transport=transport, endpoint=registry.endpoint, guard=guard)


def _without_port(host: str) -> str:
    """``host`` without its port."""
    return host.partition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]


class _Client:
    """The connector lists, the distribution client reads."""

    def __init__(
        self,
        connector: Connector,
        distribution: DistributionClient | JfrogConnector,
        guards: list[StoredLoginGuard],
        typed_list: Mapping[str, tuple[str, ...]],
        choice: Choice,
    ) -> None:
        self._guards = guards
        self.fixed = connector.fixed
        self.about = ""
        self._choice = choice
        self._typed_list = typed_list
        self.head = distribution.head_manifest
        self.manifest = distribution.manifest
        self.blob = distribution.blob
        self.blob_part = distribution.blob_part
        self.blob_size = distribution.blob_size
        self._connector, self._distribution = connector, distribution

    def repositories(self) -> Iterator[str]:
        names = listing_bounds.within_bounds(listing_bounds.REPOSITORY_BOUNDS, iter(self._connector.repositories()))
        return filter(self._choice.includes_repository, names)

    def tags(self, repository: str) -> Iterator[TagRef]:
        refs = listing_bounds.within_bounds(listing_bounds.TAG_BOUNDS, iter(self._connector.tags(repository)))
        return self._choice.choose(repository, refs)

    def includes_repository(self, name: str) -> bool:
        left_out = getattr(self._connector, "leaves_out", None)  # of ECR alone: pull-through caches
        return self._choice.includes_repository(name) and not (left_out is not None and left_out(name))

    def includes_tag(self, repository: str, tag: str) -> bool:
        return self._choice.includes_tag(repository, tag) and self._connector.includes_tag(repository, tag)

    def names_tag(self, repository: str, tag: str) -> bool:
        return tag in self._typed_list.get(repository, ())

    def ping(self) -> None:
        self._connector.ping()
        self.about = getattr(self._connector, "about", "")

    def begin(self) -> None:
        for guard in self._guards:
            guard.begin()

    def blob_bytes(self, repository: str, blob: Descriptor, *, limit: int = MAX_SMALL_BLOB_BYTES) -> bytes:
        return self._distribution.blob_bytes(repository, blob, limit=limit)

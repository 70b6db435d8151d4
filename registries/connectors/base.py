"""What a connector is: how one type of registry is listed. Pulling is the same for all types and none of its business.

A connector says as data what the form shows for its type, and gives the names of repositories and tags page by page.
Where the vendor's listing tells digest, size or push time, it passes them on and spares the sync a call for each tag.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Protocol, TypeAlias

from django.utils.functional import Promise

from registries.oci.client import DistributionClient
from registries.oci.vendor_api import JsonApi, Scheme

Text: TypeAlias = str | Promise


@dataclass(frozen=True)
class TagRef:
    """One tag as the registry lists it. What the listing does not tell is None or "", and is asked for elsewhere."""

    name: str
    digest: str | None = None  # of the manifest or index
    media_type: str = ""  # of the manifest or index
    size: int | None = None  # bytes as pulled: config and layers
    pushed_at: datetime | None = None


@dataclass(frozen=True)
class Wording:
    """What one field of the form says for one type of registry; what is "" stays as the form says it for all types."""

    label: Text = ""
    help: Text = ""
    placeholder: str = ""


@dataclass(frozen=True)
class Guide:
    """What the operation guide says of a type, where it has no template of its own."""

    network: Text  # what must be reachable
    account: Text  # the account with the least rights that suffice
    notes: Text = ""


@dataclass(frozen=True)
class Declaration:
    """What the form and the operation guide show for a type of registry."""

    type: str  # value of Registry.Type
    label: str
    versions: tuple[str, ...] = ()  # values of Registry.Version; none: the field is not shown
    networks: tuple[str, ...] = ("public",)  # values of Registry.Network
    # Values of Registry.region; none: "Default region" is the only choice. ``region_names`` says where they are.
    regions: tuple[str, ...] = ()
    region_names: Mapping[str, Text] = field(default_factory=dict)
    # Fields of Registry that the form shows beyond those that every type has (name, type, limit, certificates).
    # A secret is named without the "_token" of its column: "password", "pull_password".
    fields: tuple[str, ...] = ("address", "username", "password")
    required: frozenset[str] = frozenset({"address"})
    wording: Mapping[str, Wording] = field(default_factory=dict)  # by field
    token_alone: bool = False  # a password without a username is a token
    guide: Guide | None = None  # None: the type has a template of its own


@dataclass(frozen=True)
class RegistryFacts:
    """What a connector knows of its registry. No secret: the client has those."""

    type: str
    host: str
    username: str
    has_password: bool
    repositories: str  # the typed list
    endpoint: str  # of the vendor's API; "" is the usual one
    open_api: Callable[[str, Scheme], JsonApi]  # by its address


@dataclass(frozen=True)
class Vendor:
    """A type of registry by one module: what its form shows, and how it is listed."""

    declaration: Declaration
    connect: Callable[[DistributionClient, RegistryFacts], Connector]


class Connector(Protocol):
    """One registry, seen through its vendor's listing. Built for one sync or one test, then thrown away.

    Both iterators ask for page after page while they are read, and raise a RegistryError where a page cannot be had:
    an iterator that ends has given everything. They may give a name twice where the registry changes meanwhile.
    Methods are called by several threads at a time, each repository by one of them. A connector whose API tells its
    version has it in ``about`` after ``ping``.
    """

    declaration: ClassVar[Declaration]
    fixed: bool  # the repositories come from a list that a person typed: what is not on it is not wanted any more

    def ping(self) -> None:
        """Prove that the address answers and takes the credentials. Raises a RegistryError that says what to do."""

    def repositories(self) -> Iterator[str]:
        """Yield the names of all repositories, as they stand in ``/v2/<name>/…``."""

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield all tags of ``repository``; none where it is gone."""

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether a person wants ``tag`` of ``repository`` at all; no request is made."""

"""What the types by one module share: the registry is proven, read and, where the vendor has no better list, listed by
the distribution API; a typed list goes before all else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from registries.connectors.base import Declaration, RegistryFacts, TagRef
from registries.connectors.distribution import DistributionConnector
from registries.oci.client import DistributionClient


class VendorConnector:
    """A registry of one vendor; a module overrides what its vendor does otherwise. See Connector."""

    declaration: ClassVar[Declaration]

    def __init__(self, client: DistributionClient, facts: RegistryFacts) -> None:
        self.client, self.facts = client, facts
        self.distribution = DistributionConnector(client, repositories=facts.repositories, host=facts.host)
        self.fixed = self.distribution.fixed
        self.about = ""

    @property
    def has_login(self) -> bool:
        """Whether credentials are stored."""
        return bool(self.facts.username or self.facts.has_password)

    def ping(self) -> None:
        """Prove that the address answers and takes the credentials."""
        self.client.ping()

    def repositories(self) -> Iterator[str]:
        """Yield the typed names, or else those that the vendor lists."""
        return self.distribution.repositories() if self.fixed else self.list_repositories()

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags of ``repository`` that are wanted."""
        if self.distribution.names_tags(repository):
            yield from self.distribution.tags(repository)
            return
        for ref in self.list_tags(repository):
            if self.includes_tag(repository, ref.name):
                yield ref

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether the typed list asks for ``tag``."""
        return self.distribution.includes_tag(repository, tag)

    def list_repositories(self) -> Iterator[str]:
        """Yield all repositories; by the catalog unless a vendor has another list."""
        return self.client.repositories()

    def list_tags(self, repository: str) -> Iterator[TagRef]:
        """Yield all tags of ``repository``; names alone unless a vendor's list tells more."""
        return map(TagRef, self.client.tags(repository))

"""Any registry that speaks the distribution API and no other: Docker Registry, zot, GitLab, Nexus, ghcr.io, …"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import ClassVar

from registries.connectors import messages
from registries.connectors.base import Declaration, TagRef
from registries.connectors.declarations import OCI
from registries.oci.client import DistributionClient
from registries.oci.errors import AddressInvalid
from registries.oci.references import is_repository

WILDCARDS = "*?["


class DistributionConnector:
    """Repositories from the catalog or from a list that a person typed; tags with names alone."""

    declaration: ClassVar[Declaration] = OCI

    def __init__(self, client: DistributionClient, *, repositories: str, host: str) -> None:
        self._client = client
        self._typed_list = parse_repository_list(repositories, host=host)
        self.fixed = bool(self._typed_list)

    def ping(self) -> None:
        """Prove that the address answers and takes the credentials."""
        self._client.ping()

    def repositories(self) -> Iterator[str]:
        """Yield the typed names, or else the whole catalog."""
        return iter(self._typed_list) if self.fixed else self._client.repositories()

    def tags(self, repository: str) -> Iterator[TagRef]:
        """Yield the tags that the typed list asks for (without asking, where it names them), or else all."""
        if self.names_tags(repository):
            yield from map(TagRef, self._typed_list[repository])
            return
        for name in self._client.tags(repository):
            if self.includes_tag(repository, name):
                yield TagRef(name)

    def names_tags(self, repository: str) -> bool:
        """Whether the typed list names the tags of ``repository`` one by one, so that they need not be listed."""
        patterns = self._typed_list.get(repository, ())
        return bool(patterns) and not any(set(pattern) & set(WILDCARDS) for pattern in patterns)

    def includes_tag(self, repository: str, tag: str) -> bool:
        """Whether the typed list asks for ``tag``. Without a list all tags are asked for."""
        patterns = self._typed_list.get(repository, ())
        return not patterns or any(fnmatchcase(tag, pattern) for pattern in patterns)


def parse_repository_list(text: str, *, host: str) -> Mapping[str, tuple[str, ...]]:
    """Return the repositories that a person typed, each with the patterns of its tags (none: all tags).

    One a line: ``name``, ``name:tag`` or ``name:pattern`` with ``*``, ``?`` and ``[…]``, with or without ``host/`` in
    front; blank lines and lines that begin with # do not count. Raises AddressInvalid, which names the line.
    """
    found: dict[str, tuple[str, ...]] = {}
    whole: set[str] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip().removeprefix(f"{host}/")
        if not entry or entry.startswith("#"):
            continue
        name, colon, pattern = entry.partition(":")
        if "@" in entry or not is_repository(name) or (colon and not pattern) or "/" in pattern:
            raise AddressInvalid(
                messages.LINE_NAMES_NO_REPOSITORY(number=number, line=line.strip()[:100]),
                messages.WRITE_ONE_A_LINE(),
            )
        if not colon:
            whole.add(name)
        found[name] = (*found.get(name, ()), pattern) if colon else found.get(name, ())
    return {name: () if name in whole else patterns for name, patterns in found.items()}
